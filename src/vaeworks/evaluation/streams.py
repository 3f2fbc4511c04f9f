"""Randomness that belongs to an item: what is drawn for it depends on the item and a seed, and not on what else is measured beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch

from vaeworks.data import Items
from vaeworks.model import ImageSchema, Schema
from vaeworks.trace import Batch

__all__ = ["item_batches", "item_seeds"]


def item_seeds(items: Items, seed: int) -> list[int]:
    """A seed for each item, made of ``seed`` and of what is stored of it and observed: items that are alike share theirs."""
    values = items.values.cpu()
    observed = None if items.observed is None else items.observed.cpu()
    if observed is not None:
        values = values.masked_fill(~observed, 0)
    seeds = []
    for i in range(len(items)):
        own = slice(None) if items.lengths is None else slice(int(items.lengths[i]))
        digest = hashlib.blake2b(values[i, ..., own].contiguous().numpy().tobytes(), digest_size=8, key=seed.to_bytes(8, "little"))
        if observed is not None:
            digest.update(observed[i, ..., own].contiguous().numpy().tobytes())
        seeds.append(int.from_bytes(digest.digest(), "little") >> 1)
    return seeds


def item_batches(items: Items, schema: Schema, size: int, seed: int) -> Iterator[Batch]:
    """All items in order, ``size`` at a time; where pixels are drawn anew each time they are read, each item's come from a stream of its own."""
    if not (isinstance(schema, ImageSchema) and schema.binarisation == "dynamic"):
        yield from items.batches(schema, size, torch.Generator().manual_seed(seed))
        return
    seeds = item_seeds(items, seed)
    for start in range(0, len(items), size):
        here = range(start, min(start + size, len(items)))
        batch = items.batch(schema, slice(here.start, here.stop), torch.Generator().manual_seed(seed))
        drawn = [schema.to_x(items.values[i : i + 1], torch.Generator().manual_seed(seeds[i])) for i in here]
        yield Batch(torch.cat(drawn), batch.observed, batch.context)
