"""run.json: how a run was begun, so that it can be gone on with, and measured on items that it has not learned from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vaeworks.data import Items, Options, Source
from vaeworks.data.hub import absolute
from vaeworks.errors import ArtifactError
from vaeworks.files import replace_file

__all__ = ["Begun", "begun", "data_of", "fingerprint", "held_out_of"]

FILE = "run.json"
TOLD = (
    "kind", "size", "binarisation", "data_dir", "static_file", "seed", "validation", "test", "limit", "labels", "strict", "rate", "seconds", "representation", "loudness",
    "trim", "labels_from", "by", "column", "columns", "label", "tokenizer", "vocabulary", "length",
)  # fmt: skip
"""The options that decide which items a source gives, how they are split and whose labels are hidden."""


@dataclass(frozen=True)
class Begun:
    """How a run was begun."""

    seed: int
    data: str
    """A hash of the training items, in order."""
    source: str | None = None
    """A built-in name or an absolute path; None where the items came from memory."""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Those of ``Options`` that were not left at their defaults."""

    @classmethod
    def of(cls, seed: int, data: str, source: Source, options: Options) -> Begun:
        """What is to be told of a run with ``seed`` on ``source`` read by ``options``."""
        name = None
        if isinstance(source, str | Path):
            path = Path(source).expanduser()
            name = str(path.resolve()) if path.exists() else absolute(str(source))
        plain = Options()
        told = {key: getattr(options, key) for key in TOLD if getattr(options, key) != getattr(plain, key)}
        return cls(seed, data, name, {key: str(Path(v).resolve()) if isinstance(v, Path) else v for key, v in told.items()})

    def write(self, folder: Path) -> None:
        """Into ``folder``, atomically."""
        replace_file(folder / FILE, json.dumps(dataclasses.asdict(self)).encode())


def begun(folder: Path) -> Begun | None:
    """How the run in ``folder`` was begun; None where nobody wrote it down; ArtifactError where the file is damaged."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text("utf-8"))
        options = {key: _tuples(facts["options"][key]) for key in TOLD if key in facts["options"]}
        return Begun(int(facts["seed"]), str(facts["data"]), facts["source"], options)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}): restore it, or train again") from error


def _tuples(value: Any) -> Any:
    """What JSON made lists of, as it was."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def held_out_of(folder: Path) -> tuple[str, Options] | None:
    """The source that the run in ``folder`` learned from, and the options that give its held-out items; None where that is not known."""
    facts = begun(folder)
    if facts is None or facts.source is None:
        return None
    return facts.source, replace(Options(**facts.options), split="test")


def data_of(folder: Path, data: str | None, described: str, options: Options) -> tuple[str, Options]:
    """What a verb reads of the run in ``folder``: ``data`` by ``options``; or, where that is None, the held-out items of what the run learned from.

    Where nobody wrote that down, ``described``, the schema's source, stands for it.
    """
    if data is not None:
        return data, options
    return held_out_of(folder) or (described, replace(options, split="test"))


def fingerprint(items: Items) -> str:
    """A hash of items, in order, with what is missing of them and what generation is conditioned on."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (t for t in (items.values, items.observed, items.context) if t is not None):
        digest.update(str(tuple(part.shape)).encode())
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()
