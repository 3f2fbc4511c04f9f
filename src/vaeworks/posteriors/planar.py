"""Posteriors bent by a few planar or radial steps, every parameter of which comes from the item."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from vaeworks.distributions import ForwardFlow, PlanarStep, RadialStep
from vaeworks.distributions.planar import Step
from vaeworks.posteriors.base import Known, Posterior, bent, scale_of

__all__ = ["PlanarPosterior", "RadialPosterior"]


class _StepPosterior(Posterior):
    """q(z | x): z = mean + scale * f(u), u ~ N(0, I), f a chain of steps; the density is known only at what was drawn (Rezende & Mohamed 2015, arXiv:1505.05770).

    steps: maps that f is made of. Features of zero make f the identity.
    """

    known = Known.DRAWN

    def __init__(self, latent_size: int, *, steps: Annotated[int, Field(gt=0)] = 8):
        super().__init__(latent_size)
        self.steps = steps

    @property
    @abstractmethod
    def step_size(self) -> int:
        """Features of one step."""

    @abstractmethod
    def step(self, features: Tensor) -> Step:
        """The step that features (..., step_size) describe."""

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return (2 * self.latent_size + self.steps * self.step_size,)

    def forward(self, features: Tensor) -> Distribution:
        mean, log_scale, rest = features.tensor_split((self.latent_size, 2 * self.latent_size), -1)
        return ForwardFlow(mean, scale_of(log_scale), tuple(self.step(part) for part in rest.unflatten(-1, (self.steps, self.step_size)).unbind(-2)))


class PlanarPosterior(_StepPosterior):
    """Planar flow: each step contracts or stretches space across a plane."""

    @property
    def step_size(self) -> int:
        return 2 * self.latent_size + 1

    def step(self, features: Tensor) -> PlanarStep:
        u, w, b = features.tensor_split((self.latent_size, 2 * self.latent_size), -1)
        return PlanarStep(bent(u), bent(w), b.squeeze(-1))


class RadialPosterior(_StepPosterior):
    """Radial flow: each step contracts or stretches space around a point."""

    @property
    def step_size(self) -> int:
        return self.latent_size + 2

    def step(self, features: Tensor) -> RadialStep:
        centre, log_alpha, strength = features.tensor_split((self.latent_size, self.latent_size + 1), -1)
        return RadialStep(bent(centre), bent(log_alpha).squeeze(-1), bent(strength).squeeze(-1))
