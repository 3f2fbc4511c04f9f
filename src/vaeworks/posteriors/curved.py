"""Posteriors on curved spaces: the sphere and the Poincare ball."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from vaeworks.distributions import VonMisesFisher, WrappedNormal
from vaeworks.distributions.wrapped_normal import exp_origin
from vaeworks.posteriors.base import Posterior, bent

__all__ = ["VonMisesFisherPosterior", "WrappedNormalPosterior"]


class VonMisesFisherPosterior(Posterior):
    """q(z | x) on the unit sphere in latent_size dimensions, around a direction, with one concentration (Davidson et al. 2018, arXiv:1804.00891).

    log(concentration / D) is bent into (-7, 7): it is in units of the dimension that a concentration begins to be felt. At least two dimensions.
    """

    space = "sphere"

    def __init__(self, latent_size: int):
        super().__init__(latent_size)
        if latent_size < 2:
            raise ValueError(f"latent_size={latent_size}: a sphere needs at least two dimensions; its own is one less than latent_size")

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return (self.latent_size + 1,)

    def forward(self, features: Tensor) -> Distribution:
        direction, log_concentration = features.tensor_split((self.latent_size,), -1)
        length = torch.sqrt(direction.square().sum(-1, keepdim=True) + 1e-12)
        first = torch.zeros_like(direction).index_fill(-1, torch.zeros(1, dtype=torch.long, device=features.device), 1.0)
        loc = torch.where(length > 1e-5, direction / length, first)  # no direction at all is the first axis
        return VonMisesFisher(loc, self.latent_size * torch.exp(bent(log_concentration.squeeze(-1))))


class WrappedNormalPosterior(Posterior):
    """q(z | x) = a normal around the origin's tangent space, carried to a point of the Poincare ball (Mathieu et al. 2019, arXiv:1901.06033; Nagano et al. 2019, arXiv:1902.02992).

    curvature: c of a space of curvature -c; must be the prior's. Distances of the mean from the origin stay below 5, log scales within (-7, 1), in units of 1 / sqrt(c): float32
    cannot tell points apart much farther out.
    """

    space = "ball"

    def __init__(self, latent_size: int, *, curvature: Annotated[float, Field(gt=0)] = 1.0):
        super().__init__(latent_size)
        self.curvature = curvature

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return (2 * self.latent_size,)

    def forward(self, features: Tensor) -> Distribution:
        tangent, log_scale = features.chunk(2, -1)
        unit = self.curvature**-0.5
        tangent = tangent * torch.rsqrt(1 + tangent.square().sum(-1, keepdim=True) / 25)
        scale = torch.exp(4 * torch.tanh(log_scale / 4 + UNSHIFT) - 3)
        return WrappedNormal(exp_origin(unit * tangent, self.curvature), unit * scale, self.curvature)


UNSHIFT = 0.9729550745276566
"""atanh(3 / 4): features of zero give a scale of 1."""
