"""A folder of files, each an item: which files there are, and what their folders say about them."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vaeworks.data.options import Options
from vaeworks.data.raw import FREE, TEST, TRAIN, VALIDATION, Raw
from vaeworks.errors import DataError

__all__ = ["Found", "by_folder", "few", "natural", "plain", "walk"]

_SPLITS = {"train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION, "test": TEST, "testing": TEST}


@dataclass
class Found:
    """What a walk through a folder met."""

    root: Path
    thing: str
    """What a wanted file is called: a picture, a sound."""
    files: list[Path] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)

    def names(self, files: Sequence[Path]) -> list[str]:
        """The paths of ``files`` below the root, fit to print."""
        return [plain(path, self.root) for path in files]

    def limited(self, options: Options) -> tuple[list[Path], str]:
        """At most ``options.limit`` files, chosen by a keyed hash of their names before anything is decoded, and what to tell of it."""
        if options.limit is None or len(self.files) <= options.limit:
            return self.files, ""
        key = str(options.seed).encode()
        named = {p: p.relative_to(self.root).as_posix().encode("utf-8", "surrogateescape") for p in self.files}
        chosen = set(sorted(self.files, key=lambda p: hashlib.blake2b(named[p], key=key).digest())[: options.limit])
        return [p for p in self.files if p in chosen], f"Limited to {options.limit} of {len(self.files)} {self.thing}s."

    def aside(self) -> list[str]:
        """What to tell of files that are not wanted and of folders that cannot be read."""
        notes = []
        if number := sum(self.other.values()):
            ending = f"s that are no {self.thing}s" if number > 1 else f" that is no {self.thing}"
            notes.append(f"Ignored {number} file{ending} ({_most(self.other)}).")
        if self.unreadable:
            ending = "s" if len(self.unreadable) > 1 else ""
            notes.append(f"Skipped {len(self.unreadable)} folder{ending} that cannot be read: {few(self.unreadable)}.")
        return notes


def walk(root: Path, wanted: Callable[[Path], bool], suffixes: frozenset[str], thing: str, options: Options) -> Found:
    """Every file below ``root`` that is ``wanted``, in a fixed order. Hidden files and folders are passed over; a folder that links lead back to is entered once.

    DataError where there are none, or a folder cannot be read and ``options.strict``.
    """
    found = Found(root, thing)
    seen: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda e: natural(e.name))
        except OSError:
            found.unreadable.append(plain(folder, root))
            continue
        folders = []
        for entry in inside:
            path = folder / entry.name
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if path.is_dir():
                folders.append(path)
            elif path.exists() and not path.is_file():
                continue
            elif wanted(path):
                found.files.append(path)
            else:
                found.other[path.suffix.lower() or "without suffix"] += 1
        waiting.extend(reversed(folders))
    if found.unreadable and options.strict:
        raise DataError(f"folder {root.resolve().name or root}: cannot read {few(found.unreadable)}: mend their permissions")
    if not found.files:
        blocked = f", and {few(found.unreadable)} cannot be read" if found.unreadable else ""
        held = _most(found.other) or "nothing"
        raise DataError(f"{root} holds no {thing}s ({', '.join(sorted(suffixes))}): found {held}{blocked}; give a folder with {thing}s")
    return found


def few(names: Sequence[str], shown: int = 5) -> str:
    """The first names."""
    return ", ".join(names[:shown])


def _most(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {suffix}" for suffix, count in kinds.most_common(5))


def plain(path: Path, root: Path) -> str:
    """The path below ``root``, fit to print."""
    name = path.relative_to(root).as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in name)


def natural(name: str) -> tuple[list[tuple[float, str]], str]:
    """A key that puts 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (math.inf, part) for part in re.split(r"(\d+)", name.lower()) if part], name


def by_folder(raw: Raw, thing: str) -> Raw:
    """Labels, or a split, from the first folder level below the one that all of ``raw.names`` share.

    Folders at the first level at which they branch are labels, or a split where they are named train, test ...
    """
    folders = [name.split("/")[:-1] for name in raw.names or ()]
    shared = 0
    while all(len(f) > shared for f in folders) and len({f[shared] for f in folders}) == 1:
        shared += 1
    levels = [f[shared:] for f in folders]
    tops = {f[0].lower() for f in levels if f}
    if tops and tops <= set(_SPLITS) and all(levels) and any(_SPLITS[t] == TRAIN for t in tops) and len(tops) > 1:
        parts = np.array([_SPLITS[f[0].lower()] for f in levels], dtype=np.int8)
        if VALIDATION not in parts:
            parts[parts == TRAIN] = FREE
        raw = replace(raw, parts=parts).note(f"The folders {', '.join(sorted(tops))} are kept as the official split.")
        levels = [f[1:] for f in levels]
    classes = sorted({f[0] for f in levels if f}, key=natural)
    if len(classes) < 2:
        return raw
    numbers = {name: i for i, name in enumerate(classes)}
    labels = np.array([numbers[f[0]] if f else -1 for f in levels], dtype=np.int64)
    unknown = int((labels < 0).sum())
    aside = f"; {unknown} {thing}s outside them have none" if unknown else ""
    return replace(raw, labels=labels, classes=tuple(classes)).note(f"Labels: {len(classes)} classes, named after the folders{aside}.")
