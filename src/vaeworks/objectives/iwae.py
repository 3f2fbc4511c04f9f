"""The importance-weighted bound."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from vaeworks.objectives.base import Loss, Objective, bound_terms, surrogate
from vaeworks.objectives.paths import by_way_of_z, log_q_of_z
from vaeworks.objectives.schedules import Schedule
from vaeworks.trace import Batch, Trace

__all__ = ["IWAE", "Weights", "log_mean_exp"]


def log_mean_exp(log_w: Tensor, dim: int = 0) -> Tensor:
    """log of the mean of exp(log_w) over ``dim``."""
    return log_w.logsumexp(dim) - math.log(log_w.shape[dim])


class Weights:
    """The parts of log w = log p(x | z) + log p(z) - log q(z | x), each (K, B) in nats, the prior and posterior together weighed by ``beta``."""

    def __init__(self, trace: Trace, batch: Batch, beta: Tensor | float):
        self.log_likelihood = trace.log_likelihood(batch)
        log_prior = torch.stack([latent.p.log_prob(latent.z) for latent in trace.latents]).sum(0)
        self.log_q = torch.stack([latent.q.log_prob(latent.z) for latent in trace.latents]).sum(0)
        self.kl = self.log_q - log_prior
        self.log_joint = self.log_likelihood + beta * log_prior
        self.log_w = self.log_joint - beta * self.log_q

    def terms(self) -> dict[str, Tensor]:
        """The bounds that these samples give, unweighted: the ELBO (K, B) and the bound of all K samples (B,)."""
        terms = bound_terms(self.log_likelihood, self.kl)
        return terms | {"iwae": log_mean_exp(terms["elbo"])}


class IWAE(Objective):
    """log p(x) >= E[log 1/K sum_k w_k], w_k = p(x | z_k) p(z_k) / q(z_k | x): the ELBO at K = 1, rising with K towards log p(x) (Burda et al. 2016, arXiv:1509.00519).

    samples: K.
    beta: weight of log p(z) - log q(z | x) in log w; 1 is the bound. The schedule multiplies it.
    gradient: ``dreg`` is the doubly reparameterised one of the encoder: unbiased, of lower variance, whose quality does not fall with K as that of ``plain``, autograd's
        own, does (Tucker et al. 2019, arXiv:1810.04152; Rainforth et al. 2018, arXiv:1802.04537).

    ``terms["elbo"]`` and ``terms["iwae"]`` are the unweighted bounds.
    """

    def __init__(
        self,
        *,
        samples: Annotated[int, Field(gt=0)] = 8,
        beta: Annotated[float, Field(ge=0)] = 1.0,
        gradient: Literal["plain", "dreg"] = "plain",
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.beta, self.gradient = beta, gradient
        self.compilable = gradient == "plain"

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        beta = self.beta * weight
        parts = Weights(trace, batch, beta)
        value = -log_mean_exp(parts.log_w).mean()
        if self.gradient == "dreg" and torch.is_grad_enabled():
            value = surrogate(value, _doubly_reparameterised(trace, parts, beta))
        return Loss(value, parts.terms())


def _doubly_reparameterised(trace: Trace, parts: Weights, beta: Tensor | float) -> Tensor:
    """A scalar to minimise whose gradient has the bound's mean.

    With v_k the normalised weights, decoder and prior feel sum_k v_k d log p(x, z_k). The encoder feels sum_k v_k (1 - beta (1 - v_k)) (d log w_k / dz_k) dz_k: the score of q, whose
    weight is -beta v_k, has the same mean as -beta v_k (1 - v_k) (d log w_k / dz_k) dz_k.
    """
    share = parts.log_w.detach().softmax(0)
    kept = share * (1 - beta * (1 - share))
    log_w_of_z = parts.log_joint - beta * log_q_of_z(trace.latents)
    joint = (share * parts.log_joint).sum(0).mean()
    return -joint - by_way_of_z((kept * log_w_of_z).sum(0).mean() - joint, trace.latents)
