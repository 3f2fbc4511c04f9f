"""What the codes know: how the KL divides into what they tell about x and how far they are, together, from the prior; and the bias of a bound, taken off."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.errors import VaeworksError
from vaeworks.latents import FlatLatents, context_of
from vaeworks.model import VAE, Schema
from vaeworks.objectives.iwae import log_mean_exp

__all__ = ["Information", "information", "jackknife"]


@dataclass(frozen=True)
class Information:
    """E_x KL(q(z | x) || p(z)) = I_q(x; z) + KL(q(z) || p(z)) (Hoffman & Johnson 2016), in nats, q(z) being the mean of q(z | x) over ``items`` items."""

    mutual_information: float
    """I_q(x; z): never more than log(items)."""
    aggregate_kl: float
    """KL(q(z) || p(z)): what sampling from the prior misses."""
    standard_error: float
    """Of both, over items."""
    items: int


@torch.inference_mode()
def information(vae: VAE, items: Items, schema: Schema, *, most: int = 5000, seed: int = 0, device: torch.device | str = "cpu") -> Information:
    """I_q(x; z) and KL(q(z) || p(z)) over the first ``most`` of ``items``, one draw of z an item, q(z) summed over all of them exactly.

    Raises VaeworksError for latents that are not one vector under the prior, NotImplementedError for posteriors without a density.
    """
    if not isinstance(vae.latents, FlatLatents):
        raise VaeworksError(
            f"{type(vae.latents).__name__}: the codes' information is written for latents that are one vector, drawn from q(z | x) and under the prior p(z) as they are:"
            " train with --set latents.kind=flat to measure it"
        )
    vae.eval()
    torch.manual_seed(seed)
    chosen = items[:most]
    batches = [batch.to(device) for batch in chosen.batches(schema, 500, torch.Generator().manual_seed(seed))]
    posteriors = [vae.encoder(batch.x, batch.observed, *context_of(batch)) for batch in batches]
    total, squares, priors = 0.0, 0.0, 0.0
    for batch, q in zip(batches, posteriors, strict=True):
        z = q.rsample()
        own = q.log_prob(z).double()
        parts = torch.cat([other.log_prob(z[:, None]).double() for other in posteriors], 1)  # (b, N): every z under every posterior
        aggregate = log_mean_exp(parts, 1)
        total += float((own - aggregate).sum())
        squares += float((own - aggregate).square().sum())
        priors += float((aggregate - vae.prior(batch.context).log_prob(z).double()).sum())
    n = len(chosen)
    variance = max(0.0, squares / n - (total / n) ** 2)
    return Information(total / n, priors / n, math.sqrt(variance / max(1, n - 1)), n)


def jackknife(log_w: Tensor, order: int = 1) -> Tensor:
    """log p(x) from K log weights (K, ...) with the bias of the importance-weighted bound taken off up to 1/K^order (Nowozin 2018, ICLR; no bound any more).

    order 0 is the bound itself, 1 leaves one weight out at a time, 2 every pair.
    """
    k = len(log_w)
    if not 0 <= order <= 2:
        raise ValueError(f"order={order}: 0, 1 and 2 are written")
    if k <= order:
        raise ValueError(f"{k} weights are too few for order {order}: more than {order} are needed")

    def bound(size: int) -> Tensor:
        """The mean of the bound over all subsets of k - size left-out weights."""
        if size == k:
            return log_mean_exp(log_w)
        return torch.stack([log_mean_exp(_without(log_w, out)) for out in _subsets(k, k - size)]).mean(0)

    total = torch.zeros_like(log_w[0])
    for j in range(order + 1):
        weight = (-1) ** j * (k - j) ** order / (math.factorial(order - j) * math.factorial(j))
        total = total + weight * bound(k - j)
    return total


def _subsets(k: int, size: int) -> list[tuple[int, ...]]:
    if size == 1:
        return [(i,) for i in range(k)]
    return [(i, j) for i in range(k) for j in range(i)]


def _without(log_w: Tensor, out: tuple[int, ...]) -> Tensor:
    kept = torch.ones(len(log_w), dtype=torch.bool)
    kept[list(out)] = False
    return log_w[kept]
