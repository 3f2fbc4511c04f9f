"""One half of the bound held at a target by a Lagrange multiplier."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from vaeworks.objectives.base import Loss, Objective, bound_terms, kl_of
from vaeworks.trace import Batch, Trace

__all__ = ["GECO"]

BOUND = math.log(1e4)
"""Greatest |log multiplier|."""


class GECO(Objective):
    """Minimise one of rate = KL and distortion = -E_q[log p(x | z)] subject to the other <= target (Rezende & Viola 2018, arXiv:1810.00597).

    The loss is the free one + multiplier * (the constrained one - target). While training the multiplier follows the moving average of that excess: it grows while the
    constraint is broken, falls while there is room, and stays within 1e-4 and 1e4. Evaluation leaves it alone.

    constrain: ``rate`` or ``distortion``. target: nats per item (a distortion may be negative where p(x | z) is a density).
    speed: greatest change of the log multiplier in a step, reached where the average excess is as large as the target (or a nat).
    memory: decay per step of the moving average.
    """

    stationary = False

    def __init__(
        self,
        *,
        constrain: Literal["rate", "distortion"] = "rate",
        target: float = 20.0,
        speed: Annotated[float, Field(gt=0)] = 0.02,
        memory: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        analytic: bool = True,
        samples: Annotated[int, Field(gt=0)] = 1,
    ):
        super().__init__(samples)
        self.constrain, self.target, self.speed, self.memory, self.analytic = constrain, target, speed, memory, analytic
        self.log_multiplier: Tensor
        self.excess: Tensor
        self.steps: Tensor
        self.register_buffer("log_multiplier", torch.zeros(()))
        self.register_buffer("excess", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        log_likelihood, kl = trace.log_likelihood(batch), kl_of(trace, analytic=self.analytic)
        rate, distortion = kl.mean(), -log_likelihood.mean()
        held, free = (rate, distortion) if self.constrain == "rate" else (distortion, rate)
        value = free + self.log_multiplier.exp() * (held - self.target)
        if self.training:
            self._follow(held.detach() - self.target)
        return Loss(value, bound_terms(log_likelihood, kl))

    @torch.no_grad()
    def _follow(self, excess: Tensor) -> None:
        """A step whose excess is not finite leaves no trace."""
        fine = excess.isfinite()
        average = torch.where(self.steps > 0, torch.lerp(excess.to(self.excess), self.excess, self.memory), excess.to(self.excess))
        self.excess.copy_(torch.where(fine, average, self.excess))
        push = self.speed * (self.excess / max(abs(self.target), 1.0)).clamp(-1, 1)
        self.log_multiplier.copy_(torch.where(fine, (self.log_multiplier + push).clamp(-BOUND, BOUND), self.log_multiplier))
        self.steps += fine
