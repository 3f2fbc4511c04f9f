"""Arrays and tensors as items: which axis is which, what their labels are called, and what else is known of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.levels import check_finite, recognise
from vaeworks.data.memory import require
from vaeworks.data.options import SMALLEST
from vaeworks.data.raw import Raw
from vaeworks.errors import DataError
from vaeworks.model import ImageSchema

__all__ = ["arrange", "check_shape", "from_array", "name_labels", "name_strings", "with_context", "with_factors"]

_MOST_CLASSES = 1000


def arrange(shape: tuple[int, ...], what: str) -> str:
    """How (N, H, W), (N, H, W, C) or (N, C, H, W) is laid out: "nhw", "nhwc" or "nchw". DataError with the cure for any other shape.

    Sides of a picture are at least 8 and there are at most 4 channels, so that no valid shape can be read in two ways.
    """
    if len(shape) == 2:
        raise DataError(f"{what} has shape {shape}, flat rows of numbers, or one picture: {_reshaping(shape)}")
    if len(shape) not in {3, 4}:
        raise DataError(f"{what} has shape {shape}: give pictures of shape (N, H, W), (N, H, W, C) or (N, C, H, W)")
    if shape[0] == 0:
        raise DataError(f"{what} has shape {shape}, which holds no items")
    if len(shape) == 3:
        if shape[2] <= 4 and min(shape[:2]) >= SMALLEST:
            raise DataError(f"{what} has shape {shape}, which looks like one picture (H, W, C): give several, or x[None] for a batch of one")
        return "nhw"
    if shape[3] <= 4 and min(shape[1:3]) >= SMALLEST:
        return "nhwc"
    if shape[1] <= 4:
        return "nchw"
    if shape[3] <= 4:
        return "nhwc"
    raise DataError(f"{what} has shape {shape}, with 1 to 4 channels neither second nor last: give (N, H, W, C) or (N, C, H, W)")


def _reshaping(shape: tuple[int, ...]) -> str:
    """How to turn (N, D) into pictures."""
    for channels in (1, 3):
        side = math.isqrt(shape[1] // channels)
        if side >= SMALLEST and channels * side * side == shape[1]:
            form = f"-1, {side}, {side}" if channels == 1 else f"-1, {channels}, {side}, {side}"
            return f"reshape rows to pictures first, for instance x.reshape({form}), or give x[None] if it is one picture"
    return f"reshape the {shape[1]} numbers of a row to (N, H, W) or (N, C, H, W) first, or give x[None] if it is one picture"


def from_array(array: NDArray[Any], what: str, like: ImageSchema | None, labels: NDArray[Any] | None = None) -> Raw:
    """Pictures in an array of one of the three layouts. ``like``, where given, settles what is ambiguous: a single item, raw levels, real numbers.

    DataError where the shape, the kind of numbers or the number of labels is wrong.
    """
    if like is not None:
        array = _batch_of_one(array, like)
    layout = arrange(array.shape, what)
    require(array.size * (1 if array.dtype.kind in "bu" else 4) * 2, f"{what}, of shape {array.shape},")
    if layout == "nhwc":
        array = np.moveaxis(array, 3, 1)
    elif layout == "nhw":
        array = array[:, None]
    if like is not None and like.levels == 0:
        if array.dtype.kind not in "buif":
            raise DataError(f"{what} holds {array.dtype} values, and the model learned from real numbers")
        check_finite(array, what)
        values, levels, note = array.astype(np.float32), 0, ""
    elif like is not None and _are_levels(array, like):
        values, levels, note = array.astype(np.uint8), like.levels, ""
    else:
        values, levels, note = recognise(array, what)
    raw = Raw(np.ascontiguousarray(values), levels, what)
    shape = " x ".join(map(str, raw.values.shape[1:]))
    raw = raw.note(f"{what}: {len(raw)} items of shape {shape} (channels x height x width); {note}.")
    return raw if labels is None else name_labels(raw, labels)


def _batch_of_one(array: NDArray[Any], like: ImageSchema) -> NDArray[Any]:
    """A single item as a batch of one, where its shape says that it is one."""
    channels, height, width = like.shape
    if array.shape in {(channels, height, width), (height, width, channels)} or (channels == 1 and array.shape == (height, width)):
        return array[None]
    return array


def _are_levels(array: NDArray[Any], like: ImageSchema) -> bool:
    """Whether integers are the model's own levels, however few of them occur; only 0 and 1, for a model that binarises, are binary instead."""
    if array.dtype.kind not in "ui" or like.levels <= 2:
        return False
    low, high = int(array.min()), int(array.max())
    return low >= 0 and high < like.levels and (like.binarisation == "none" or high > 1)


