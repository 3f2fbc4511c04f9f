"""The evidence lower bound."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from vaeworks.objectives.base import Loss, Objective, bound_terms, kl_of, kl_per_dimension, surrogate
from vaeworks.objectives.paths import by_way_of_z, log_q_of_z
from vaeworks.objectives.schedules import Schedule
from vaeworks.trace import Batch, Trace

__all__ = ["ELBO"]


class ELBO(Objective):
    """log p(x) >= E_q[log p(x | z)] - KL(q(z | x) || p(z)), summed over coordinates and dimensions, averaged over items only (Kingma & Welling 2014, arXiv:1312.6114).

    beta: weight of the KL (Higgins et al. 2017); 1 is the bound. The schedule multiplies it.
    free_bits: nats per latent dimension, averaged over the batch, below which the KL is not pushed (Kingma et al. 2016, arXiv:1606.04934).
    samples: z drawn per item; more lower the gradient's variance, the bound stays the same.
    analytic: use the closed form of the KL where torch knows it; False samples it.
    gradient: ``stl``, sticking the landing, leaves out the score of q, whose mean is zero: unbiased, and without variance where q is the exact posterior (Roeder et al. 2017,
        arXiv:1703.09194); ``plain`` is autograd's own.

    Whatever the knobs, ``terms["elbo"]`` is the unweighted bound.
    """

    def __init__(
        self,
        *,
        beta: Annotated[float, Field(ge=0)] = 1.0,
        free_bits: Annotated[float, Field(ge=0)] = 0.0,
        samples: Annotated[int, Field(gt=0)] = 1,
        analytic: bool = True,
        gradient: Literal["plain", "stl"] = "plain",
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        if gradient == "stl" and free_bits:
            raise ValueError(
                f"free_bits={free_bits} needs the KL of each dimension, which gradient='stl' does not look at: use gradient='plain', or free_bits=0"
            )
        self.beta, self.free_bits, self.analytic, self.gradient = beta, free_bits, analytic, gradient
        self.compilable = gradient == "plain"

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        log_likelihood = trace.log_likelihood(batch)
        if self.free_bits:
            per_dimension = [kl_per_dimension(latent, analytic=self.analytic) for latent in trace.latents]
            kl = torch.stack([k.sum(-1).expand_as(log_likelihood) for k in per_dimension]).sum(0)
            penalty = torch.stack([k.flatten(0, -2).mean(0).clamp_min(self.free_bits).sum() for k in per_dimension]).sum()
        else:
            kl = kl_of(trace, analytic=self.analytic)
            penalty = kl.mean()
        beta = self.beta * weight
        value = beta * penalty - log_likelihood.mean()
        if self.gradient == "stl" and torch.is_grad_enabled():
            log_prior = torch.stack([latent.p.log_prob(latent.z) for latent in trace.latents]).sum(0)
            score_free = by_way_of_z((beta * log_q_of_z(trace.latents)).mean(), trace.latents)
            value = surrogate(value, score_free - (log_likelihood + beta * log_prior).mean())
        return Loss(value, bound_terms(log_likelihood, kl))
