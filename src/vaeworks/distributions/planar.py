"""Planar and radial flows: simple maps that can be followed forwards only (Rezende & Mohamed 2015, arXiv:1505.05770)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

from vaeworks.distributions.flows import normal_points, standard_normal

__all__ = ["ForwardFlow", "PlanarStep", "RadialStep", "Step", "above_minus_one"]

LEAST = 0.999
"""A step may contract a direction to one thousandth of its length, no further: its log determinant stays finite."""


def above_minus_one(x: Tensor) -> Tensor:
    """Increasing, zero at zero, above -LEAST everywhere: what makes a step invertible, and none at all where its features are zero."""
    return F.softplus(x + math.log(math.expm1(LEAST))) - LEAST


class Step(ABC):
    """An invertible map of (..., D) with a log determinant in closed form, and no inverse in closed form."""

    @abstractmethod
    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The image (..., D), and the log of the Jacobian's determinant, (...)."""


@dataclass(frozen=True)
class PlanarStep(Step):
    """z + u tanh(w.z + b), contracting or stretching along u across the plane w.z + b = 0; u is moved along w until w.u > -1 (appendix A.1).

    ``u`` and ``w`` (..., D), ``b`` (...).
    """

    u: Tensor
    w: Tensor
    b: Tensor

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        along = (self.w * self.u).sum(-1)
        enough = above_minus_one(along)
        square = self.w.square().sum(-1) + 1e-12
        u = self.u + ((enough - along) / square).unsqueeze(-1) * self.w
        h = torch.tanh((self.w * z).sum(-1) + self.b)
        return z + u * h.unsqueeze(-1), torch.log1p((1 - h.square()) * (self.w * u).sum(-1))


@dataclass(frozen=True)
class RadialStep(Step):
    """z + beta / (alpha + r) (z - centre), r = |z - centre|, contracting or stretching around a centre; beta > -alpha makes it invertible (appendix A.2).

    ``centre`` (..., D), ``log_alpha`` and ``strength`` (...).
    """

    centre: Tensor
    log_alpha: Tensor
    strength: Tensor

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        alpha = torch.exp(self.log_alpha)
        beta = alpha * above_minus_one(self.strength)
        offset = z - self.centre
        reach = alpha + torch.linalg.vector_norm(offset, dim=-1)
        log_det = (z.shape[-1] - 1) * torch.log1p(beta / reach) + torch.log1p(beta * alpha / reach.square())
        return z + (beta / reach).unsqueeze(-1) * offset, log_det


class ForwardFlow(Distribution):
    """z = loc + scale * f(u), u ~ N(0, I), f a chain of steps, each a map of standardised codes.

    The density is known at the last sample drawn, whose noise is known, and nowhere else: that is all that the bound on log p(x) asks for.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, steps: tuple[Step, ...]):
        self.loc, self.scale, self.steps = loc, scale, steps
        self.drawn: tuple[Tensor, Tensor] | None = None
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    def transform(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Noise (..., D) to code (..., D), and log |det dz/du|, (...)."""
        z, log_det = u, self.scale.log().sum(-1)
        for step in self.steps:
            z, term = step(z)
            log_det = log_det + term
        return self.loc + self.scale * z, log_det

    def rsample_and_log_prob(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Samples (*sample_shape, *batch_shape, D) and their log densities."""
        u = torch.randn(torch.Size(sample_shape) + self.loc.shape, dtype=self.loc.dtype, device=self.loc.device)
        z, log_det = self.transform(u)
        self.drawn = z, standard_normal(u) - log_det
        return self.drawn

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        return self.rsample_and_log_prob(sample_shape)[0]

    def log_prob(self, value: Tensor) -> Tensor:
        if self.drawn is None or value is not self.drawn[0]:
            raise NotImplementedError(
                "planar and radial flows have no inverse in closed form: their density is known only for the very samples last drawn;"
                " use an 'iaf', 'maf' or 'spline' posterior where densities are needed elsewhere"
            )
        return self.drawn[1]

    @property
    def mean(self) -> Tensor:
        """The mean to within quadrature: the average of 256 fixed noise points (Sobol, with both signs) sent through the flow."""
        size = self.loc.shape[-1]
        points = normal_points(size).to(self.loc).view(-1, *(1 for _ in self.batch_shape), size)
        return self.transform(points.expand(-1, *self.loc.shape))[0].mean(0)
