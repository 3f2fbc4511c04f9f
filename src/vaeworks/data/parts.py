"""From the items of a source, of whatever kind, to those of its training, validation and test parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaeworks.data.items import Data, Items
from vaeworks.data.options import Options
from vaeworks.data.raw import TEST, TRAIN, VALIDATION, Raw
from vaeworks.data.split import split
from vaeworks.model import Schema

__all__ = ["chosen_part", "items_of", "parted"]

_PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


def parted(raw: Raw, parts: NDArray[np.int8], schema: Schema, told: list[str]) -> Data:
    """The items of each of ``parts`` (N,), with what the source told and ``told``."""
    items = {name: items_of(raw, np.flatnonzero(parts == part)) for name, part in _PARTS.items()}
    return Data(schema, items["train"], items["validation"], items["test"], raw.note(*told).notes)


def chosen_part(raw: Raw, options: Options, default: str) -> Items:
    """The items of ``options.split``, or of ``default`` where it is None: the split is the one that a training with the same options makes."""
    part = options.split or default
    index = np.arange(len(raw)) if part == "all" else np.flatnonzero(split(raw, options)[0] == _PARTS[part])
    return items_of(raw, index)


def items_of(raw: Raw, index: NDArray[Any]) -> Items:
    """The items at ``index``, copied."""
    chosen = raw.take(index)
    held = {
        name: None if (array := getattr(chosen, name)) is None else torch.from_numpy(array)
        for name in ("labels", "context", "factors", "lengths", "observed")
    }
    return Items(torch.from_numpy(chosen.values), names=chosen.names, factor_names=chosen.factor_names, **held)
