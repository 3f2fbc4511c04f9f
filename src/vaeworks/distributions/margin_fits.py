"""What margins are fitted by: knots of a smoothed empirical distribution function, robust locations and scales, counts by maximum likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln, ndtr, ndtri

__all__ = ["count_start", "log_origin", "quantile_knots", "spread", "student_fit"]

Array = np.ndarray[Any, Any]
Knots = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[float, float]]

ATOM_SHARE, ATOM_ROWS = 0.0075, 5
"""A value is an atom where it carries this share of the rows and occurs at least so many times."""
UNSEEN = 0.5
"""Rows that are added to every stretch that holds no atom, and to both tails, so that no raw value is impossible."""


def spread(v: Array) -> tuple[float, float]:
    """Mean and standard deviation; (mean, 0) where all values are equal to rounding."""
    largest = float(np.abs(v).max()) or 1.0
    unit = v / largest  # squares of huge values would overflow
    mean, deviation = float(unit.mean()), float(unit.std())
    return mean * largest, deviation * largest if deviation > 1e-13 else 0.0


def student_fit(v: Array, *, least: float = 0.0, freedom: float = 4.0) -> tuple[float, float]:
    """Location and scale of a Student's t of maximum likelihood, by reweighting; (location, 0) where all values are equal to rounding."""
    shift = float(np.median(v))
    _, scale = spread(v)
    if scale == 0:
        return shift, 0.0
    x = (v - shift) / scale
    middle, width = 0.0, max(float(np.median(np.abs(x))), 1e-6)
    for _ in range(100):
        weight = (freedom + 1) / (freedom + ((x - middle) / width) ** 2)
        middle = float((weight * x).sum() / weight.sum())
        width = max(math.sqrt(float((weight * (x - middle) ** 2).mean())), 1e-6)
    return shift + scale * middle, max(scale * width, 1e-3 * scale, least)  # most values may be equal


def log_origin(v: Array, step: float) -> float:
    """Below all values: 0 where they are positive, half a step below 0 (or below the least value) on a grid, else a little below the least."""
    low = float(v.min())
    if step:
        return min(low, 0.0) - step / 2 if low < 0 or abs(low / step - round(low / step)) < 1e-6 else low - step / 2
    if low > 0:
        return 0.0
    gap = 0.01 * (float(np.median(v)) - low) or 0.01 * (float(v.max()) - low) or max(abs(low), 1.0)
    return low - gap


def quantile_knots(v: Array, step: float, most: int, *, every: bool, open_end: float) -> Knots:
    """Knots, lower and upper normal scores, and raw units per score of the tails; where ``every``, each value of the grid is an atom and the tails are the outermost atoms'."""
    values, counts = np.unique(v, return_counts=True)
    counts = counts.astype(np.float64)
    if step:
        index, inverse = np.unique(np.rint((values - values[0]) / step), return_inverse=True)
        counts = np.bincount(inverse, weights=counts)
        values = values[np.unique(inverse, return_index=True)[1]] if len(index) == len(values) else values[0] + index * step
    if every:
        return _ordinal(values, counts, step, open_end)
    n = float(counts.sum())
    atom = (counts >= ATOM_ROWS) & (counts >= max(ATOM_SHARE, 1 / most) * n)
    smooth = _smooth_knots(values[~atom], counts[~atom], n, step, most, values[atom])
    knots = np.concatenate([values[atom], smooth])
    order = np.argsort(knots, kind="stable")
    knots, is_atom = knots[order], (np.arange(len(knots)) < atom.sum())[order]
    below = np.concatenate([[0.0], np.cumsum(counts)])
    # Rows below each knot's lower end and up to its upper end; a tie at a knot that is no atom counts half on both sides.
    left = below[np.searchsorted(values, knots, "left")]
    right = below[np.searchsorted(values, knots, "right")]
    middle = (left + right) / 2
    first, last = np.where(is_atom, left, middle), np.where(is_atom, right, middle)
    half = np.where(is_atom, step / 2, 0.0)
    gap = np.append(True, (knots - half)[1:] - (knots + half)[:-1] > 0.25 * step)
    added = UNSEEN * np.cumsum(gap)
    total = n + added[-1] + UNSEEN
    lower, upper = _score(first + added, total), _score(last + added, total)
    joined = ~gap
    lower[joined] = upper[np.flatnonzero(joined) - 1]  # atoms side by side share their boundary to the last bit
    tails = _tails(knots, half, lower, upper, step)
    return tuple(knots.tolist()), tuple(lower.tolist()), tuple(upper.tolist()), tails


