"""Objective and Loss, and the KL divergence of a latent level."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import Independent, kl_divergence

from vaeworks.trace import Batch, Latent, Trace

__all__ = ["Loss", "Objective", "analytic_kl", "kl_per_dimension"]


@dataclass(frozen=True)
class Loss:
    """A number to minimise, and the true quantities behind it."""

    value: Tensor
    """Scalar, averaged over the batch. May be a surrogate (weighted, free bits); never reported as a bound."""
    terms: Mapping[str, Tensor]
    """Per item, in nats, (B,) or (K, B): ``elbo`` is the evidence lower bound itself, whatever ``value`` weighs."""
    opponent: Tensor | None = None
    """Scalar, what the objective's own parameters (a discriminator's) minimise while the model minimises ``value``."""


class Objective(nn.Module):
    """(trace, batch) -> Loss. Parameters of its own are trained on ``Loss.opponent``, never on ``Loss.value``."""

    samples: int = 1
    """K, the samples of z per item that the objective wants."""

    @abstractmethod
    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        """The loss of a batch; ``weight`` is what ``schedule`` says at this moment of training."""

    def weight(self, progress: float) -> float:
        """The scheduled weight at ``progress`` in [0, 1]; 1 where nothing is scheduled."""
        return 1.0

    def __call__(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        loss: Loss = super().__call__(trace, batch, weight)
        return loss


def analytic_kl(latent: Latent) -> Tensor | None:
    """KL(q(z | x) || p(z)) in nats, (B,) or (K, B), where torch knows a closed form; otherwise None."""
    try:
        return kl_divergence(latent.q, latent.p)
    except NotImplementedError:
        return None


def kl_per_dimension(latent: Latent, *, analytic: bool = True) -> Tensor:
    """KL in nats for each dimension of a level, (..., D), its sum the level's KL; where q or p does not factorise, the whole as one dimension, (..., 1).

    Closed form, (B, D), where torch knows it and ``analytic`` allows it; else the sampled log q - log p, (K, B, D).
    """
    if not (isinstance(latent.q, Independent) and isinstance(latent.p, Independent)):
        total = analytic_kl(latent) if analytic else None
        return torch.unsqueeze(-latent.log_ratio() if total is None else total, -1)
    each = Latent(latent.z, latent.q.base_dist, latent.p.base_dist)
    kl = analytic_kl(each) if analytic else None
    return (-each.log_ratio() if kl is None else kl).flatten(-latent.q.reinterpreted_batch_ndims)
