"""Gaussian and Laplace likelihoods on real-valued x."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Laplace, Normal

from vaeworks.distributions import Factorised
from vaeworks.likelihoods.base import ScaledLikelihood, soft_clamp

__all__ = ["GaussianLikelihood", "LaplaceLikelihood", "OptimalVarianceNormal"]


class OptimalVarianceNormal(Factorised):
    """Independent normals of one variance: the maximum-likelihood one for the batch being trained on, the mean squared error over what was observed.

    ``variance`` () is the running estimate that evaluation uses, so that what is reported is a density fixed before the data were seen; ``training`` says which.
    """

    def __init__(self, loc: Tensor, variance: Tensor, training: bool, event_dims: int, observed: Tensor | None = None):
        super().__init__(Normal(loc, variance.sqrt().expand_as(loc), validate_args=False), event_dims, observed)
        self.running_variance, self.training = variance, training

    def marginal(self, observed: Tensor | None) -> OptimalVarianceNormal:
        return OptimalVarianceNormal(self.mean, self.running_variance, self.training, self.event_dims, observed)

    def log_prob(self, value: Tensor) -> Tensor:
        if not self.training:
            return super().log_prob(value)
        if self.observed is not None:
            value = value.masked_fill(~self.observed, 0)
        error = (value - self.mean).square()
        observed = torch.ones_like(error) if self.observed is None else self.observed.to(error).expand_as(error)
        error = error * observed
        variance = (error.detach().sum() / observed.sum().clamp_min(1)).clamp_min(1e-8)  # detached: at the optimum its own gradient is zero
        self.running_variance.lerp_(torch.where(variance.isfinite(), variance, self.running_variance), 0.05)  # a step that is skipped leaves no trace
        terms = -0.5 * (error / variance + torch.log(2 * torch.pi * variance)) * observed
        return terms.flatten(terms.dim() - self.event_dims).sum(-1)


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
            return OptimalVarianceNormal(loc, self.variance, self.training, len(self.event_shape))
        log_scale = self.log_scale + soft_clamp(rest[0], 6) if rest else self.log_scale
        return Factorised(Normal(loc, log_scale.exp().expand_as(loc), validate_args=False), len(self.event_shape))


class LaplaceLikelihood(ScaledLikelihood):
    """p(x | z) = exp(-|x - features| / scale) / (2 scale), with one learned scale."""

    discrete = False

    def __init__(self, event_shape: tuple[int, ...], levels: int, *, scale: Annotated[float, Field(gt=0)] = 0.3):
        super().__init__(event_shape, levels, initial_scale=scale)

    def forward(self, features: Tensor) -> Factorised:
        return Factorised(Laplace(features, self.log_scale.exp().expand_as(features), validate_args=False), len(self.event_shape))
