"""scikit-learn's own checks of an estimator, all of them, on the estimator as it is by default."""

from __future__ import annotations

from collections.abc import Callable

from sklearn.utils.estimator_checks import parametrize_with_checks

from vaeworks.sklearn import VAE


@parametrize_with_checks([VAE()])
def test_scikit_learns_checks(estimator: VAE, check: Callable[[VAE], None]) -> None:
    check(estimator)
