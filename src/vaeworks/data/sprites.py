"""Pictures of which everything is known: white shapes on black, after dSprites (Matthey et al. 2017), drawn here and not downloaded.

The factors and their sizes are dSprites', the pixels are not: shapes of one scale have one area, orientations are all different (the circle is cut in 40, its end left out), a step
of x or y is one pixel, and every shape lies within the picture with its centre of mass at its place. No pixel is grey.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FACTORS", "SCALES", "SHAPES", "SIDE", "render", "sample"]

FACTORS = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
"""Each factor and how many values it has; 737280 pictures in all."""

SHAPES = ("square", "ellipse", "heart")
SCALES = tuple(float(s) for s in np.linspace(0.5, 1, FACTORS["scale"]))
SIDE = 64
"""Pixels."""

_REACH = 16
"""Pixels from the centre of a shape that none goes beyond."""
_SQUARE = 22.4
"""Side of the largest square, in pixels, whose half diagonal is within reach."""
_MAJOR = 15.8
"""Half the longer axis of the largest ellipse, in pixels."""


def render(factors: ArrayLike) -> NDArray[np.uint8]:
    """Pictures (N, 1, 64, 64) of 0 and 1 for factors (N, 5), integers in the order of ``FACTORS``.

    Orientation turns counterclockwise by 9 degrees a step; x grows to the right and y downwards.

    >>> render([[0, 5, 0, 0, 31]]).shape
    (1, 1, 64, 64)
    """
    chosen = np.asarray(factors)
    if chosen.ndim != 2 or chosen.shape[1] != len(FACTORS) or chosen.dtype.kind not in "iu":
        raise ValueError(f"factors of shape {chosen.shape} and type {chosen.dtype}: give integers (N, 5), one each for {', '.join(FACTORS)}")
    for (name, size), column in zip(FACTORS.items(), chosen.T, strict=True):
        if len(column) and (column.min() < 0 or column.max() >= size):
            raise ValueError(f"{name} goes from {column.min()} to {column.max()}: it has the {size} values 0 .. {size - 1}")
    shape, scale, orientation, x, y = chosen.T.astype(np.int64)
    stamp = (shape * FACTORS["scale"] + scale) * FACTORS["orientation"] + orientation
    pictures = np.zeros((len(chosen), 1, SIDE, SIDE), dtype=np.uint8)
    place = y * FACTORS["x"] + x
    order = np.argsort(place, kind="stable")
    side = 2 * _REACH + 1
    for group in np.split(order, np.flatnonzero(np.diff(place[order])) + 1) if len(chosen) else ():
        top, left = int(y[group[0]]), int(x[group[0]])
        pictures[group, 0, top : top + side, left : left + side] = _stamps()[stamp[group]]
    return pictures


def sample(n: int, seed: int = 0) -> NDArray[np.int64]:
    """Factors (n, 5) of n different combinations, drawn uniformly by the seed."""
    total = math.prod(FACTORS.values())
    if not 0 <= n <= total:
        raise ValueError(f"n={n}: there are {total} combinations of factors")
    numbers = np.random.Generator(np.random.PCG64(seed)).choice(total, n, replace=False)
    return np.stack(np.unravel_index(numbers, tuple(FACTORS.values())), -1).astype(np.int64)


@functools.cache
def _stamps() -> NDArray[np.uint8]:
    """Every shape, scale and orientation around its centre, (720, 33, 33)."""
    offsets = np.arange(-_REACH, _REACH + 1, dtype=np.float64)
    right, up = offsets, -offsets[:, None]
    angle = (2 * math.pi / FACTORS["orientation"] * np.arange(FACTORS["orientation"]))[:, None, None]
    u = np.cos(angle) * right + np.sin(angle) * up  # (40, 33, 33), along the shape's own axes
    v = np.cos(angle) * up - np.sin(angle) * right
    drawn = [inside(u / scale, v / scale) for inside in (_square, _ellipse, _heart) for scale in SCALES]
    return np.concatenate(drawn).astype(np.uint8)


def _square(u: NDArray[Any], v: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.maximum(abs(u), abs(v)) <= _SQUARE / 2)


def _ellipse(u: NDArray[Any], v: NDArray[Any]) -> NDArray[np.bool_]:
    minor = _SQUARE**2 / (math.pi * _MAJOR)
    return np.asarray((u / _MAJOR) ** 2 + (v / minor) ** 2 <= 1)


def _heart(u: NDArray[Any], v: NDArray[Any]) -> NDArray[np.bool_]:
    """A square on its corner with half a disc on each of its two upper sides, moved to put its centre of mass at the origin."""
    side = _SQUARE / math.sqrt(1 + math.pi / 4)
    centre = side * (math.pi / 8) * (0.5 + 2 / (3 * math.pi)) / (1 + math.pi / 4)
    a, b = (v + u) / math.sqrt(2) + centre, (v - u) / math.sqrt(2) + centre
    half = side / 2
    square = np.maximum(abs(a), abs(b)) <= half
    discs = ((a - half) ** 2 + b**2 <= half**2) | (a**2 + (b - half) ** 2 <= half**2)
    return np.asarray(square | discs)
