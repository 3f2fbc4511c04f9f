"""The plain autoencoder's objective."""

from __future__ import annotations

from torch import Tensor

from vaeworks.objectives.base import Loss, Objective
from vaeworks.posteriors import Known
from vaeworks.trace import Batch, Trace

__all__ = ["Autoencoder"]


class Autoencoder(Objective):
    """-E_q[log p(x | z)] alone: no KL, so no bound on log p(x) and nothing that ties the codes to the prior. Needs no density."""

    needs = Known.NOTHING

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        log_likelihood = trace.log_likelihood(batch)
        return Loss(-log_likelihood.mean(), {"log_likelihood": log_likelihood.detach()})
