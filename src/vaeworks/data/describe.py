"""The ImageSchema of data, with the statistics of their training items."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.levels import chunks, present
from vaeworks.data.raw import Raw
from vaeworks.errors import DataError
from vaeworks.model import ImageSchema

__all__ = ["describe", "outside"]


def describe(raw: Raw, train: NDArray[np.bool_]) -> ImageSchema:
    """The ImageSchema of ``raw``, with mean and standard deviation of x (its expectation where it is drawn) over the items at ``train``, a mask (N,).

    DataError where the training items are constant.
    """
    values = raw.values[train]
    if values.min() == values.max():
        found = f"every value of its {len(values)} training items is {values.min():g}"
        raise DataError(f"{raw.source} is constant, {found}, so there is nothing to learn: give data that vary")
    low, high, mean, std = _levels(values, raw) if raw.levels else _real(values)
    means, scales = ((), ()) if raw.context is None else _columns(raw.context[train])
    return ImageSchema(
        shape=tuple(int(n) for n in values.shape[1:]),
        mode=raw.mode,
        levels=raw.levels,
        low=low,
        high=high,
        binarisation=raw.binarisation,
        classes=raw.classes,
        source=raw.source,
        count=len(values),
        mean=mean,
        std=std,
        columns=raw.columns,
        column_means=means,
        column_scales=scales,
    )


def outside(raw: Raw, held_out: NDArray[np.bool_], schema: ImageSchema) -> str:
    """A sentence on real values of held-out items beyond the range of the training items, or nothing where there are none."""
    if raw.levels or not held_out.any():
        return ""
    values = raw.values[held_out]
    share = float(((values < schema.low) | (values > schema.high)).mean())
    return f"{share:.2%} of the held-out values are outside the training range {schema.low:g} .. {schema.high:g}." if share else ""


def _levels(values: NDArray[np.uint8], raw: Raw) -> tuple[float, float, float, float]:
    counts = present(values).astype(np.float64)
    x = np.arange(256) / (raw.levels - 1)
    if raw.binarisation == "threshold":
        x = (np.arange(256) >= raw.levels / 2).astype(np.float64)
    mean = float((counts * x).sum() / counts.sum())
    return 0.0, 1.0, mean, float(np.sqrt((counts * (x - mean) ** 2).sum() / counts.sum()))


def _real(values: NDArray[Any]) -> tuple[float, float, float, float]:
    low, high = float(values.min()), float(values.max())
    total = square = 0.0
    for part in chunks(values):
        x = (values[part].astype(np.float64) - low) / (high - low)
        total += float(x.sum())
        square += float((x * x).sum())
    mean = total / values.size
    return low, high, mean, float(np.sqrt(max(0.0, square / values.size - mean**2)))


def _columns(context: NDArray[np.float32]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each column, 1 for the deviation of one that never changes."""
    means, scales = context.mean(0, dtype=np.float64), context.std(0, dtype=np.float64)
    return tuple(means.tolist()), tuple(np.where(context.min(0) < context.max(0), scales, 1.0).tolist())
