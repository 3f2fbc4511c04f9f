"""Priors on spaces that are not flat."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from vaeworks.distributions.von_mises_fisher import UniformSphere
from vaeworks.distributions.wrapped_normal import WrappedNormal
from vaeworks.priors.base import Prior

__all__ = ["SpherePrior", "WrappedNormalPrior"]


class SpherePrior(Prior):
    """Uniform on the unit sphere in D dimensions, whatever the context: what von Mises-Fisher posteriors go with (Davidson et al. 2018, arXiv:1804.00891).

    A temperature changes nothing: no point of the sphere is nearer to the middle than another.
    """

    space = "sphere"

    def __init__(self, latent_size: int, context_size: int = 0):
        super().__init__(latent_size, context_size)
        if latent_size < 2:
            raise ValueError(f"latent_size={latent_size}: a sphere needs at least two dimensions; its own is one less than latent_size")
        self.like: Tensor
        self.register_buffer("like", torch.zeros(latent_size), persistent=False)

    def forward(self, context: Tensor | None = None) -> UniformSphere:
        return UniformSphere(self.like)

    def draw(self, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return self.forward().sample((n,))


class WrappedNormalPrior(Prior):
    """The wrapped normal of unit scale at the origin of the Poincare ball, whatever the context (Mathieu et al. 2019, arXiv:1901.06033; Nagano et al. 2019, arXiv:1902.02992).

    curvature: c of a space of curvature -c; must be the posterior's. A temperature scales a code's distance from the origin.
    """

    space = "ball"

    def __init__(self, latent_size: int, context_size: int = 0, *, curvature: Annotated[float, Field(gt=0)] = 1.0):
        super().__init__(latent_size, context_size)
        self.curvature = curvature
        self.loc: Tensor
        self.scale: Tensor
        self.register_buffer("loc", torch.zeros(latent_size), persistent=False)
        self.register_buffer("scale", torch.ones(latent_size), persistent=False)

    def forward(self, context: Tensor | None = None) -> WrappedNormal:
        return WrappedNormal(self.loc, self.scale, self.curvature)

    def draw(self, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return WrappedNormal(self.loc, temperature * self.scale, self.curvature).sample((n,))
