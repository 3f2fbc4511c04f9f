"""Many files read by several threads: what was read, and what was not and why."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from vaeworks.data.options import Options, Progress
from vaeworks.errors import DataError

__all__ = ["count", "each", "first", "refuse"]

_BLOCK = 4096
_SHOWN = 5
S = TypeVar("S")
T = TypeVar("T")


def each(function: Callable[[S], T], things: Sequence[S], progress: Progress | None, *, threads: bool = True) -> list[T | str]:
    """``function`` of each thing, in order, by several threads; where it fails, the reason."""

    def attempt(thing: S) -> T | str:
        try:
            return function(thing)
        except Exception as error:  # damaged files make decoders raise anything
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return " ".join(reason.split())[:200] or type(error).__name__

    results: list[T | str] = []
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1) if threads else 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for start in range(0, len(things), _BLOCK):
                for result in pool.map(attempt, things[start : start + _BLOCK]):
                    results.append(result)
                    if progress is not None:
                        progress(len(results), len(things))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return results


def count(number: int, noun: str) -> str:
    """The number with its noun, in the plural where it is not one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def first(failed: Mapping[int, str], names: Sequence[str]) -> str:
    """The first few failures, by name."""
    shown = ", ".join(f"{names[i]} ({failed[i]})" for i in sorted(failed)[:_SHOWN])
    return shown + (f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else "")


def refuse(failed: Mapping[int, str], names: Sequence[str], noun: str, what: str, options: Options) -> None:
    """DataError where nothing can be read, or something cannot and strictness was asked for."""
    if failed and len(failed) == len(names):
        raise DataError(f"{what}: none of {count(len(names), noun)} can be read: {first(failed, names)}: give {noun}s that open elsewhere")
    if failed and options.strict:
        raise DataError(f"{what}: {count(len(failed), noun)} cannot be read: {first(failed, names)}: mend or remove them")
