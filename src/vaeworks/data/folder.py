"""A folder of pictures: which files are pictures, and what their folders say about them."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vaeworks.data.gallery import Picture, load_gallery
from vaeworks.data.options import Options
from vaeworks.data.raw import FREE, TEST, TRAIN, VALIDATION, Raw
from vaeworks.errors import DataError
from vaeworks.model.schema import Schema

__all__ = ["SUFFIXES", "is_picture", "load_folder", "load_picture"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"})
_SPLITS = {"train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION, "test": TEST, "testing": TEST}


@dataclass
class _Found:
    """What a walk through a folder met."""

    pictures: list[Path]
    other: Counter[str]
    unreadable: list[str]


def is_picture(path: Path) -> bool:
    """Whether the name of a file says that it is a picture."""
    return path.suffix.lower() in SUFFIXES


def load_picture(path: Path, like: Schema | None, options: Options) -> Raw:
    """A single picture file."""
    return load_gallery([Picture(path.name, path)], path.name, like, options)[0]


def load_folder(root: Path, like: Schema | None, options: Options) -> Raw:
    """All pictures below ``root``. Folders at the first level at which they branch are labels, or a split where they are named train, test ...

    DataError where there are no pictures, or a folder cannot be read and ``options.strict``.
    """
    what = f"folder {root.resolve().name or root}"
    found = _walk(root)
    if found.unreadable and options.strict:
        raise DataError(f"{what}: cannot read {', '.join(found.unreadable[:5])}: mend their permissions")
    if not found.pictures:
        held = ", ".join(f"{count} {suffix}" for suffix, count in found.other.most_common(5)) or "nothing"
        blocked = f", and {', '.join(found.unreadable[:5])} cannot be read" if found.unreadable else ""
        raise DataError(f"{root} holds no pictures ({', '.join(sorted(SUFFIXES))}): found {held}{blocked}; give a folder with pictures")
    paths, limited = _limit(found.pictures, root, options)
    names = [_plain(path, root) for path in paths]
    raw, kept = load_gallery([Picture(name, path) for name, path in zip(names, paths, strict=True)], what, like, options)
    raw = raw.note(limited)
    if found.other:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in found.other.most_common(5))
        number = sum(found.other.values())
        raw = raw.note(f"Ignored {number} file{'s that are no pictures' if number > 1 else ' that is no picture'} ({kinds}).")
    if found.unreadable:
        number = len(found.unreadable)
        raw = raw.note(f"Skipped {number} folder{'s' if number > 1 else ''} that cannot be read: {', '.join(found.unreadable[:5])}.")
    return _label(raw, [names[i] for i in kept])


def _plain(path: Path, root: Path) -> str:
    """The path below ``root``, fit to print."""
    name = path.relative_to(root).as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in name)


def _walk(root: Path) -> _Found:
    """Every file below ``root``, in a fixed order. Hidden files and folders are passed over, and a folder that links lead back to is entered once."""
    found = _Found([], Counter(), [])
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
                inside = sorted(entries, key=lambda e: _natural(e.name))
        except OSError:
            found.unreadable.append(_plain(folder, root))
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
            elif is_picture(path):
                found.pictures.append(path)
            else:
                found.other[path.suffix.lower() or "without suffix"] += 1
        waiting.extend(reversed(folders))
    return found


def _natural(name: str) -> tuple[list[tuple[float, str]], str]:
    """A key that puts 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (math.inf, part) for part in re.split(r"(\d+)", name.lower()) if part], name


def _limit(paths: list[Path], root: Path, options: Options) -> tuple[list[Path], str]:
    """At most ``options.limit`` files, chosen by a keyed hash of their names before anything is decoded."""
    if options.limit is None or len(paths) <= options.limit:
        return paths, ""
    key = str(options.seed).encode()
    ranked = sorted(paths, key=lambda p: hashlib.blake2b(p.relative_to(root).as_posix().encode("utf-8", "surrogateescape"), key=key).digest())
    chosen = set(ranked[: options.limit])
    return [p for p in paths if p in chosen], f"Limited to {options.limit} of {len(paths)} pictures."


def _label(raw: Raw, names: list[str]) -> Raw:
    """Labels, or a split, from the first folder level below the one that all pictures share."""
    folders = [name.split("/")[:-1] for name in names]
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
    classes = sorted({f[0] for f in levels if f}, key=_natural)
    if len(classes) < 2:
        return raw
    numbers = {name: i for i, name in enumerate(classes)}
    labels = np.array([numbers[f[0]] if f else -1 for f in levels], dtype=np.int64)
    unknown = int((labels < 0).sum())
    aside = f"; {unknown} pictures outside them have none" if unknown else ""
    return replace(raw, labels=labels, classes=tuple(classes)).note(f"Labels: {len(classes)} classes, named after the folders{aside}.")
