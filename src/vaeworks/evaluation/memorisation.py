"""Whether synthetic rows, or log p(x), give away the rows that were learned from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vaeworks.errors import DataError
from vaeworks.evaluation.tabular import Floats, Kinds, matrices, ranks

if TYPE_CHECKING:
    from polars import DataFrame

__all__ = ["ClosestRecords", "auroc", "closest_records", "gower", "membership"]

CELLS = 4_000_000
"""Of a table of distances that is held at a time."""


@dataclass(frozen=True)
class ClosestRecords:
    """Distances (Gower's, in 0 .. 1) of synthetic rows to the nearest training row, beside those of rows that were held out."""

    nearer: float
    """Share of synthetic rows nearer to training rows than to as many held-out ones, ties counted half: 0.5 where nothing is memorised."""
    nearer_standard_error: float
    fifth: float
    """5th percentile of the distance of synthetic rows to the nearest training row."""
    held_fifth: float
    """The same of held-out rows: what new rows of the world have."""
    copies: float
    """Share of synthetic rows that are a training row in every compared column."""
    held_copies: float
    rows: int
    """Synthetic rows that were compared."""
    against: int
    """Training rows, and held-out rows, that ``nearer`` was measured against."""


def auroc(positive: Floats, negative: Floats) -> tuple[float, float]:
    """P(a positive scores above a negative), ties counted half, and its standard error (DeLong et al. 1988): the area under the curve of true against false positives."""
    from scipy.stats import rankdata

    m, n = len(positive), len(negative)
    if not m or not n:
        raise DataError(f"an AUROC is of scores on both sides, not of {m} and {n}")
    every = rankdata(np.concatenate([positive, negative]))
    above = (every[:m] - rankdata(positive)) / n
    below = 1 - (every[m:] - rankdata(negative)) / m
    error = math.sqrt((above.var(ddof=1) / m if m > 1 else 0) + (below.var(ddof=1) / n if n > 1 else 0))
    return float(above.mean()), error


def membership(train: Floats, held: Floats) -> tuple[float, float]:
    """AUROC of an attacker who takes rows of high score (log p(x), or less the distance to the closest synthetic row) for training rows, and its standard error: 0.5 where nothing leaks."""
    return auroc(np.asarray(train, dtype=np.float64), np.asarray(held, dtype=np.float64))


def gower(x: Tensor, y: Tensor) -> Tensor:
    """Distances (N, M) of rows (N, D) and (M, D): the mean over columns of min(|x - y|, 1), numbers being ranks in 0 .. 1 and categories codes (Gower 1971)."""
    total = torch.zeros(len(x), len(y))
    for a, b in zip(x.T, y.T, strict=True):
        total += (a[:, None] - b).abs_().clamp_(max=1)
    return total / x.shape[1]


def _nearest(x: Tensor, y: Tensor) -> Tensor:
    """The distance of each row of ``x`` to the nearest of ``y``, (N,)."""
    return torch.cat([gower(piece, y).amin(1) for piece in x.split(max(1, CELLS // len(y)))])


def closest_records(
    train: DataFrame, held: DataFrame, synthetic: DataFrame, kinds: Kinds, *, most: int = 2000, most_train: int = 50_000, seed: int = 0
) -> ClosestRecords:  # fmt: skip
    """Distances of at most ``most`` synthetic, and held-out, rows to the training rows (at most ``most_train``, drawn with ``seed``).

    Numbers are compared by their rank among training rows, a category that differs and a cell that only one of two has count 1.
    """
    generator = np.random.default_rng(seed)
    whole = matrices([train, held, synthetic], kinds)
    for j, kind in enumerate(kinds.values()):
        if kind == "number":
            known = whole[0][:, j].copy()
            for rows in whole:
                rows[:, j] = ranks(known, rows[:, j])
    coded = [np.nan_to_num(rows, nan=-2) for rows in whole]  # further than 1 from any rank or code
    a, b, c = (
        torch.from_numpy(rows[generator.permutation(len(rows))[:count]]).float()
        for rows, count in zip(coded, (most_train, most_train, most), strict=True)
    )
    against = min(len(a), len(b))
    to_some, to_rest = _nearest(c, a[:against]), _nearest(c, a[against:]) if len(a) > against else torch.full((len(c),), math.inf)
    to_held, to_all = _nearest(c, b[:against]), torch.minimum(to_some, to_rest)
    of_held = _nearest(b[:most], a)
    won = (to_some < to_held).double() + (to_some == to_held).double() / 2
    return ClosestRecords(
        float(won.mean()), float(won.std() / math.sqrt(len(won))) if len(won) > 1 else math.nan,
        float(to_all.quantile(0.05)), float(of_held.quantile(0.05)),
        float((to_all == 0).double().mean()), float((of_held == 0).double().mean()), len(c), against,
    )  # fmt: skip
