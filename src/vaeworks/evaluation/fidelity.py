"""How far synthetic rows are from real ones: column by column, and pair by pair."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vaeworks.evaluation.tabular import Floats, Kinds, matrices

if TYPE_CHECKING:
    from polars import DataFrame

__all__ = ["MOST_PAIRS", "Fidelity", "fidelity", "kolmogorov_smirnov", "total_variation"]

MOST_PAIRS = 2000
"""Pairs of columns that are compared; of wider tables so many are drawn at random."""
BINS = 10
"""Of equal width, that a number is cut into to be compared with a category."""


@dataclass(frozen=True)
class Fidelity:
    """Errors in 0 .. 1, one less SDMetrics' scores; ``shape_error`` and ``pair_error`` are means of those below that can be told, with errors by bootstrap of both tables' rows."""

    shape_error: float
    shape_standard_error: float
    pair_error: float
    """NaN of a table of one column."""
    pair_standard_error: float
    missing_error: float
    """Mean over columns of how far the share of missing cells is off."""
    shapes: dict[str, float]
    pairs: dict[tuple[str, str], float]


def kolmogorov_smirnov(real: Floats, synthetic: Floats) -> float:
    """max_v |F(v) - G(v)| between the empirical distributions of (N,) and (M,); missing cells are left out, NaN where nothing else is."""
    first, second = (np.sort(values[~np.isnan(values)]) for values in (real, synthetic))
    if not len(first) or not len(second):
        return float("nan")
    steps = np.concatenate([first, second])
    apart = np.searchsorted(first, steps, "right") / len(first) - np.searchsorted(second, steps, "right") / len(second)
    return float(np.abs(apart).max())


def total_variation(real: Floats, synthetic: Floats) -> float:
    """Half the sum over values of |p - q|, between the frequencies of whole numbers from 0, (N,) and (M,); NaN where a side is empty."""
    if not len(real) or not len(synthetic):
        return float("nan")
    codes = np.concatenate([real, synthetic]).astype(np.int64)
    if codes.max() > 4 * len(codes):  # few of many: their places instead
        codes = np.unique(codes, return_inverse=True)[1]
    size = int(codes.max()) + 1
    p, q = np.bincount(codes[: len(real)], minlength=size), np.bincount(codes[len(real) :], minlength=size)
    return float(np.abs(p / len(real) - q / len(synthetic)).sum() / 2)


def fidelity(
    real: DataFrame, synthetic: DataFrame, kinds: Kinds, *, bootstraps: int = 20, own_bins: bool = False, seed: int = 0
) -> Fidelity:  # fmt: skip
    """Column shapes and pair trends of ``synthetic`` beside ``real``, as SDMetrics defines them.

    A column's error is the Kolmogorov-Smirnov statistic of numbers and the total variation of categories, missing cells left out. A pair's is half the difference of Pearson's
    correlations of two numbers, rows with both known, and the total variation of the contingency tables else, where missing is a category and a number is cut into ten bins of equal width
    over the real values. With ``own_bins`` synthetic numbers are cut over their own range, as SDMetrics 0.32 does: its figures then, which compare with published ones, but
    one synthetic outlier moves all bins. Two numbers of which the real rows' correlation is undefined (a constant) are no pair; where only the synthetic rows' is, it counts as 0.
    """
    generator = np.random.default_rng(seed)
    x, y = matrices([real, synthetic], kinds)
    names = list(kinds)
    pairs = list(itertools.combinations(range(len(names)), 2))
    if len(pairs) > MOST_PAIRS:
        pairs = [pairs[i] for i in np.sort(generator.choice(len(pairs), MOST_PAIRS, replace=False))]
    numbers = np.array([kinds[name] == "number" for name in names])
    cut_x, cut_y = _binned(x, y, numbers, own_bins)

    def errors(rows: NDArray[np.int64], others: NDArray[np.int64]) -> tuple[Floats, Floats]:
        a, b, c, d = x[rows], y[others], cut_x[rows], cut_y[others]
        shapes = [
            kolmogorov_smirnov(a[:, j], b[:, j]) if numbers[j] else total_variation(_known(a[:, j]), _known(b[:, j])) for j in range(len(names))
        ]
        trends = [_trend(a, b, i, j) if numbers[i] and numbers[j] else _contingency(c, d, i, j) for i, j in pairs]
        return np.array(shapes), np.array(trends)

    shapes, trends = errors(np.arange(len(x)), np.arange(len(y)))
    means = np.array([
        [_mean(each) for each in errors(generator.integers(len(x), size=len(x)), generator.integers(len(y), size=len(y)))] for _ in range(bootstraps)
    ])  # fmt: skip
    spread = means.std(0, ddof=1) if bootstraps > 1 else np.full(2, np.nan)
    missing = np.abs(np.isnan(x).mean(0) - np.isnan(y).mean(0)).mean()
    return Fidelity(
        _mean(shapes), float(spread[0]), _mean(trends), float(spread[1]), float(missing),
        dict(zip(names, shapes.tolist(), strict=True)),
        {(names[i], names[j]): float(error) for (i, j), error in zip(pairs, trends, strict=True)},
    )  # fmt: skip


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]


def _binned(x: Floats, y: Floats, numbers: NDArray[np.bool_], own: bool) -> tuple[Floats, Floats]:
    """The matrices of codes: numbers in ten bins over the range of the real values, what lies outside in the bins at the ends; all from 1, and 0 is missing."""
    cut_x, cut_y = x.copy(), y.copy()
    for j in np.flatnonzero(numbers):
        for cut in (cut_x, cut_y):
            known = _known(cut[:, j] if own else x[:, j])
            edges = np.histogram_bin_edges(known, BINS)[1:-1] if len(known) else np.empty(0)
            cut[:, j] = np.where(np.isnan(cut[:, j]), np.nan, np.digitize(cut[:, j], edges))
    return np.nan_to_num(cut_x + 1), np.nan_to_num(cut_y + 1)


def _contingency(x: Floats, y: Floats, i: int, j: int) -> float:
    """Total variation of the tables of two columns of codes from 0."""
    size = max(x[:, j].max(), y[:, j].max()) + 1
    return total_variation(x[:, i] * size + x[:, j], y[:, i] * size + y[:, j])


def _trend(x: Floats, y: Floats, i: int, j: int) -> float:
    """Half the difference of two columns' correlations."""
    real, synthetic = _correlation(x[:, i], x[:, j]), _correlation(y[:, i], y[:, j])
    return abs(real - (0.0 if np.isnan(synthetic) else synthetic)) / 2


def _correlation(a: Floats, b: Floats) -> float:
    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < 2:
        return float("nan")
    a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
    a, b = a / max(np.abs(a).max(), 1e-300), b / max(np.abs(b).max(), 1e-300)
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else float("nan")
