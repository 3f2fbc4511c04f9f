"""Bernoulli for binary x, continuous Bernoulli for x in [0, 1]."""

from __future__ import annotations

from torch import Tensor

from vaeworks.distributions import Bernoulli, ContinuousBernoulli, Factorised
from vaeworks.likelihoods.base import Likelihood

__all__ = ["BernoulliLikelihood", "ContinuousBernoulliLikelihood"]


class BernoulliLikelihood(Likelihood):
    """p(x | z) = product over pixels of Bernoulli(x_i; sigmoid(features_i)), for binary x."""

    discrete = True

    def forward(self, features: Tensor) -> Factorised:
        return Factorised(Bernoulli(features), len(self.event_shape))


class ContinuousBernoulliLikelihood(Likelihood):
    """Continuous Bernoulli on [0, 1], the normalised form of what is often done with binary cross-entropy on grey values (Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845)."""

    discrete = False

    def forward(self, features: Tensor) -> Factorised:
        return Factorised(ContinuousBernoulli(features), len(self.event_shape))
