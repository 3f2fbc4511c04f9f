"""Which items a step takes."""

from __future__ import annotations

import torch
from torch import Tensor

from vaeworks.data import Items

__all__ = ["Order"]

LABELLED_EVERY = 8
"""One in so many items of a batch has a label, where fewer than that have one and the model infers it of the others."""


class Order:
    """Every item once an epoch, in an order drawn from the seed and the epoch's number, so that resuming needs no state for it.

    labels_matter: where items with a label are rare, every eighth place of a batch goes to one of them at random: a batch without a label would not teach the class.
    ``share`` is then the share of items that have one, by which an objective undoes this; otherwise None.
    """

    def __init__(self, items: Items, batch_size: int, *, labels_matter: bool = False):
        self.count, self.batch_size, self.device = len(items), batch_size, items.values.device
        self.epoch_steps = self.count // batch_size
        known = torch.empty(0) if items.labels is None or not labels_matter else (items.labels >= 0).nonzero()[:, 0].to(self.device)
        self.labelled, self.share = known, len(known) / self.count if 0 < len(known) * LABELLED_EVERY < self.count else None
        self.epoch, self.permutation = -1, torch.empty(0)

    def at(self, step: int, seed: int) -> Tensor:
        """The places (B,) of the items of ``step``."""
        epoch, position = divmod(step, self.epoch_steps)
        if self.epoch != epoch:
            generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
            self.epoch, self.permutation = epoch, torch.randperm(self.count, generator=generator).to(self.device)
        index = self.permutation[position * self.batch_size : (position + 1) * self.batch_size]
        if self.share is not None:
            index = index.clone()
            slots = index[::LABELLED_EVERY]
            slots.copy_(self.labelled[torch.randint(len(self.labelled), (len(slots),)).to(self.device)])
        return index
