"""Raw: what a source holds, before it is split: the one value that passes between the files of this room."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeworks.model import Binarisation

__all__ = ["FREE", "MODES", "TEST", "TRAIN", "VALIDATION", "Raw"]

FREE, TRAIN, VALIDATION, TEST = -1, 0, 1, 2

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's mode for a number of channels."""


@dataclass(frozen=True)
class Raw:
    """N items in the order of their source."""

    values: NDArray[Any]
    """(N, C, H, W) uint8 levels, or float32 where ``levels`` is 0; of text (N, L) tokens, of sounds (N, 1, T) int16 samples, of tables (N, D) numbers."""
    levels: int
    """2 .. 256, or 0 for real numbers."""
    source: str
    """What people call it."""
    labels: NDArray[np.int64] | None = None
    """(N,) numbers into ``classes``; -1 where unknown."""
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    """File names, where items came from files."""
    keys: NDArray[np.bytes_] | None = None
    """(N,) keyed hashes of the values as the source holds them, once ``values`` are no longer those; None: they still are."""
    parts: NDArray[np.int8] | None = None
    """(N,) official split: TRAIN, VALIDATION, TEST, or FREE where an item may train or validate; None: there is no official split."""
    context: NDArray[np.float32] | None = None
    """(N, C) numbers beside the items, finite, named by ``columns``."""
    columns: tuple[str, ...] = ()
    factors: NDArray[np.int64] | None = None
    """(N, F) what each item was made from, named by ``factor_names``."""
    factor_names: tuple[str, ...] = ()
    lengths: NDArray[np.int64] | None = None
    """(N,) how much of the values, along the last axis, is each item's own; None: all."""
    observed: NDArray[np.bool_] | None = None
    """(N, ...) of the shape of the values, False where one is missing; None: all are there."""
    binarisation: Binarisation = "none"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def mode(self) -> str:
        """Pillow's mode of one item."""
        return MODES[int(self.values.shape[1])]

    def take(self, index: NDArray[Any]) -> Raw:
        """The items at ``index`` (positions or a mask)."""
        names = None if self.names is None else tuple(np.array(self.names, dtype=object)[index])
        fields = ("labels", "keys", "parts", "context", "factors", "lengths", "observed")
        held: dict[str, Any] = {name: None if (array := getattr(self, name)) is None else array[index] for name in fields}
        return replace(self, values=self.values[index], names=names, **held)

    def note(self, *sentences: str) -> Raw:
        """The same items with more to tell."""
        return replace(self, notes=(*self.notes, *(s for s in sentences if s)))
