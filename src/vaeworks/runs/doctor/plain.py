"""What a model gives that knows how often each coordinate takes each value, and nothing of how coordinates belong together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.evaluation import item_batches
from vaeworks.evaluation.backgrounds import Frequencies, Independent
from vaeworks.evaluation.figures import hidden
from vaeworks.model import AudioSchema, ImageSchema, TextSchema
from vaeworks.runs.model import Model

__all__ = ["histogram_log_prob", "normal_log_prob", "plain_log_prob"]

BINS, FINE = 16, 32
"""Bins of values that are more than FINE levels, or real; levels share the probability of their bin evenly."""


def plain_log_prob(model: Model, items: Items, seed: int = 0) -> Tensor | None:
    """log p(x) in nats of ``items``, which it learns from, measured as the model's own, (N,) float64; None where there is no such thing.

    Levels of pixels are counted, and real pixels in bins; tokens have frequencies; sounds are normal in every coordinate; of tables the coordinates are independent under the model's own
    likelihood.
    """
    schema = model.schema
    if isinstance(schema, TextSchema):
        return Frequencies.fit(items, schema).log_prob(items, schema, seed)
    if isinstance(schema, ImageSchema | AudioSchema):
        batches = list(item_batches(hidden(items, schema), schema, 250, seed))
        x = torch.cat([batch.x for batch in batches]).cpu()
        seen = torch.cat([torch.ones_like(b.x, dtype=torch.bool) if b.observed is None else b.observed for b in batches]).cpu()
        return normal_log_prob(x, seen) if isinstance(schema, AudioSchema) else histogram_log_prob(x, seen, schema.x_levels)
    kept = model.calibration.background if model.calibration is not None else None
    fitted = kept if isinstance(kept, Independent) else Independent.fit(model.vae, items[:: max(1, len(items) // 200)], schema, seed)
    return fitted.log_prob(items, schema, seed)


def histogram_log_prob(x: Tensor, seen: Tensor, levels: int) -> Tensor:
    """x (N, *event) in [0, 1], of ``levels`` values (a mass) or real (0, a density), where ``seen``: (N,). Half a count is added to every bin (Krichevsky & Trofimov 1981)."""
    bins = levels if 0 < levels <= FINE else BINS
    flat, here = x.flatten(1).double(), seen.flatten(1)
    level = (flat * (levels - 1)).round() * bins // levels if levels else flat * bins
    index = level.clamp(0, bins - 1).long()
    counts = torch.full((flat.shape[1], bins), 0.5, dtype=torch.float64)
    counts.scatter_add_(1, index.T, here.T.double())
    widths = (
        torch.bincount(torch.arange(levels) * bins // levels, minlength=bins).double()
        if levels
        else torch.full((bins,), 1 / bins, dtype=torch.float64)
    )
    log_p = (counts / counts.sum(1, keepdim=True) / widths).log()
    return log_p.gather(1, index.T).T.masked_fill(~here, 0).sum(1)


def normal_log_prob(x: Tensor, seen: Tensor) -> Tensor:
    """x (N, *event), every coordinate a normal of its own where ``seen``: (N,)."""
    flat, here = x.flatten(1).double(), seen.flatten(1)
    flat = flat.masked_fill(~here, 0)
    count = here.sum(0).clamp_min(1)
    mean = flat.sum(0) / count
    variance = (((flat - mean).square() * here).sum(0) / count).clamp_min(1e-6)
    terms = -0.5 * ((flat - mean).square() / variance + (2 * math.pi * variance).log())
    return terms.masked_fill(~here, 0).sum(1)
