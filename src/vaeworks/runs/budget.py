"""How much a measurement that nobody asked for may cost."""

from __future__ import annotations

import math

import torch

from vaeworks.data import Items
from vaeworks.model import Schema

__all__ = ["evaluation_budget"]


def evaluation_budget(items: Items, schema: Schema) -> tuple[Items, int]:
    """Held-out items (200 to 1000) and importance samples (50 to 1000) that take about as long for any size of item."""
    size = math.prod(schema.input_shape)
    most = int(min(1000, max(200, 4e6 / size)))
    if len(items) > most:  # from one end to the other: sources may be sorted
        items = items[torch.linspace(0, len(items) - 1, most).round().long()]
    return items, int(min(1000, max(50, 2e8 / (size * len(items)))))
