"""Paths through latent space: each of the dimensions that tell most moved across its range, and the ways from one held-out item to another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.evaluation.latent_use import LatentUse
from vaeworks.posteriors import POSTERIORS
from vaeworks.reporting import Exhibit, exhibit
from vaeworks.runs.model import Model

__all__ = ["interpolations", "traversals"]

SIZES = {"image": (10, 11), "text": (5, 7), "audio": (3, 5), "table": (4, 5)}
"""Dimensions and steps of traversals, by kind of data."""
WAYS = {"image": (4, 11), "text": (3, 7), "audio": (2, 6), "table": (2, 5)}
"""Interpolations and their steps."""
RANGE = (0.02, 0.98)
"""Quantiles of the posterior means between which a dimension moves."""


def traversals(model: Model, use: LatentUse) -> Exhibit[Any] | None:
    """The dimensions that tell most, each moved over the middle of its aggregated posterior from the code of the item in the middle of all; None for codes on curved spaces."""
    if POSTERIORS[model.recipe["posterior"]["kind"]].space != "flat":
        return None
    count, steps = SIZES[model.schema.kind]
    told = use.told.clone()
    told[: use.classes] = -1
    order = [int(d) for d in told.argsort(descending=True, stable=True)[:count] if float(use.activity[d]) > 1e-4]
    if not order:
        return None
    scale = use.means.std(0).clamp_min(1e-6) if len(use.means) > 1 else torch.ones(use.means.shape[1])
    middle = int(((use.means - use.means.mean(0)) / scale).square().mean(1).argmin())
    codes = use.means[middle].repeat(len(order), steps, 1)
    for row, d in enumerate(order):
        low, high = use.means[:, d].quantile(torch.tensor(RANGE)).tolist()
        codes[row, :, d] = torch.linspace(low, high, steps)
    context = None if use.context is None else use.context[middle : middle + 1].expand(len(order) * steps, -1)
    x = model.decode(codes.flatten(0, 1), context)
    versions = {_named(d, use): part for d, part in zip(order, x.split(steps), strict=True)}
    return exhibit(model.schema, versions, in_order=True)


def _named(d: int, use: LatentUse) -> str:
    return f"z{d + 1}" if use.kl is None else f"z{d + 1}: {float(use.kl[d]):.2g} nats"


def interpolations(model: Model, items: Items) -> Exhibit[Any] | None:
    """Ways between held-out items, of different classes where they have any; None for fewer than two items."""
    count, steps = WAYS[model.schema.kind]
    pairs = _pairs(items, count)
    if not pairs:
        return None
    classes, labels = model.schema.classes, items.labels
    versions: dict[str, Tensor] = {}
    for n, (i, j) in enumerate(pairs):
        named = classes and labels is not None and min(int(labels[i]), int(labels[j])) >= 0
        name = f"{_short(classes[int(labels[i])])} to {_short(classes[int(labels[j])])}" if named and labels is not None else f"path {n + 1}"
        versions[name if name not in versions else f"{name} ({n + 1})"] = model.interpolate(items[i : i + 1], items[j : j + 1], steps)
    return exhibit(model.schema, versions, in_order=True)


def _pairs(items: Items, count: int) -> list[tuple[int, int]]:
    """Pairs of items, drawn by a seed; no item twice."""
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(0)).tolist()
    labels = items.labels
    pairs: list[tuple[int, int]] = []
    while len(order) > 1 and len(pairs) < count:
        first = order.pop(0)
        other = next((j for j in order if labels is None or int(labels[j]) != int(labels[first])), order[0])
        order.remove(other)
        pairs.append((first, other))
    return pairs


def _short(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"
