"""Items in memory: stored values as compact integers, with what is known of each beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vaeworks.model import Schema
from vaeworks.trace import Batch

__all__ = ["Data", "Items"]


@dataclass(frozen=True)
class Items:
    """N items, in order."""

    values: Tensor
    """(N, *shape) stored values: uint8 levels, or float32 where the schema has no levels."""
    labels: Tensor | None = None
    """(N,) int64 class numbers; -1 where unknown."""
    names: tuple[str, ...] | None = None
    """File names, where items came from files."""
    observed: Tensor | None = None
    """(N, *shape) bool; None: everything is observed."""
    context: Tensor | None = None
    """(N, C) float32, numbers that items bring beside their values, in the units of ``schema.columns``."""
    factors: Tensor | None = None
    """(N, F) int64, what each item was made from, where that is known."""
    factor_names: tuple[str, ...] = ()
    lengths: Tensor | None = None
    """(N,) int64, how much of each item's values, along the last axis, is its own; what follows is padding. None: all of it."""

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, index: Tensor | slice) -> Items:
        names = self.names
        if names is not None:
            chosen = range(len(names))[index] if isinstance(index, slice) else index.tolist()
            names = tuple(names[i] for i in chosen)
        held = (self.labels, self.observed, self.context, self.factors, self.lengths)
        labels, observed, context, factors, lengths = (None if t is None else t[index] for t in held)
        return Items(self.values[index], labels, names, observed, context, factors, self.factor_names, lengths)

    def to(self, device: torch.device | str) -> Items:
        """The same items with what a batch is made of on ``device``."""
        held = (self.labels, self.observed, self.context, self.lengths)
        labels, observed, context, lengths = (None if t is None else t.to(device) for t in held)
        return replace(self, values=self.values.to(device), labels=labels, observed=observed, context=context, lengths=lengths)

    def conditions(self, schema: Schema, index: Tensor | slice = slice(None)) -> Tensor | None:
        """What a model of ``schema`` is conditional on, for the items at ``index``, (B, C); None where it is not. DataError for items that lack it."""
        if schema.context == "none":
            return None
        labels, vectors = (None if t is None else t[index] for t in (self.labels, self.context))
        context = schema.to_context(labels, vectors)
        count = len(index) if isinstance(index, Tensor) else len(range(len(self))[index])
        return None if context is None else context.to(self.values.device).expand(count, -1)

    def batch(self, schema: Schema, index: Tensor | slice, generator: torch.Generator | None = None) -> Batch:
        """The items at ``index`` as a Batch, with the context that the schema asks for; ``generator`` drives dynamic binarisation."""
        values = self.values.index_select(0, index) if isinstance(index, Tensor) else self.values[index]  # for bytes ten times as fast as indexing
        observed = None if self.observed is None else self.observed[index]
        if self.lengths is None:
            return Batch(schema.to_x(values, generator), observed, self.conditions(schema, index))
        lengths = self.lengths[index]
        if schema.trims:
            values = values[..., : int(lengths.max())]
        x = schema.to_x(values, generator)
        here = schema.present(lengths, x)
        return Batch(x, here if observed is None else here & observed[..., : x.shape[-1]], self.conditions(schema, index))

    def mean(self, schema: Schema, most: int = 10_000) -> Tensor:
        """The mean of (the first ``most``) items as a network of real numbers sees them, (*input_shape); 0 where a coordinate is never observed."""
        total, count = torch.zeros(schema.input_shape), torch.zeros(schema.input_shape)
        for batch in self[:most].batches(schema, max(1, min(1000, 10**7 // total.numel())), torch.Generator().manual_seed(0)):
            observed = torch.ones_like(batch.x, dtype=torch.bool) if batch.observed is None else batch.observed
            shown, seen = schema.to_input(batch.x, observed)
            here = (slice(0, batch.x.shape[-1]),) if schema.trims else ()
            total[here] += shown.masked_fill(~seen, 0).sum(0)
            count[here] += seen.sum(0)
        return total / count.clamp_min(1)

    def batches(self, schema: Schema, size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """All items in order, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self.batch(schema, slice(start, start + size), generator)


@dataclass(frozen=True)
class Data:
    """A data set split into training, validation and test items, none of which shares an item with another."""

    schema: Schema
    train: Items
    validation: Items
    test: Items
    notes: tuple[str, ...] = field(default=())
    """What was found and chosen, a sentence each, for people to read."""
