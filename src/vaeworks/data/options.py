"""Options: how a source is read, resized, binarised and split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from vaeworks.errors import DataError
from vaeworks.model.schema import Binarisation

__all__ = ["LARGEST", "SMALLEST", "Options", "Progress", "Split", "check_size"]

Split = Literal["train", "validation", "test", "all"]
Progress = Callable[[int, int], None]

SMALLEST, LARGEST = 8, 256


def check_size(height: int, width: int, what: str) -> None:
    """DataError unless both sides lie in 8 .. 256."""
    if not (SMALLEST <= height <= LARGEST and SMALLEST <= width <= LARGEST):
        raise DataError(
            f"{what} is {height} x {width} (height x width), outside {SMALLEST} x {SMALLEST} .. {LARGEST} x {LARGEST}: "
            f"choose a size within it, such as size=64 (--size 64), and pictures are resized to it"
        )


@dataclass(frozen=True)
class Options:
    """How to read a source. Every field has a default that suits most data; DataError where a value is out of its range."""

    size: int | tuple[int, int] | None = None
    """Side, or (height, width), in pixels, each 8 .. 256; None: as the data are, or chosen from them."""
    binarisation: Binarisation | None = None
    """None: as the name of the source says, otherwise "none"."""
    data_dir: str | Path | None = None
    """Where the files of built-in sets may lie, directly or in a subfolder named like the set."""
    static_file: str | Path | None = None
    """File (or folder) of an already binarised MNIST: .amat, .npz or .npy."""
    seed: int = 0
    """Drives the split, the choice under ``limit`` and a static draw."""
    validation: float | None = None
    """Fraction held out for validation; None: 0.1 (where the source has an official test split, at most 5000 items)."""
    test: float = 0.1
    """Fraction held out for testing; unused where the source has an official test split."""
    split: Split | None = None
    """What ``read_items`` returns; None: "test" of a built-in set, "all" of anything else."""
    limit: int | None = None
    """Use at most this many items, chosen by the seed (of an official test split: as many again)."""
    labels: int | None = None
    """Keep the labels of this many training items, chosen by the seed, as many of each class; those of the others and of validation items are hidden (-1)."""
    strict: bool = False
    """Refuse a folder that holds a file which cannot be read, instead of skipping it."""
    download: bool = False
    """Fetch a built-in set that is not on this machine."""
    progress: Progress | None = None
    """Called with (done, total) while files are read or downloaded."""
    say: Callable[[str], None] | None = None
    """Called with one sentence before something slow, such as a download."""

    def __post_init__(self) -> None:
        if self.size is not None:
            check_size(*self.target(), what=f"the requested size {self.size}")
        if self.binarisation is not None and self.binarisation not in get_args(Binarisation):
            raise DataError(f"binarisation {self.binarisation!r} is unknown: choose one of {', '.join(get_args(Binarisation))}")
        if self.split is not None and self.split not in get_args(Split):
            raise DataError(f"split {self.split!r} is unknown: choose one of {', '.join(get_args(Split))}")
        held_out = {"validation": self.fraction, "test": self.test}
        for name, value in held_out.items():
            if not 0 <= value < 1:
                raise DataError(f"{name}={value} is not a fraction of the data: choose 0 or more and less than 1")
        if sum(held_out.values()) >= 1:
            raise DataError(f"validation={self.fraction} and test={self.test} leave nothing to train on: choose fractions whose sum is below 1")
        if self.limit is not None and self.limit < 1:
            raise DataError(f"limit={self.limit} would leave no items: choose 1 or more")
        if self.labels is not None and self.labels < 1:
            raise DataError(f"labels={self.labels} would keep no label: choose one a class or more")

    @property
    def fraction(self) -> float:
        """The validation fraction where no official test split is kept."""
        return 0.1 if self.validation is None else self.validation

    def target(self) -> tuple[int, int]:
        """(height, width) asked for; only where ``size`` is not None."""
        size = self.size
        if isinstance(size, tuple):
            height, width = size
            return height, width
        assert size is not None
        return size, size