def _smooth_knots(values: Array, counts: Array, n: float, step: float, most: int, atoms: Array) -> Array:
    """Places between atoms, some even in normal scores, each two with enough rows between them: few knots where rows are few."""
    if not len(values):
        return values
    many = min(most, max(3, int(2.5 * n**0.4)))
    rows = max(1.0, 0.25 * n**0.4)
    cumulative = np.cumsum(counts)
    m = cumulative[-1]
    edge = ndtri(0.5 / (m + 1))
    targets = ndtr(np.linspace(edge, -edge, many)) * m
    at = np.unique(np.clip(np.searchsorted(cumulative, targets), 0, len(values) - 1))
    at = np.unique(np.concatenate([[0], at, [len(values) - 1]]))
    kept = [0]
    for i in at[1:-1]:
        if cumulative[i] - cumulative[kept[-1]] >= rows and m - cumulative[i] >= rows:
            kept.append(int(i))
    if len(values) > 1:
        kept.append(len(values) - 1)
    if not step:
        return values[kept]
    # On a grid: the outer edges of the outermost cells, the upper edges of the others; an atom's own edges are knots already.
    edges = np.unique(np.concatenate([[values[0] - step / 2], values[kept] + step / 2]))
    if len(atoms):
        near = np.searchsorted(atoms, edges)
        right, left = atoms[np.clip(near, 0, len(atoms) - 1)], atoms[np.clip(near - 1, 0, len(atoms) - 1)]
        distance = np.minimum(np.abs(edges - right), np.abs(edges - left))
        edges = edges[distance > 0.75 * step]
    return edges


def _score(rows: Array, total: float) -> Array:
    """Normal score of rows / total, exact in both tails."""
    score: Array = np.where(rows > total / 2, -ndtri((total - rows) / total), ndtri(rows / total))
    return score


def _tails(knots: Array, half: Array, lower: Array, upper: Array, step: float) -> tuple[float, float]:
    """Raw units per score, as over the outermost quarter of the scores at least; of one knot alone something of its size."""
    raw = np.concatenate([knots - half, knots + half])
    scores = np.concatenate([lower, upper])
    order = np.lexsort((raw, scores))
    raw, scores = raw[order], scores[order]
    width = raw[-1] - raw[0]
    if width <= 0:
        alone = max(abs(float(raw[0])), 1.0)
        return alone, alone
    length = scores[-1] - scores[0]

    def slope(outer: float, inner: float) -> float:
        return float(max(abs(outer - inner) / (0.25 * length), step, 1e-6 * width / length))

    quarter, rest = np.interp(scores[0] + 0.25 * length, scores, raw), np.interp(scores[-1] - 0.25 * length, scores, raw)
    return slope(raw[0], quarter), slope(raw[-1], rest)


def _ordinal(values: Array, counts: Array, step: float, open_end: float) -> Knots:
    if step and (values[-1] - values[0]) / step < 1000:  # values of the grid that never occurred have a probability too
        index = np.rint((values - values[0]) / step).astype(np.int64)
        grid = values[0] + np.arange(index[-1] + 1) * step
        grid[index] = values
        values, counts = grid, np.bincount(index, weights=counts, minlength=len(grid))
    rows = np.cumsum(counts + UNSEEN)
    cuts = _score(rows[:-1], float(rows[-1]))
    lower, upper = np.concatenate([[-open_end], cuts]), np.concatenate([cuts, [open_end]])
    return tuple(values.tolist()), tuple(lower.tolist()), tuple(upper.tolist()), (1.0, 1.0)


def count_start(v: Array, kind: str) -> tuple[float, float, float]:
    """(log mean, dispersion, logit of an extra zero) of maximum likelihood over the counts; the dispersion stays within [1e-3, 1e4]."""
    mean = float(v.mean())
    if kind == "poisson" or mean == 0:
        return math.log(max(mean, 0.5 / len(v))), 1.0, 0.0 if mean else 2.0
    scaled = float((v / mean).var())
    dispersion = min(max(1 / max(scaled - 1 / mean, 1e-4), 1e-3), 1e4)
    start = [math.log(mean), math.log(dispersion)]
    inflated = kind == "zero-inflated"
    counts, found_rows = np.unique(v, return_counts=True)
    rows = found_rows.astype(np.float64)
    if len(counts) > 5000:
        counts, rows = np.quantile(v, (np.arange(5000) + 0.5) / 5000), np.ones(5000)

    def loss(at: Array) -> float:
        log_r = float(np.clip(at[1], -7, 9.2))
        r, ratio = math.exp(log_r), float(np.clip(at[0], -50, 700)) - log_r
        log_p = gammaln(counts + r) - gammaln(r) - gammaln(counts + 1) - r * np.logaddexp(0, ratio) - counts * np.logaddexp(0, -ratio)
        if inflated:
            extra, none = -np.logaddexp(0, -at[2]), -np.logaddexp(0, at[2])
            log_p = np.where(counts == 0, np.logaddexp(extra, none + log_p), none + log_p)
        return float(-(rows * log_p).sum() / rows.sum() + 1e-6 * (at**2).sum())

    found = minimize(loss, [*start, -1.0] if inflated else start, method="Nelder-Mead", options={"maxiter": 400})
    log_mean, log_r = float(np.clip(found.x[0], -50, 700)), float(np.clip(found.x[1], -7, 9.2))
    logit = float(np.clip(found.x[2], -8, 8)) if inflated else 0.0
    return log_mean, math.exp(log_r), logit
