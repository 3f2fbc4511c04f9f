"""Data sets known by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import numpy as np

from vaeworks.data.cifar import load_cifar
from vaeworks.data.download import cache
from vaeworks.data.options import Options
from vaeworks.data.raw import Raw
from vaeworks.data.relatives import load_relative, load_static_mnist
from vaeworks.data.sprites import FACTORS, SHAPES, render, sample
from vaeworks.errors import DataError
from vaeworks.model import Binarisation

__all__ = ["NAMES", "Builtin", "load_builtin", "parse"]

NAMES = ("digits", "mnist", "fashion-mnist", "kmnist", "cifar10", "mnist-binarized", "sprites")

SPRITES = 20_000
"""Pictures that ``sprites`` draws, of the 737,280 that there are; ``options.limit`` asks for fewer."""


@dataclass(frozen=True)
class Builtin:
    """A built-in set and the binarisation its name asks for (None: it does not say)."""

    name: str
    binarisation: Binarisation | None


def parse(source: str) -> Builtin | None:
    """``mnist``, ``mnist:dynamic``, ``mnist-binarized:static`` ... as a Builtin; None where it is no built-in name. DataError for a wrong suffix."""
    name, colon, suffix = source.partition(":")
    if name not in NAMES:
        return None
    if colon and name in {"cifar10", "sprites"}:
        why = "which needs grey pictures" if name == "cifar10" else "and its pictures are black and white already"
        raise DataError(f"{source!r} asks for binarisation, {why}: use {name}")
    if colon and suffix not in get_args(Binarisation):
        choices = ", ".join(f"{name}:{b}" for b in get_args(Binarisation))
        raise DataError(f"{source!r} asks for the unknown binarisation {suffix!r}: choose one of {choices}")
    if name == "mnist-binarized":
        return Builtin("mnist", cast(Binarisation, suffix) if colon else "dynamic")
    return Builtin(name, cast(Binarisation, suffix) if colon else None)


def load_builtin(name: str, binarisation: Binarisation, options: Options) -> Raw:
    """All items of a built-in set, not yet binarised unless MNIST is asked for as a static draw. DataError where it is not on this machine."""
    static = (name, binarisation) == ("mnist", "static")
    if options.static_file is not None and not static:
        raise DataError(f"static_file {str(options.static_file)!r} is only for mnist-binarized:static: leave it out for {name}, {binarisation}")
    if name == "digits":
        return _digits()
    if name == "sprites":
        return _sprites(options)
    folders = _folders(name, options)
    if static:
        return load_static_mnist(folders, options)
    raw = load_cifar(folders, options) if name == "cifar10" else load_relative(name, folders, options)
    shape = " x ".join(map(str, raw.values.shape[1:]))
    return raw.note(f"{name}: {len(raw)} items of shape {shape} (channels x height x width), 8-bit pixels, {len(raw.classes)} classes.")


def _digits() -> Raw:
    from sklearn.datasets import load_digits

    found = load_digits()
    classes = tuple(map(str, range(10)))
    raw = Raw(found.images[:, None].astype(np.uint8), 17, "digits", found.target.astype(np.int64), classes)
    return raw.note(f"digits: scikit-learn's {len(raw)} handwritten digits of shape 1 x 8 x 8, levels 0 .. 16, 10 classes.")


def _sprites(options: Options) -> Raw:
    factors = sample(SPRITES, options.seed)
    raw = Raw(render(factors), 2, "sprites", factors[:, 0], SHAPES, factors=factors, factor_names=tuple(FACTORS))
    return raw.note(
        f"sprites: {len(raw)} pictures of one shape each, 64x64, black and white, drawn on the spot after dSprites; the label is the shape, and its factors of variation are known."
    )


def _folders(name: str, options: Options) -> list[Path]:
    """Where to look: subfolders of data_dir named like the set, data_dir itself, the cache."""
    places: list[Path] = []
    if options.data_dir is not None:
        root = Path(options.data_dir).expanduser()
        if not root.is_dir():
            raise DataError(f"data_dir {str(root)!r} is no folder: give the folder with the files of {name}, or leave it out")
        inner = sorted(p for p in root.iterdir() if re.sub("[-_ ]", "", p.name.lower()) == name.replace("-", ""))
        places = [*inner, *(p / "raw" for p in inner), root]
    return [p for p in (*places, cache(name)) if p.is_dir()]
