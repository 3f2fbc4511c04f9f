"""Which items a step takes."""

from __future__ import annotations

import torch
from torch import Tensor

from vaeworks.data import Items

__all__ = ["Order"]

LABELLED_EVERY = 8
"""One in so many items of a batch has a label, where fewer than that have one and the model infers it of the others."""
WINDOW = 50
"""Batches among whose items each batch takes those of one length."""
NOISE = 0.1
"""Relative difference up to which lengths count as one, so that an item's company changes from epoch to epoch."""


class Order:
    """Every item once an epoch, in an order drawn from the seed and the epoch's number, so that resuming needs no state for it.

    alike: items that have lengths come in batches of similar ones, which need little padding; the order of the batches is random.
    labels_matter: where items with a label are rare, every eighth place of a batch goes to one of them at random: a batch without a label would not teach the class.
    ``share`` is then the share of items that have one, by which an objective undoes this; otherwise None.
    """

    def __init__(self, items: Items, batch_size: int, *, labels_matter: bool = False, alike: bool = True):
        self.count, self.batch_size, self.device = len(items), batch_size, items.values.device
        self.epoch_steps = self.count // batch_size
        self.lengths = items.lengths.cpu() if alike and items.lengths is not None else None
        known = torch.empty(0) if items.labels is None or not labels_matter else (items.labels >= 0).nonzero()[:, 0].to(self.device)
        self.labelled, self.share = known, len(known) / self.count if 0 < len(known) * LABELLED_EVERY < self.count else None
        self.epoch, self.permutation = -1, torch.empty(0)

    def at(self, step: int, seed: int) -> Tensor:
        """The places (B,) of the items of ``step``."""
        epoch, position = divmod(step, self.epoch_steps)
        if self.epoch != epoch:
            generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
            order = torch.randperm(self.count, generator=generator)
            self.epoch, self.permutation = epoch, (order if self.lengths is None else self._alike(order, self.lengths, generator)).to(self.device)
        index = self.permutation[position * self.batch_size : (position + 1) * self.batch_size]
        if self.share is not None:
            index = index.clone()
            slots = index[::LABELLED_EVERY]
            slots.copy_(self.labelled[torch.randint(len(self.labelled), (len(slots),)).to(self.device)])
        return index

    def _alike(self, order: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        """``order`` (N,) with the items of every so many batches sorted by length, and these batches in a random order."""
        order = order[: self.epoch_steps * self.batch_size]
        like = lengths[order] * (1 + NOISE * torch.rand(len(order), generator=generator, dtype=torch.float32))
        windows = zip(order.split(WINDOW * self.batch_size), like.split(WINDOW * self.batch_size), strict=True)
        batches = torch.cat([window[length.argsort(stable=True)] for window, length in windows]).view(self.epoch_steps, self.batch_size)
        return batches[torch.randperm(self.epoch_steps, generator=generator)].flatten()
