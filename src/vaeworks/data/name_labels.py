"""Labels that are written in the names of files."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from vaeworks.data.raw import Raw
from vaeworks.data.walk import natural
from vaeworks.errors import DataError

__all__ = ["by_name"]

_CLASSES = (2, 100)
_SHARE = 0.95
_TIMES = 3
_FIRST = "{label}_{}"


def by_name(raw: Raw, pattern: str | None, classes: Sequence[str] = ()) -> Raw:
    """``raw`` with labels from its names, by a ``pattern`` such as '{label}_{speaker}_{take}'; "none" looks for none.

    Where there is no pattern and no label yet, the first part of names such as ``X_...`` is the label if nearly all names have one, of 2 to 100 different ones, each met
    several times, or all among ``classes``. DataError where a pattern is given that says no label, or fits no name.
    """
    names = [PurePosixPath(name).with_suffix("").as_posix() for name in raw.names or ()]
    if pattern == "none" or not names or (pattern is None and raw.labels is not None):
        return raw
    found = _read(names, pattern or _FIRST)
    told = Counter(label for label in found if label is not None)
    if pattern is None:
        most = told.total() >= _SHARE * len(names) and all(_known(told, classes))
        if not most or not told:
            return raw
    elif not told:
        raise DataError(
            f"--labels-from {pattern!r} fits none of the {len(names)} names, such as {raw.names[0] if raw.names else ''}: mend the pattern"
        )
    order = sorted(told, key=natural)
    numbers = {name: i for i, name in enumerate(order)}
    labels = np.array([-1 if label is None else numbers[label] for label in found], dtype=np.int64)
    unknown = int((labels < 0).sum())
    aside = f"; {unknown} names do not fit" if unknown else ""
    how = "--labels-from" if pattern else "found in nearly all names; --labels-from none leaves them out"
    return replace(raw, labels=labels, classes=tuple(order)).note(
        f"Labels: {len(order)} classes from the file names, by the pattern {pattern or '{label}_...'} ({how}){aside}."
    )


def _known(told: Counter[str], classes: Sequence[str]) -> list[bool]:
    """Whether first parts of names are labels."""
    if classes:
        return [label in classes for label in told]
    return [_CLASSES[0] <= len(told) <= _CLASSES[1], min(told.values(), default=0) >= _TIMES]


def _read(names: Sequence[str], pattern: str) -> list[str | None]:
    """The label in each name without its suffix; None where the pattern does not fit. A pattern without a slash sees the last part of a path."""
    expression = ""
    seen = []
    try:
        for text, key, _, _ in string.Formatter().parse(pattern):
            expression += re.escape(text)
            if key is not None:
                seen.append(key)
                expression += "(?P<label>[^/]+?)" if key == "label" else "[^/]+?"
    except ValueError as error:
        raise DataError(f"--labels-from {pattern!r} is no pattern ({error}): give such as '{{label}}_{{speaker}}_{{take}}'") from error
    if seen.count("label") != 1:
        raise DataError(
            f"--labels-from {pattern!r} has {seen.count('label')} places named {{label}}: give one, as in '{{label}}_{{speaker}}_{{take}}'"
        )
    matches = (re.fullmatch(expression, name if "/" in pattern else name.rpartition("/")[2]) for name in names)
    return [match["label"] if match else None for match in matches]
