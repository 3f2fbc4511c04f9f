"""The evidence lower bound."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from vaeworks.objectives.base import Loss, Objective, analytic_kl, kl_per_dimension
from vaeworks.objectives.schedules import Constant, Schedule
from vaeworks.trace import Batch, Trace

__all__ = ["ELBO"]


class ELBO(Objective):
    """log p(x) >= E_q[log p(x | z)] - KL(q(z | x) || p(z)), summed over coordinates and dimensions, averaged over items only (Kingma & Welling 2014, arXiv:1312.6114).

    beta: weight of the KL (Higgins et al. 2017); 1 is the bound. The schedule multiplies it.
    free_bits: nats per latent dimension, averaged over the batch, below which the KL is not pushed (Kingma et al. 2016, arXiv:1606.04934).
    samples: z drawn per item; more lower the gradient's variance, the bound stays the same.
    analytic: use the closed form of the KL where torch knows it; False samples it.

    Whatever the knobs, ``terms["elbo"]`` is the unweighted bound.
    """

    def __init__(
        self,
        *,
        beta: Annotated[float, Field(ge=0)] = 1.0,
        free_bits: Annotated[float, Field(ge=0)] = 0.0,
        samples: Annotated[int, Field(gt=0)] = 1,
        analytic: bool = True,
        schedule: Schedule | None = None,
    ):
        super().__init__()
        self.beta, self.free_bits, self.samples, self.analytic = beta, free_bits, samples, analytic
        self.schedule = schedule or Constant()

    def weight(self, progress: float) -> float:
        return self.schedule(progress)

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        log_likelihood = trace.log_likelihood(batch)
        if self.free_bits:
            per_dimension = [kl_per_dimension(latent, analytic=self.analytic) for latent in trace.latents]
            kl = torch.stack([k.sum(-1).expand_as(log_likelihood) for k in per_dimension]).sum(0)
            penalty = torch.stack([k.flatten(0, -2).mean(0).clamp_min(self.free_bits).sum() for k in per_dimension]).sum()
        else:
            kl = self._kl(trace)
            penalty = kl.mean()
        value = self.beta * weight * penalty - log_likelihood.mean()
        return Loss(value, {"elbo": log_likelihood.detach() - kl.detach(), "log_likelihood": log_likelihood.detach(), "kl": kl.detach()})

    def _kl(self, trace: Trace) -> Tensor:
        """KL summed over levels: (B,) or (K, B)."""
        levels = []
        for latent in trace.latents:
            closed = analytic_kl(latent) if self.analytic else None
            levels.append(-latent.log_ratio() if closed is None else closed)
        return sum(levels[1:], start=levels[0])
