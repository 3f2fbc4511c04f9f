"""The adversarial autoencoder."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from vaeworks.objectives.base import Loss, Objective, reconstruction_terms
from vaeworks.objectives.opponents import beside_the_prior, contest, discriminator, held, met
from vaeworks.objectives.schedules import Schedule
from vaeworks.posteriors import Known
from vaeworks.trace import Batch, Trace

__all__ = ["Adversarial"]


class Adversarial(Objective):
    """-E_q[log p(x | z)] + strength E_q[-log D(z)], D telling samples of p(z) from codes (Makhzani et al. 2015, arXiv:1511.05644; the loss that does not saturate).

    strength: nats of reconstruction per nat of deceit; the schedule multiplies it.
    hidden: the discriminator's layers. A hierarchy has one a level, given the levels above.

    Needs no density: a point mass will do. ``terms["deceit"]`` is E_q[-log D(z)], log 2 where D cannot tell: no density and no bound.
    """

    stationary = False

    needs = Known.NOTHING

    def __init__(
        self,
        *,
        strength: Annotated[float, Field(ge=0)] = 10.0,
        hidden: tuple[Annotated[int, Field(gt=0)], ...] = (256, 256),
        samples: Annotated[int, Field(gt=0)] = 1,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.strength, self.hidden = strength, hidden
        self.discriminators: nn.ModuleList | None = None

    def settle(self, trace: Trace, count: int) -> None:
        self.discriminators = nn.ModuleList(discriminator(z.shape[-1], self.hidden) for z, _ in beside_the_prior(trace))

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        judges = met(self.discriminators, self)
        assert isinstance(judges, nn.ModuleList)
        levels = list(zip(judges, beside_the_prior(trace), strict=True))
        log_likelihood = trace.log_likelihood(batch)
        deceit = torch.stack([F.softplus(-held(judge, z).squeeze(-1)) for judge, (z, _) in levels]).sum(0)
        opponent = torch.stack([contest(judge, prior, z) for judge, (z, prior) in levels]).sum()
        value = self.strength * weight * deceit.mean() - log_likelihood.mean()
        return Loss(value, reconstruction_terms(trace, log_likelihood) | {"deceit": deceit.detach()}, opponent)
