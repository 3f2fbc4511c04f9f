"""scikit-learn's own checks of an estimator, all of them: of one that trains briefly, and, slowly, of one as it is by default."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from vaeworks.sklearn import VAE


@parametrize_with_checks([VAE(epochs=3)])
def test_scikit_learns_checks(estimator: VAE, check: Callable[[VAE], None]) -> None:
    check(estimator)


@pytest.mark.slow  # 45 trainings: a minute
@parametrize_with_checks([VAE()])
def test_scikit_learns_checks_of_the_default(estimator: VAE, check: Callable[[VAE], None]) -> None:
    check(estimator)


@pytest.mark.slow  # a process of its own: scipy reads the variable, without which scikit-learn skips this check, when it is imported
def test_the_array_interface_changes_nothing() -> None:
    code = """
from sklearn.utils.estimator_checks import check_array_api_input
from vaeworks.sklearn import VAE
check_array_api_input("VAE", VAE(epochs=3), array_namespace="numpy", expect_only_array_outputs=False)
print("checked")
"""
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "SCIPY_ARRAY_API": "1"}, capture_output=True, text=True, check=False)
    assert done.stdout == "checked\n", done.stderr
