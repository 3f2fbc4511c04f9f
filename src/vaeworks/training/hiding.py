"""Coordinates hidden at random, so that q(z | what is seen) is learned for any subset of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vaeworks.trace import Batch

__all__ = ["hide"]


def hide(batch: Batch, share: float, *, ends: bool = False) -> Batch:
    """``batch`` with ``share`` of its observed coordinates marked unobserved, in the mean over items; draws from torch's global generator.

    An item loses something with probability min(1, 2 share), and then u of its coordinates, each independently, with u uniform over [0, 1] (over [2 share - 1, 1] where every item
    is to lose some): any subset may remain, and up to share = 0.25 half of the items or more are whole. The bound on what remains is maximised (Mattei & Frellsen 2019,
    arXiv:1812.02633; Ivanov et al. 2019, arXiv:1806.02382).
    ends: the last place of an item along the last axis stays, by which a sound tells how long it is.
    """
    event = batch.x.shape[1:]
    draw = torch.rand(2, len(batch), *(1 for _ in event), device=batch.x.device)
    lost = torch.where(draw[0] < 2 * share, 1 - draw[1] * min(1.0, 2 - 2 * share), 0)
    kept = torch.rand(batch.x.shape, device=batch.x.device) >= lost
    observed = torch.ones_like(kept) if batch.observed is None else batch.observed
    return replace(batch, observed=observed & (kept | _last(observed)) if ends else observed & kept)


def _last(observed: Tensor) -> Tensor:
    """True at the last place along the last axis at which anything of an item is observed: (B, 1 ..., T)."""
    heard = observed.flatten(1, -2).any(1) if observed.dim() > 2 else observed
    after = heard.flip(-1).cumsum(-1).flip(-1)
    return ((after == 1) & heard).view(len(observed), *(1 for _ in observed.shape[2:]), -1)
