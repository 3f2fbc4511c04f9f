"""A path at which there is nothing."""

from __future__ import annotations

import difflib
from pathlib import Path

from vaeworks.data.builtin import NAMES
from vaeworks.errors import DataError

__all__ = ["missing"]


def missing(path: Path, given: str) -> DataError:
    """The error for a path at which there is nothing, with what may have been meant."""
    if "://" in given:
        return DataError(f"{given} is an address, and data are read from this machine: download it first and give its path")
    close = difflib.get_close_matches(given.lower().partition(":")[0], NAMES, n=2, cutoff=0.6)
    try:
        beside = [p.name for p in path.parent.iterdir()]
        close += [str(path.with_name(name)) for name in difflib.get_close_matches(path.name, beside, n=2, cutoff=0.75)]
    except OSError:
        pass
    meant = f"did you mean {' or '.join(close)}?" if close else f"give a path that exists, or one of {', '.join(NAMES)}"
    return DataError(f"{given} is neither a built-in data set nor a path that exists: {meant}")
