"""A KL held at a capacity that grows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from vaeworks.objectives.base import Loss, Objective, bound_terms, kl_of
from vaeworks.objectives.schedules import LinearWarmUp, Schedule
from vaeworks.trace import Batch, Trace

__all__ = ["Capacity"]


class Capacity(Objective):
    """-E_q[log p(x | z)] + gamma |KL - C(t)|, the KL averaged over the batch (Burgess et al. 2018, arXiv:1804.03599).

    capacity: C at the end, in nats per item; the schedule multiplies it (by default it rises linearly over the first half of training).
    gamma: nats per nat by which the KL misses C.

    Below C the KL is pushed up, above it down: no part of its range is without a gradient.
    """

    def __init__(
        self,
        *,
        capacity: Annotated[float, Field(ge=0)] = 25.0,
        gamma: Annotated[float, Field(ge=0)] = 10.0,
        analytic: bool = True,
        samples: Annotated[int, Field(gt=0)] = 1,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule or LinearWarmUp(fraction=0.5))
        self.capacity, self.gamma, self.analytic = capacity, gamma, analytic

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        log_likelihood, kl = trace.log_likelihood(batch), kl_of(trace, analytic=self.analytic)
        value = self.gamma * (kl.mean() - self.capacity * weight).abs() - log_likelihood.mean()
        return Loss(value, bound_terms(log_likelihood, kl))
