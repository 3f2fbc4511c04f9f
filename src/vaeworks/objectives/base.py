"""Objective and Loss, and what most objectives are made of: the KL divergence of a trace, a level, a dimension."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Independent, kl_divergence

from vaeworks.objectives.schedules import Constant, Schedule
from vaeworks.posteriors import Known
from vaeworks.trace import Batch, Latent, Trace

__all__ = ["Loss", "Objective", "analytic_kl", "bound_terms", "kl_of", "kl_per_dimension", "reconstruction_terms", "side_by_side", "surrogate"]


@dataclass(frozen=True)
class Loss:
    """A number to minimise, and the true quantities behind it."""

    value: Tensor
    """Scalar, averaged over the batch. May be a surrogate (weighted, free bits); never reported as a bound."""
    terms: Mapping[str, Tensor]
    """Per item, (B,) or (K, B): ``elbo`` is the evidence lower bound itself in nats, whatever ``value`` weighs. What is no density has a name that says what it is."""
    opponent: Tensor | None = None
    """Scalar, what the objective's own parameters (a discriminator's) minimise while the model minimises ``value``; it gives the model no gradient."""


class Objective(nn.Module):
    """(trace, batch) -> Loss. Parameters of its own are trained on ``Loss.opponent``; ``Loss.value`` gives them no gradient.

    The trace's penalties are added to what ``forward`` returns, whatever the objective.
    """

    needs: ClassVar[Known] = Known.DRAWN
    """What must be known of q(z | x); a point mass has no density."""
    stationary: ClassVar[bool] = True
    """Whether the loss of validation items means the same all along, so that the best weights can be told by it; not where a multiplier or an opponent moves."""
    labelled: float | None = None
    """Share of the training items whose label is known, where batches hold more of them than that; None: batches are like the data. Set by who trains."""
    compilable: bool = True
    """Whether a step may be compiled as a whole; not where the loss is made of gradients taken on the way."""

    def __init__(self, samples: int = 1, schedule: Schedule | None = None):
        super().__init__()
        self.samples: int = samples
        """K, the samples of z per item that the objective wants."""
        self.schedule = schedule or Constant()

    def settle(self, trace: Trace, count: int) -> None:
        """Meet the trace of a few items, for its shapes, and the number of training items, before training; only what depends on them needs to."""

    @abstractmethod
    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        """The loss of a batch; ``weight`` is what ``schedule`` says at this moment of training."""

    def weight(self, progress: float) -> float:
        """The scheduled weight at ``progress`` in [0, 1]; 1 where nothing is scheduled."""
        return self.schedule(progress)

    def __call__(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        loss: Loss = super().__call__(trace, batch, weight)
        if not trace.penalties:
            return loss
        penalties = {name: penalty.detach().expand(len(batch)) for name, penalty in trace.penalties.items()}
        value = loss.value + torch.stack([penalty.mean() for penalty in trace.penalties.values()]).sum()
        return Loss(value, {**loss.terms, **penalties}, loss.opponent)


def bound_terms(log_likelihood: Tensor, kl: Tensor) -> dict[str, Tensor]:
    """The terms of the unweighted bound, (B,) or (K, B), from log p(x | z) (K, B) and the KL (B,) or (K, B)."""
    log_likelihood, kl = log_likelihood.detach(), kl.detach()
    return {"elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl}


def reconstruction_terms(trace: Trace, log_likelihood: Tensor) -> dict[str, Tensor]:
    """log p(x | z), with the ELBO where q has a density."""
    try:
        return bound_terms(log_likelihood, kl_of(trace))
    except NotImplementedError:
        return {"log_likelihood": log_likelihood.detach()}


def side_by_side(trace: Trace, batch: Batch) -> tuple[Tensor, Tensor]:
    """x and the mean of p(x | z), both (K, B, *event); where x is missing both are the mean, out of reach of the gradient."""
    mean: Tensor = trace.x.mean.to(batch.x)
    if batch.observed is None:
        return batch.x.expand_as(mean), mean
    return torch.where(batch.observed, batch.x, mean.detach()), torch.where(batch.observed, mean, mean.detach())


def surrogate(value: Tensor, gradient: Tensor) -> Tensor:
    """``value`` to whoever reads it, ``gradient`` to whoever differentiates it."""
    return gradient + (value - gradient).detach()


def kl_of(trace: Trace, *, analytic: bool = True) -> Tensor:
    """KL(q(z | x) || p(z)) in nats, summed over levels: (B,) or (K, B); closed form where torch knows it and ``analytic`` allows it, else sampled."""
    levels = []
    for latent in trace.latents:
        closed = analytic_kl(latent) if analytic else None
        levels.append(-latent.log_ratio() if closed is None else closed)
    return sum(levels[1:], start=levels[0])


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
