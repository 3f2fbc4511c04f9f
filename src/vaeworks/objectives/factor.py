"""FactorVAE."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from vaeworks.objectives.base import Loss, Objective, bound_terms, kl_of
from vaeworks.objectives.opponents import codes, contest, discriminator, held, met
from vaeworks.objectives.schedules import Schedule
from vaeworks.trace import Batch, Trace

__all__ = ["Factor", "permuted"]


def permuted(z: Tensor) -> Tensor:
    """Codes (K, B, D) with each dimension shuffled over the items by itself: samples of prod_d q(z_d)."""
    return z.gather(1, torch.rand(z.shape, device=z.device).argsort(1))


class Factor(Objective):
    """-ELBO + gamma TC, TC = KL(q(z) || prod_d q(z_d)) by the density ratio that a discriminator of codes and shuffled codes learns (Kim & Mnih 2018, arXiv:1802.05983).

    gamma: weight of the total correlation; the schedule multiplies it.
    hidden: the discriminator's layers.

    ``terms["total_correlation_discriminated"]`` is what the discriminator makes of it: no bound, and right only where it is a good one.
    """

    stationary = False

    def __init__(
        self,
        *,
        gamma: Annotated[float, Field(ge=0)] = 10.0,
        hidden: tuple[Annotated[int, Field(gt=0)], ...] = (256, 256, 256),
        analytic: bool = True,
        samples: Annotated[int, Field(gt=0)] = 1,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.gamma, self.hidden, self.analytic = gamma, hidden, analytic
        self.discriminator: nn.Module | None = None

    def settle(self, trace: Trace, count: int) -> None:
        self.discriminator = discriminator(codes(trace).shape[-1], self.hidden)

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        judge = met(self.discriminator, self)
        log_likelihood, kl, z = trace.log_likelihood(batch), kl_of(trace, analytic=self.analytic), codes(trace)
        correlation = held(judge, z).squeeze(-1)
        value = kl.mean() - log_likelihood.mean() + self.gamma * weight * correlation.mean()
        terms = bound_terms(log_likelihood, kl) | {"total_correlation_discriminated": correlation.detach()}
        return Loss(value, terms, contest(judge, z, permuted(z.detach())))
