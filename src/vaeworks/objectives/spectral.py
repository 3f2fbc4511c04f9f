"""The multi-resolution spectral distance as a penalty."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from vaeworks.objectives.base import Loss, Objective, bound_terms, kl_of, side_by_side
from vaeworks.objectives.schedules import Schedule
from vaeworks.signals import stft_distance
from vaeworks.trace import Batch, Trace

__all__ = ["SpectralELBO", "spectral_distance"]

Windows = tuple[Annotated[int, Field(ge=4)], ...]


def spectral_distance(trace: Trace, batch: Batch, windows: Windows) -> Tensor:
    """The multi-resolution STFT distance of E[x | z] from x, waveforms, (K, B). What is missing, or past the end, is silent in both."""
    if batch.x.dim() != 3:
        raise ValueError(
            f"a spectral distance compares waveforms, and an item is of shape {tuple(batch.x.shape[1:])}: use another objective, such as 'elbo'"
        )
    x, mean = side_by_side(trace, batch)
    silent = mean.isnan() if batch.observed is None else mean.isnan() | ~batch.observed
    x, mean = x.masked_fill(silent, 0), mean.masked_fill(silent, 0)
    distance: Tensor = stft_distance(x.flatten(0, 1), mean.flatten(0, 1), windows).unflatten(0, mean.shape[:2])
    return distance


class SpectralELBO(Objective):
    """beta KL - E_q[log p(x | z)] + strength (STFT distance of E[x | z] from x): waveforms that sound alike, whatever their phases (after Yamamoto et al. 2020, arXiv:1910.11480).

    strength: nats per unit of distance. windows: of the transforms, in samples. beta: weight of the KL; the schedule multiplies it.

    Waveforms only. What is missing, or past the end, is silent in both. ``terms["spectral_distance"]`` is a penalty, no density.
    """

    def __init__(
        self,
        *,
        strength: Annotated[float, Field(ge=0)] = 100.0,
        windows: Windows = (64, 256, 1024),
        beta: Annotated[float, Field(ge=0)] = 1.0,
        analytic: bool = True,
        samples: Annotated[int, Field(gt=0)] = 1,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.strength, self.windows, self.beta, self.analytic = strength, windows, beta, analytic

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        distance = spectral_distance(trace, batch, self.windows)
        log_likelihood, kl = trace.log_likelihood(batch), kl_of(trace, analytic=self.analytic)
        value = self.beta * weight * kl.mean() - log_likelihood.mean() + self.strength * distance.mean()
        return Loss(value, bound_terms(log_likelihood, kl) | {"spectral_distance": distance.detach()})
