"""Few labels: those of some training items are kept and all others hidden, to learn as if nobody had given them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.options import Options
from vaeworks.data.raw import TEST, TRAIN, Raw
from vaeworks.errors import DataError

__all__ = ["keep_labels"]


def keep_labels(raw: Raw, parts: NDArray[np.int8], options: Options) -> Raw:
    """The labels of ``options.labels`` items of the training part, drawn by the seed from each class in turn, and those of test items; the others are -1.

    Validation items lose theirs too: a model that is chosen by them has learned from them. DataError where there are not so many labels, or fewer are kept than there are classes.
    """
    count = options.labels
    if count is None:
        return raw
    if raw.labels is None or not (raw.labels >= 0).any():
        raise DataError(
            f"labels={count} keeps that many labels, and {raw.source} has none: leave it out, or sort the files into folders named after classes"
        )
    known = np.flatnonzero((parts == TRAIN) & (raw.labels >= 0))
    classes = np.unique(raw.labels[known])
    if not len(classes) <= count <= len(known):
        raise DataError(
            f"labels={count}: {raw.source} has {len(known)} labelled training items of {len(classes)} classes: choose from {len(classes)} to {len(known)}"
        )
    order = np.random.Generator(np.random.PCG64(options.seed)).permutation(known)
    turn = np.empty(len(order), dtype=np.int64)
    for label in classes:
        mine = raw.labels[order] == label
        turn[mine] = np.arange(mine.sum())
    kept = order[np.argsort(turn, kind="stable")[:count]]
    shown = parts == TEST
    shown[kept] = True
    each = np.bincount(raw.labels[kept])[classes]
    spread = f"{each.min()}" if each.min() == each.max() else f"{each.min()} to {each.max()}"
    told = f"Labels: {count} of {int((parts == TRAIN).sum())} training items keep theirs, {spread} a class (seed {options.seed}); validation items lose theirs too."
    return replace(raw, labels=np.where(shown, raw.labels, -1)).note(told)
