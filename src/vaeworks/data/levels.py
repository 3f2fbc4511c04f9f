"""Which values numbers stand for: two levels, 8 bits, or real numbers; and how one becomes another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeworks.errors import DataError

__all__ = ["bernoulli", "check_finite", "chunks", "present", "recognise", "requantise"]

_CHUNK = 1 << 24
_CACHED = 1 << 16


def chunks(array: NDArray[Any]) -> Iterator[slice]:
    """Slices along the first axis, of about 16 million numbers each."""
    step = max(1, _CHUNK // max(1, array[:1].size))
    for start in range(0, len(array), step):
        yield slice(start, start + step)


def check_finite(array: NDArray[Any], what: str) -> None:
    """DataError that names the first item with a NaN or an infinity."""
    if array.dtype.kind != "f":
        return
    for part in chunks(array):
        good = np.isfinite(array[part]).reshape(len(array[part]), -1).all(axis=1)
        if not good.all():
            index = part.start + int(np.argmin(good))
            kind = "NaN" if np.isnan(array[index]).any() else "infinity"
            cure = f"x[np.isfinite(x).all(axis={tuple(range(1, array.ndim))})]"
            raise DataError(f"{what}: item {index} (counted from 0) holds {kind}: fill it in, or drop such items with {cure}")


def present(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(256,) how often each 8-bit value occurs."""
    total = np.zeros(256, dtype=np.int64)
    flat = values.ravel(order="K")
    for start in range(0, flat.size, _CACHED):
        total += np.bincount(flat[start : start + _CACHED], minlength=256)
    return total


def recognise(array: NDArray[Any], what: str) -> tuple[NDArray[Any], int, str]:
    """Numbers (N, ...) to stored values, their number of levels (0: real), and a sentence that says what was found.

    Two levels: booleans, only {0, 1}, or only {0, 255}. 256 levels: integers in 0 .. 255, also when stored as floats, and exact multiples of 1/255.
    Everything else is real. DataError where an item is not finite or the numbers are no numbers.
    """
    if array.dtype.kind == "b":
        return array.astype(np.uint8), 2, "values are true or false: two levels"
    if array.dtype.kind not in "uif":
        raise DataError(f"{what} holds {array.dtype} values, which are no pixels: give integers in 0 .. 255 or real numbers")
    check_finite(array, what)
    low, high = float(array.min()), float(array.max())
    real = array.dtype.kind == "f"
    if low >= 0 and high <= 255 and (not real or _all_whole(array, 1)):
        values = array.astype(np.uint8)
        found = present(values)
        if not found[2:].any():
            return values, 2, f"values are only 0 and 1 ({array.dtype}): two levels"
        if not found[1:255].any():
            return values // 255, 2, "values are only 0 and 255: two levels"
        return values, 256, f"values are whole numbers in {low:g} .. {high:g}{f', stored as {array.dtype}' if real else ''}: read as 8-bit pixels"
    if real and low >= 0 and high <= 1 and _all_whole(array, 255):
        values = np.empty(array.shape, dtype=np.uint8)
        for part in chunks(array):
            values[part] = np.rint(array[part].astype(np.float64) * 255)
        return values, 256, f"values in {low:g} .. {high:g} are exact multiples of 1/255: read as 8-bit pixels"
    if max(abs(low), abs(high)) > float(np.finfo(np.float32).max):
        raise DataError(f"{what} holds numbers up to {max(abs(low), abs(high)):g}, too large for 32-bit floats: scale them first")
    return array.astype(np.float32), 0, f"values are real numbers in {low:g} .. {high:g} ({array.dtype})"


def _all_whole(array: NDArray[Any], scale: int) -> bool:
    """Whether every value times ``scale`` is a whole number, to the precision of the type (float32 at best: most pixels went through it)."""
    tolerance = scale * float(max(np.finfo(array.dtype).eps, np.finfo(np.float32).eps)) if scale > 1 else 0.0
    for part in chunks(array):
        scaled = array[part].astype(np.float64) * scale
        if (np.abs(scaled - np.rint(scaled)) > tolerance).any():
            return False
    return True


def requantise(values: NDArray[np.uint8], levels: int, wanted: int) -> NDArray[np.uint8]:
    """Stored values of ``levels`` levels to the nearest of ``wanted`` levels (both 2 .. 256)."""
    if levels == wanted:
        return values
    table = np.rint(np.arange(256, dtype=np.float64) * (wanted - 1) / (levels - 1)).clip(0, 255).astype(np.uint8)
    return table[values]


def bernoulli(values: NDArray[np.uint8], levels: int, seed: int) -> NDArray[np.uint8]:
    """One draw x ~ Bernoulli(value / (levels - 1)) for each value of items (N, ...), as 0 and 1.

    The noise of an item comes from a keyed hash of its bytes: the draw depends on the seed and the item alone, not on its neighbours or its place,
    so that subsets and copies agree. 16 bits of noise a value: 0 is never drawn as 1, the top level always is, and no probability is off by 2^-16.
    """
    drawn = np.empty(values.shape, dtype=np.uint8)
    key = f"{seed}:".encode()
    for i, item in enumerate(np.ascontiguousarray(values)):
        noise = np.frombuffer(hashlib.shake_128(key + item.tobytes()).digest(2 * item.size), dtype="<u2").reshape(item.shape)
        drawn[i] = noise.astype(np.uint32) * (levels - 1) < item.astype(np.uint32) << 16
    return drawn
