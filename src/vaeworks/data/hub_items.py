"""Items of a data set of the hub: its pictures and sounds by the readers of files, its text and tables by those of Parquet, with the split and the classes that it says."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.hub import PARTS
from vaeworks.data.hub_store import Stored
from vaeworks.data.options import Options
from vaeworks.data.raw import FREE, TEST, TRAIN, VALIDATION, Raw
from vaeworks.data.walk import natural
from vaeworks.errors import DataError

__all__ = ["files_of", "marked", "official", "split_rows", "told_of"]

_MOST_CLASSES = 1000
T = TypeVar("T")


def official(stored: Stored) -> list[int] | None:
    """The part that each split is of an official split; None where there is one split alone."""
    parts = [PARTS.get(split.lower(), TRAIN) for split in stored.splits]
    if len(set(parts)) < 2:
        return None
    return parts if VALIDATION in parts else [FREE if part == TRAIN else part for part in parts]


def split_rows(stored: Stored, read: Callable[[Path], T]) -> list[T]:
    """What ``read`` makes of the rows of each split; its errors name the data set, not the file in which it is kept."""
    found = []
    for split in stored.splits:
        path = stored.file(split)
        try:
            found.append(read(path))
        except DataError as error:
            raise DataError(str(error).replace(str(path), stored.source).replace(path.name, stored.source)) from error
    return found


def files_of(stored: Stored, options: Options) -> list[tuple[str, Path]]:
    """The name and file of every picture or sound; of each of training and test at most ``options.limit``, chosen by the seed before anything is decoded."""
    import polars as pl

    chosen: list[tuple[str, Path]] = []
    parts = official(stored) or [TRAIN] * len(stored.splits)
    for tested in (False, True):
        own: list[tuple[str, Path]] = []
        for split, part in zip(stored.splits, parts, strict=True):
            if (part == TEST) == tested:
                rows = pl.read_parquet(stored.file(split), columns=["name", "file"])
                own += [(name, stored.folder / file) for name, file in rows.iter_rows()]
        if options.limit is not None and len(own) > options.limit:
            key = str(options.seed).encode()
            kept = set(sorted(own, key=lambda item: hashlib.blake2b(item[0].encode(), digest_size=16, key=key).digest())[: options.limit])
            own = [item for item in own if item in kept]
        chosen += own
    return chosen


def marked(raw: Raw, stored: Stored, options: Options) -> Raw:
    """``raw``, whose names are those of ``files_of``, with its labels and its part of an official split."""
    import polars as pl

    label, names = options.label, raw.names or ()
    told: dict[str, tuple[str | None, int]] = {}
    parts = official(stored)
    for i, split in enumerate(stored.splits):
        frame = pl.read_parquet(stored.file(split))
        if label is not None and label not in frame.columns:
            raise DataError(f"{stored.source} has no column {label!r}, as --label asks for: choose one of {', '.join(frame.columns[2:22])}")
        cells = [None] * frame.height if label is None else frame[label].cast(pl.String).to_list()
        told |= {name: (cell, parts[i] if parts else FREE) for name, cell in zip(frame["name"].to_list(), cells, strict=True)}
    if parts is not None:
        raw = replace(raw, parts=np.array([told[name][1] for name in names], dtype=np.int8))
    if label is not None:
        raw = _labelled(raw, [told[name][0] for name in names], label, stored.classes.get(label))
    return told_of(raw, stored)


def told_of(raw: Raw, stored: Stored) -> Raw:
    """``raw`` with what was found when the data set was read."""
    kept = f"The splits {', '.join(stored.splits)} are kept as the official split." if official(stored) is not None else ""
    notes = [re.sub("|".join(re.escape(stored.file(split).name) for split in stored.splits), stored.source, note) for note in raw.notes]
    return replace(raw, notes=tuple(dict.fromkeys(notes))).note(kept, *stored.notes)


def _labelled(raw: Raw, labels: Sequence[str | None], column: str, classes: Sequence[str] | None) -> Raw:
    """``raw`` with classes from the cells of a column, in the data set's own order where it has one."""
    seen = {label for label in labels if label}
    order = sorted(seen, key=natural) if classes is None else [name for name in classes if name in seen]
    if len(order) > min(_MOST_CLASSES, max(2, len(raw) // 2)):
        return raw.note(f"Labels take {len(order)} values for {len(raw)} items, too many for classes, and were left out.")
    if len(order) < 2:
        return raw.note(f"Column {column} holds {'one label alone' if order else 'no labels'}, and was left out.")
    numbers = {name: i for i, name in enumerate(order)}
    found: NDArray[Any] = np.array([numbers.get(label or "", -1) for label in labels], dtype=np.int64)
    return replace(raw, labels=found, classes=tuple(order)).note(f"Labels: {len(order)} classes, of column {column}.")