def check_shape(raw: Raw, like: ImageSchema) -> None:
    """DataError unless the items have the model's shape."""
    if raw.values.shape[1:] != like.shape:
        raise DataError(f"{raw.source} has items of shape {raw.values.shape[1:]}, and the model learned items of shape {like.shape}: give such items")


def name_labels(raw: Raw, labels: NDArray[Any]) -> Raw:
    """``raw`` with class names from the distinct labels. Labels that are no classes (real numbers, too many) are left out, and a note says so."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "buif" and ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all():
        labels = labels.argmax(axis=1)
    if labels.shape[:1] != (len(raw),):
        raise DataError(f"{raw.source} has {len(raw)} items and labels of shape {labels.shape}: give one label for each item")
    whole = labels.dtype.kind in "bui" or (labels.dtype.kind == "f" and bool((labels == np.rint(labels)).all()))
    if labels.ndim != 1 or not (whole or labels.dtype.kind in "US"):
        return raw.note(f"Labels of type {labels.dtype} and shape {labels.shape} are no classes and were left out.")
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    found, numbers = np.unique(labels, return_inverse=True)
    if len(found) > min(_MOST_CLASSES, max(2, len(raw) // 2)):
        return raw.note(f"Labels take {len(found)} values for {len(raw)} items, too many for classes, and were left out.")
    classes = tuple(str(int(c)) if whole else str(c) for c in found)
    return replace(raw, labels=numbers.astype(np.int64).reshape(-1), classes=classes).note(f"Labels: {len(classes)} classes.")


def name_strings(raw: Raw, labels: Sequence[str]) -> Raw:
    """``raw`` with labels that are strings, "" where unknown."""
    named = name_labels(raw, np.array(labels, dtype=str))
    if named.labels is None or "" not in named.classes:
        return named
    unknown = named.classes.index("")
    numbers = np.where(named.labels == unknown, -1, named.labels - (named.labels > unknown))
    return replace(named, labels=numbers, classes=tuple(name for name in named.classes if name))


def with_context(raw: Raw, context: NDArray[Any], names: NDArray[Any] | None = None) -> Raw:
    """``raw`` with numbers (N,) or (N, C) beside its items, called c0, c1 ... unless they have names. DataError where they are no finite numbers or too few."""
    columns, names_of = _table(raw, context, names, "context", "c")
    if columns.dtype.kind not in "buif":
        raise DataError(f"{raw.source}: context of type {columns.dtype}: give numbers, a column of 0 and 1 for each category")
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and told of
        columns = columns.astype(np.float32)
    if not np.isfinite(columns).all():
        row, column = np.argwhere(~np.isfinite(columns))[0]
        raise DataError(
            f"{raw.source}: the context of item {row} is {columns[row, column]} in column {names_of[column]}: fill it, or leave the item out"
        )
    return replace(raw, context=columns, columns=names_of).note(f"Context: {len(names_of)} numbers beside each item ({', '.join(names_of[:10])}).")


def with_factors(raw: Raw, factors: NDArray[Any], names: NDArray[Any] | None = None) -> Raw:
    """``raw`` with factors of variation (N, F), integers, called factor0, factor1 ... unless they have names. DataError where they are none."""
    numbers, names_of = _table(raw, factors, names, "factors", "factor")
    if numbers.dtype.kind not in "bui" and not (numbers.dtype.kind == "f" and (np.isfinite(numbers) & (numbers == np.rint(numbers))).all()):
        raise DataError(f"{raw.source}: factors of type {numbers.dtype}: give integers, a number for each value of a factor")
    return replace(raw, factors=numbers.astype(np.int64), factor_names=names_of).note(f"Factors of variation: {', '.join(names_of[:10])}.")


def _table(raw: Raw, table: NDArray[Any], names: NDArray[Any] | None, what: str, letter: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """``table`` (N, C), a row for each item, and the names of its columns."""
    table = np.asarray(table)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) != len(raw) or not table.shape[1]:
        raise DataError(f"{raw.source} has {len(raw)} items and {what} of shape {table.shape}: give one row of numbers for each item")
    told = [f"{letter}{i}" for i in range(table.shape[1])] if names is None else [str(name) for name in np.ravel(names)]
    if len(told) != table.shape[1] or len(set(told)) < len(told):
        raise DataError(
            f"{raw.source}: {what} of {table.shape[1]} columns, and the names {', '.join(told[:10])}: give a different name for each column"
        )
    return table, tuple(told)
