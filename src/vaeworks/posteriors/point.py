"""The point-mass posterior: with it the same parts make a plain autoencoder."""

from __future__ import annotations

from torch import Tensor

from vaeworks.distributions import PointMass
from vaeworks.posteriors.base import Known, Posterior

__all__ = ["PointPosterior"]


class PointPosterior(Posterior):
    """q(z | x) = all mass at features (B, D). No density, no KL, no bound on log p(x)."""

    known = Known.NOTHING

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return (self.latent_size,)

    def forward(self, features: Tensor) -> PointMass:
        return PointMass(features)
