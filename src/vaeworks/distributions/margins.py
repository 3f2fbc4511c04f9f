"""The margin of one column: how raw values become numbers that noise is added to, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from scipy.special import ndtr, ndtri

from vaeworks.distributions.margin_fits import count_start, log_origin, quantile_knots, spread, student_fit

__all__ = ["COUNTS", "OPEN", "Margin", "MarginKind", "fit_margin"]

MarginKind = Literal[
    "gaussian",
    "student",
    "mixture",
    "log-normal",
    "quantile",
    "ordinal",
    "categorical",
    "boolean",
    "poisson",
    "negative-binomial",
    "zero-inflated",
]
COUNTS: Final = ("poisson", "negative-binomial", "zero-inflated")
OPEN: Final = 10.0
"""The normal score that stands for infinity at the two ends of an ordinal margin."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Margin:
    """What one coordinate x of a row can be, and how raw values v and x become each other. Numbers, strings and tuples only, so that it can be written as JSON.

    gaussian, student, mixture: x = (v - shift) / scale. log-normal: x = (log(v - origin) - shift) / scale. quantile, ordinal: x is a normal score, see ``breaks``.
    categorical, boolean: x is the index of the category. Counts: x is the count; ``shift`` is the log of the training mean, ``scale`` the dispersion r (variance = mean +
    mean^2 / r), ``origin`` the logit of a zero that is none of the negative binomial's.
    """

    kind: MarginKind
    size: int = 0
    """Number of categories; 2 for boolean."""
    step: float = 0.0
    """Of the grid that raw values lie on, through ``low``; 0 where they are continuous."""
    low: float = 0.0
    high: float = 0.0
    """Least and greatest training value."""
    shift: float = 0.0
    scale: float = 1.0
    origin: float = 0.0
    knots: tuple[float, ...] = ()
    """Raw values of a quantile or ordinal margin, increasing."""
    lower: tuple[float, ...] = ()
    upper: tuple[float, ...] = ()
    """The normal scores that each knot covers: lower < upper is an atom, a value of its own probability; lower = upper a point of the map."""
    tails: tuple[float, float] = (1.0, 1.0)
    """Raw units per normal score below the first and above the last knot."""
    weights: tuple[float, ...] = ()
    """Log frequencies of the categories."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(MarginKind):
            raise ValueError(f"no margin is called {self.kind!r}: use one of {', '.join(get_args(MarginKind))}")
        for name in ("knots", "lower", "upper", "tails", "weights"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON knows lists only

    @property
    def is_mass(self) -> bool:
        """True where every value has a probability, False where some have a density."""
        return self.step > 0 or self.kind in (*COUNTS, "categorical", "boolean", "ordinal")

    def breaks(self) -> tuple[Array, Array, Array]:
        """The increasing piecewise linear map of a quantile margin: raw (M,), scores (M,), and (M - 1,) whether an atom lies between two of them.

        An atom v covers [v - step/2, v + step/2], its scores [lower, upper]. Knots that are no atoms lie between two values of the grid, so that every cell of a grid lies in one piece and
        its probability is exactly that of an interval of scores.
        """
        knots, lower, upper = (np.asarray(values, dtype=np.float64) for values in (self.knots, self.lower, self.upper))
        atom = lower < upper
        order = np.repeat(np.arange(len(knots)), 1 + atom)
        last = np.append(order[1:] != order[:-1], True)
        half = np.where(atom, self.step / 2, 0.0)[order]
        raw = knots[order] + np.where(last, half, -half)
        scores = np.where(last, upper[order], lower[order])
        new = np.append(True, (scores[1:] > scores[:-1]))  # atoms side by side share a boundary
        return raw[new], scores[new], (last & atom[order])[new][1:]

    def to_x(self, values: Any) -> Array:
        """Raw values (N,) -> x (N,), both float64."""
        v = np.asarray(values, dtype=np.float64)
        if self.kind in (*COUNTS, "categorical", "boolean"):
            return v
        if self.kind == "ordinal":
            scores: Array = self._atom_scores()[self._nearest(v)]
            return scores
        if self.kind == "quantile":
            return self._scores(v)
        v = self._on_grid(v)
        if self.kind == "log-normal":
            above = v - self.origin
            least = self.step / 2 if self.step else 1e-3 * (self.low - self.origin)  # of values that the margin holds impossible
            v = np.log(np.where(above > (least if self.step else 0), above, least))
        return (v - self.shift) / self.scale

    def to_values(self, x: Any) -> Array:
        """x (N,) -> raw values (N,), float64, on the grid and within the bounds of the training values."""
        x = np.asarray(x, dtype=np.float64)
        if self.kind in ("categorical", "boolean"):
            return _clip(np.rint(x), 0, self.size - 1)
        if self.kind in COUNTS:
            return _clip(np.rint(x), self.low, self.high)
        if self.kind == "ordinal":
            nearest: Array = np.asarray(self.knots)[np.searchsorted(np.asarray(self.upper)[:-1], x)]
            return nearest
        if self.kind == "quantile":
            raw, scores, _ = self.breaks()
            v = np.interp(x, scores, raw)
            v += np.minimum(x - scores[0], 0) * self.tails[0] + np.maximum(x - scores[-1], 0) * self.tails[1]
        else:
            v = x * self.scale + self.shift
            if self.kind == "log-normal":
                v = self.origin + np.exp(np.minimum(v, 709.0))
        return _clip(self._on_grid(_clip(v, self.low, self.high)), self.low, self.high)

    def _on_grid(self, v: Array) -> Array:
        """The nearest value of the grid, as a decimal number is read: a division of whole numbers is rounded once."""
        if not self.step:
            return v
        inverse = 1 / self.step
        first = self.low / self.step
        if abs(first - round(first)) > 1e-6 * max(1.0, abs(first) * 1e-6):
            return self.low + np.rint((v - self.low) / self.step) * self.step
        index = np.rint(v / self.step)
        return index / round(inverse) if inverse > 1 and abs(inverse - round(inverse)) < 1e-6 * inverse else index * self.step

    def _nearest(self, v: Array) -> np.ndarray[Any, Any]:
        knots = np.asarray(self.knots)
        return np.searchsorted((knots[1:] + knots[:-1]) / 2, v)

    def _atom_scores(self) -> Array:
        """The score in the middle of each knot's probability."""
        lower, upper = np.asarray(self.lower), np.asarray(self.upper)
        flip = np.where(lower + upper > 0, -1, 1)  # where few remain above, count from above
        return np.where(lower < upper, flip * ndtri((ndtr(flip * lower) + ndtr(flip * upper)) / 2), lower)

    def _scores(self, v: Array) -> Array:
        v = self._on_grid(v)
        raw, scores, _ = self.breaks()

        def score(at: Array) -> Array:
            scored: Array = np.interp(at, raw, scores) + np.minimum(at - raw[0], 0) / self.tails[0] + np.maximum(at - raw[-1], 0) / self.tails[1]
            return scored

        x = (score(v - self.step / 2) + score(v + self.step / 2)) / 2 if self.step else score(v)
        knots, atom = np.asarray(self.knots), np.asarray(self.lower) < np.asarray(self.upper)
        at = np.clip(self._nearest(v), 0, len(knots) - 1)
        hit = atom[at] & (np.abs(knots[at] - v) <= self.step / 4)
        scored: Array = np.where(hit, self._atom_scores()[at], x)
        return scored


