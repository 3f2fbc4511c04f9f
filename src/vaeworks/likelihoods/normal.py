"""Gaussian and Laplace likelihoods on real-valued x."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Laplace, Normal

from vaeworks.distributions import Factorised
from vaeworks.likelihoods.base import Likelihood, ScaledLikelihood, soft_clamp

__all__ = ["GaussianLikelihood", "LaplaceLikelihood", "OptimalVarianceNormal"]


class OptimalVarianceNormal(Normal):
    """A normal whose variance is the maximum-likelihood one for the batch being trained on, the mean squared error.

    ``variance`` () is the running estimate that evaluation uses, so that what is reported is a density fixed before the data were seen; ``training`` says which.
    """

    def __init__(self, loc: Tensor, variance: Tensor, training: bool):
        self.running_variance, self.training = variance, training
        super().__init__(loc, variance.sqrt().expand_as(loc), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        if not self.training:
            return super().log_prob(value)
        error = (value - self.loc).square()
        variance = error.detach().mean().clamp_min(1e-8)  # detached: at the optimum its own gradient is zero
        self.running_variance.lerp_(variance, 0.05)
        return -0.5 * (error / variance + torch.log(2 * torch.pi * variance))


class GaussianLikelihood(ScaledLikelihood):
    """p(x | z) = N(x; features, scale^2), with its normalising constant.

    scale_kind: ``scalar``, one learned number; ``pixel``, a log scale from the network for every coordinate; ``optimal``, the analytically optimal variance, the
    running mean squared error (Rybkin et al. 2021, arXiv:2006.13202); ``fixed``, the given scale.
    """

    discrete = False

    def __init__(
        self,
        event_shape: tuple[int, ...],
        levels: int,
        *,
        scale_kind: Literal["scalar", "pixel", "optimal", "fixed"] = "scalar",
        scale: Annotated[float, Field(gt=0)] = 0.3,
    ):
        super().__init__(event_shape, levels, initial_scale=scale)
        self.scale_kind = scale_kind
        if scale_kind != "scalar":
            fixed = self.tenth_of_log_scale.detach()
            del self.tenth_of_log_scale
            self.register_buffer("tenth_of_log_scale", fixed)
        if scale_kind == "optimal":
            self.variance: Tensor
            self.register_buffer("variance", torch.tensor(scale**2))
        self.parameters_per_coordinate = 2 if scale_kind == "pixel" else 1

    def forward(self, features: Tensor) -> Factorised:
        loc, *rest = self.split(features)
        if self.scale_kind == "optimal":
            return Factorised(OptimalVarianceNormal(loc, self.variance, self.training), len(self.event_shape))
        log_scale = self.log_scale + soft_clamp(rest[0], 6) if rest else self.log_scale
        return Factorised(Normal(loc, log_scale.exp().expand_as(loc), validate_args=False), len(self.event_shape))


class LaplaceLikelihood(ScaledLikelihood):
    """p(x | z) = exp(-|x - features| / scale) / (2 scale), with one learned scale."""

    discrete = False

    def __init__(self, event_shape: tuple[int, ...], levels: int, *, scale: Annotated[float, Field(gt=0)] = 0.3):
        super().__init__(event_shape, levels, initial_scale=scale)

    def forward(self, features: Tensor) -> Factorised:
        return Factorised(Laplace(features, self.log_scale.exp().expand_as(features), validate_args=False), len(self.event_shape))
