"""What the numbers of a row are measured in, so that strangeness does not depend on a column's units."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.distributions.margins import COUNTS
from vaeworks.evaluation.streams import item_batches
from vaeworks.model import VAE, TableSchema

__all__ = ["log_measure"]

AS_THEY_ARE = (*COUNTS, "categorical", "boolean")
"""Kinds whose probabilities are masses of single values whatever the units."""
SCALED = ("student", "mixture")
"""Kinds whose x is measured in standard deviations: their noise is not that of N(0, 1)."""


@torch.no_grad()
def log_measure(vae: VAE, items: Items, schema: TableSchema, seed: int = 0) -> Tensor:
    """log of how much of its column's unit there is to one unit of normal score at each cell, (N, D) float64; 0 where a cell is missing, a category or a count.

    log p(x) less its sum is log p of the row with every number as its normal score: a density per raw unit and the mass of a spike or of a grid's cell become comparable, and a monotone
    change of a column's scale changes nothing. At features of zero a column's likelihood is its training margin m, and a normal score s has density N(s; 0, 1): the measure is
    log m(x) - log N(s; 0, 1).
    """
    likelihood: Any = vae.decoder.likelihood
    features = torch.zeros(likelihood.parameter_shape, device=next(vae.parameters()).device)
    left = torch.tensor([margin.kind in AS_THEY_ARE for margin in schema.margins])
    scaled = torch.tensor([margin.kind in SCALED for margin in schema.margins])
    unit = torch.tensor([math.log((margin.step or 1.0) / margin.scale) for margin in schema.margins], dtype=torch.float64)
    parts = []
    for batch in item_batches(items, schema, 500, seed):
        x = batch.x if batch.observed is None else batch.x.masked_fill(~batch.observed, 0)
        p = likelihood(features.expand(len(batch), *features.shape)).coordinates()
        margin = p.log_prob(x.to(features.device)).cpu().double()
        score = -0.5 * (x.double().square() + math.log(2 * math.pi))
        told = torch.where(scaled, unit, margin - score).masked_fill(left, 0)
        parts.append(told if batch.observed is None else told.masked_fill(~batch.observed, 0))
    return torch.cat(parts)