def _clip(v: Array, low: float, high: float) -> Array:
    within: Array = np.clip(v, low, high)
    return within


def fit_margin(kind: MarginKind, values: Any, *, step: float = 0.0, size: int = 0, most_knots: int = 128) -> Margin:
    """The margin of the observed training ``values`` (N,); for categories their indices, of ``size`` possible ones.

    Raises ValueError where there are none, where one is not finite, or where a count is negative or no whole number.
    """
    v = np.asarray(values, dtype=np.float64).ravel()
    if not len(v):
        raise ValueError("there are no values to fit a margin to: leave the column out")
    if not np.isfinite(v).all():
        raise ValueError(f"{v[~np.isfinite(v)][0]} is no value that a margin can be fitted to: mark it as missing")
    if not (step >= 0 and math.isfinite(step)):
        raise ValueError(f"step = {step} is no width of a grid: 0 for continuous values, else a positive number")
    low, high = float(v.min()), float(v.max())
    if kind in ("categorical", "boolean"):
        size = max(size, int(high) + 1, 2 if kind == "boolean" else 1)
        if low < 0 or (v != np.rint(v)).any():
            raise ValueError(f"{low if low < 0 else v[v != np.rint(v)][0]} is no index of a category: use 0, 1, ... size - 1")
        counts = np.bincount(v.astype(np.int64), minlength=size) + 0.5
        return Margin(kind, size=size, low=0.0, high=size - 1.0, weights=tuple(np.log(counts / counts.sum()).tolist()))
    if kind in COUNTS:
        if low < 0 or (v != np.rint(v)).any():
            raise ValueError(f"{low if low < 0 else v[v != np.rint(v)][0]} is no count: use a margin of numbers")
        shift, dispersion, logit = count_start(v, kind)
        return Margin(kind, step=1.0, low=low, high=high, shift=shift, scale=dispersion, origin=logit)
    if kind in ("quantile", "ordinal"):
        knots, lower, upper, tails = quantile_knots(v, step, most_knots, every=kind == "ordinal", open_end=OPEN)
        return Margin(kind, step=step, low=low, high=high, knots=knots, lower=lower, upper=upper, tails=tails)
    origin = 0.0
    if kind == "log-normal":
        origin = log_origin(v, step)
        v = np.log(v - origin)
    shift, scale = student_fit(v, least=step / 2) if kind == "student" else spread(v)
    if scale == 0:
        scale = (step if kind != "log-normal" else 0.0) or max(abs(shift), 1.0)
    return Margin(kind, step=step, low=low, high=high, shift=shift, scale=scale, origin=origin)
