"""Options: how a source is read, resized, binarised and split."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from vaeworks.distributions.margins import MarginKind
from vaeworks.errors import DataError
from vaeworks.model import Binarisation
from vaeworks.model.audio_schema import Loudness, Representation
from vaeworks.model.table_column import COLUMN_KINDS

__all__ = ["COLUMN_WORDS", "LARGEST", "LONGEST", "LONGEST_TEXT", "SMALLEST", "By", "Kind", "Options", "Progress", "Split", "Tokens", "check_size"]

Kind = Literal["image", "text", "audio", "table"]
By = Literal["line", "paragraph", "file"]
Tokens = Literal["characters", "bytes", "bpe"]
Split = Literal["train", "validation", "test", "all"]
Progress = Callable[[int, int], None]

_WORDS = {
    "binarisation": Binarisation,
    "kind": Kind,
    "split": Split,
    "representation": Representation,
    "loudness": Loudness,
    "by": By,
    "tokenizer": Tokens,
}

COLUMN_WORDS = tuple(dict.fromkeys((*COLUMN_KINDS, *get_args(MarginKind))))
"""What a column of a table can be said to be: its kind, or its margin."""
SMALLEST, LARGEST = 8, 256
LONGEST = 600
"""Seconds of the longest sound."""
LONGEST_TEXT = 4096
"""Tokens of the longest text."""


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

    kind: Kind | None = None
    """What the source holds; None: told by its files."""
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
    rate: int | None = None
    """Samples a second of sounds, 1000 .. 192,000 Hz; None: that of most files, within 8 .. 48 kHz."""
    seconds: float | None = None
    """Length that sounds are cut or padded to; None: chosen from them."""
    representation: Representation = "mel"
    """What a model of sounds sees: their log-mel spectrogram, or the waveform."""
    loudness: Loudness = "peak"
    """Bring each sound to one peak or one root mean square; none: as it is."""
    trim: float = 60.0
    """Decibels below its peak from which what precedes and follows a sound is silence, and cut off; 0: nothing is."""
    labels_from: str | None = None
    """Pattern of the file names that says where the label is, such as '{label}_{speaker}_{take}'; "none": no labels from names; None: told by the names."""
    by: By | None = None
    """What of a text file is an item; None: a line, or the file where a folder holds many of .txt."""
    column: str | None = None
    """The column of a table, or the key of JSON lines, that holds the text, which is then all that is read; None: the only one of text."""
    label: str | None = None
    """The column or key that holds the label; None: there is none."""
    tokenizer: Tokens | None = None
    """What a token of text is; None: chosen from the data."""
    vocabulary: int | None = None
    """Number of tokens of tokenizer bpe, 260 .. 65,536; None: by how much text there is."""
    length: int | None = None
    """Tokens of the longest item, 1 .. 4096, beyond which text is cut; None: chosen from the data."""
    columns: tuple[tuple[str, str], ...] = ()
    """What columns of a table are, (name, kind) each: a kind such as categorical, datetime or identifier, or a margin such as student or zero-inflated; others are told by their cells."""
    download: bool = False
    """Fetch a built-in set that is not on this machine."""
    progress: Progress | None = None
    """Called with (done, total) while files are read or downloaded."""
    say: Callable[[str], None] | None = None
    """Called with one sentence before something slow, such as a download."""

    def __post_init__(self) -> None:
        if self.size is not None:
            check_size(*self.target(), what=f"the requested size {self.size}")
        for name, words in _WORDS.items():
            word = getattr(self, name)
            if word is not None and word not in get_args(words):
                raise DataError(f"{name} {word!r} is unknown: choose one of {', '.join(get_args(words))}")
        self._check_sounds()
        self._check_texts()
        self._check_columns()
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

    def _check_sounds(self) -> None:
        if self.rate is not None and not 1000 <= self.rate <= 192_000:
            raise DataError(f"rate={self.rate} is not within 1000 .. 192000 Hz: choose such as 8000 for speech, 44100 for music")
        if self.seconds is not None and not 0 < self.seconds <= LONGEST:
            raise DataError(f"seconds={self.seconds} is no length of a sound: choose more than 0 and at most {LONGEST}")
        if not 0 <= self.trim <= 120:
            raise DataError(f"trim={self.trim} is not within 0 .. 120 dB: choose such as 60, or 0 to keep silence")

    def _check_texts(self) -> None:
        if self.vocabulary is not None and not 260 <= self.vocabulary <= 65_536:
            raise DataError(f"vocabulary={self.vocabulary} is not within 260 .. 65536 tokens: choose such as 2000 for 30,000 sentences")
        if self.vocabulary is not None and self.tokenizer in {"characters", "bytes"}:
            raise DataError(
                f"vocabulary={self.vocabulary} is of pieces, and the tokens are {self.tokenizer}: choose tokenizer=bpe (--tokenizer bpe), or leave it out"
            )
        if self.length is not None and not 1 <= self.length <= LONGEST_TEXT:
            raise DataError(f"length={self.length} is not within 1 .. {LONGEST_TEXT} tokens: choose such as 64")

    def _check_columns(self) -> None:
        for name, kind in self.columns:
            if kind not in COLUMN_WORDS:
                close = difflib.get_close_matches(kind, COLUMN_WORDS, n=1)
                meant = f"did you mean {close[0]}? Otherwise " if close else ""
                raise DataError(f"column {name!r} cannot be {kind!r}: {meant}choose one of {', '.join(COLUMN_WORDS)}")
        if len(twice := [name for name, _ in self.columns]) > len(set(twice)):
            raise DataError(f"the columns {', '.join(sorted({n for n in twice if twice.count(n) > 1}))} are each said to be two things: say one")

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
