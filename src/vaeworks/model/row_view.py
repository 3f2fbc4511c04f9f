"""RowView: a row of a table as a network of real numbers sees it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaeworks.distributions.margins import COUNTS, Margin

__all__ = ["RowView"]

FAR = 10.0
"""Standard deviations beyond which a number looks no different to a network: what is further off must not drown the other columns."""
WIDE = 2000
"""Columns beyond which flags would double what a network has to read."""


class RowView(nn.Module):
    """(x (B, D), observed (B, D) or None) -> (input (B, F), seen (B, F) or None): numbers as they are, counts by logarithm, a category one-hot; then D flags, 1 where a cell is missing.

    F is ``size``. The flags themselves are always seen; a table of more than ``WIDE`` columns has none, and its missing cells look like the mean.
    """

    def __init__(self, margins: Sequence[Margin]):
        super().__init__()
        sizes = [margin.size if margin.kind in {"categorical", "boolean"} else 0 for margin in margins]
        counts = [margin.kind in COUNTS for margin in margins]
        widths = torch.tensor([max(1, size) for size in sizes])
        self.flags = len(margins) <= WIDE
        self.size = int(widths.sum()) + (len(margins) if self.flags else 0)
        self.first: Tensor
        self.owner: Tensor
        self.category: Tensor
        self.number: Tensor
        self.count: Tensor
        for name, tensor in {
            "first": widths.cumsum(0) - widths,  # of each column's places in the input
            "owner": torch.arange(len(margins)).repeat_interleave(widths),  # of each place, without the flags
            "category": torch.tensor([i for i, size in enumerate(sizes) if size], dtype=torch.int64),
            "number": torch.tensor([i for i, size in enumerate(sizes) if not size], dtype=torch.int64),
            "count": torch.tensor([is_count for is_count, size in zip(counts, sizes, strict=True) if not size], dtype=torch.bool),
        }.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, x: Tensor, observed: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        if observed is not None:
            x = x.masked_fill(~observed, 0)
        shown = x.new_zeros(x.shape[0], self.size)
        if len(self.number):
            numbers = x[:, self.number]
            shown[:, self.first[self.number]] = torch.where(self.count, numbers.clamp_min(0).log1p(), numbers).clamp(-FAR, FAR)
        if len(self.category):
            shown.scatter_(1, x[:, self.category].long() + self.first[self.category], 1.0)
        if observed is None:
            return shown, None
        seen = observed[:, self.owner]
        if self.flags:
            shown[:, len(self.owner) :] = (~observed).to(shown)
            seen = torch.cat([seen, torch.ones_like(observed)], 1)
        return shown, seen
