"""Likelihoods on quantised pixels: probability masses over 2 to 256 levels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from vaeworks.distributions import DiscretisedLogistic, DiscretisedLogisticMixture, Factorised, GridCategorical
from vaeworks.likelihoods.base import Likelihood, ScaledLikelihood, soft_clamp

__all__ = ["CategoricalLikelihood", "DiscretisedLogisticLikelihood", "DiscretisedLogisticMixtureLikelihood"]


class DiscretisedLogisticLikelihood(ScaledLikelihood):
    """A logistic rounded to the data's levels (Kingma et al. 2016, arXiv:1606.04934), with one learned scale, or one per coordinate where ``per_pixel``."""

    discrete = True

    def __init__(self, event_shape: tuple[int, ...], levels: int, *, per_pixel: bool = False, scale: Annotated[float, Field(gt=0)] = 0.1):
        super().__init__(event_shape, levels, initial_scale=scale)
        self.parameters_per_coordinate = 2 if per_pixel else 1

    def forward(self, features: Tensor) -> Factorised:
        loc, *rest = self.split(features)
        log_scale = self.log_scale + soft_clamp(rest[0], 5) if rest else self.log_scale
        return Factorised(DiscretisedLogistic(loc + 0.5, log_scale, self.levels), len(self.event_shape))


class DiscretisedLogisticMixtureLikelihood(Likelihood):
    """A mixture of discretised logistics per pixel, its component shared by the channels (after Salimans et al. 2017, arXiv:1701.05517)."""

    discrete = True

    def __init__(self, event_shape: tuple[int, ...], levels: int, *, components: Annotated[int, Field(gt=0, le=100)] = 3):
        super().__init__(event_shape, levels)
        self.components = components

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        channels, height, width = self.event_shape
        return (self.components * (1 + 2 * channels), height, width)

    def forward(self, features: Tensor) -> DiscretisedLogisticMixture:
        channels = self.event_shape[0]
        logits, rest = features.split([self.components, 2 * self.components * channels], -3)
        loc, log_scale = rest.unflatten(-3, (2, self.components, channels)).unbind(-5)
        return DiscretisedLogisticMixture(logits, loc + 0.5, soft_clamp(log_scale, 5) - 2.5, self.levels)


class CategoricalLikelihood(Likelihood):
    """A free probability for each of the levels of every coordinate (van den Oord et al. 2016, arXiv:1601.06759)."""

    discrete = True

    def __init__(self, event_shape: tuple[int, ...], levels: int):
        super().__init__(event_shape, levels)
        self.parameters_per_coordinate = levels

    def forward(self, features: Tensor) -> Factorised:
        rank = len(self.event_shape)
        logits = features.unflatten(-rank, (self.levels, self.event_shape[0])).movedim(-rank - 1, -1)
        return Factorised(GridCategorical(logits), rank)
