"""A data set of the hub on this machine: its rows written as they arrive, pictures and sounds as files of their own, and found again."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from vaeworks.data.download import cache
from vaeworks.data.hub import SCHEME, Address, Streams, address_of, is_object, open_streams
from vaeworks.data.hub_layout import Layout, layout_of
from vaeworks.data.options import Options
from vaeworks.data.reading import count
from vaeworks.errors import DataError, VaeworksError

__all__ = ["Stored", "held"]

_ROWS, _BYTES = 500, 32 << 20
"""Rows, and characters of them, that are in memory while a stream is written."""
_MIXED: Final = 1000
"""Rows among which those that a limit takes are mixed, where a stream cannot be read from the middle."""
_FACTS: Final = "facts.json"
_THINGS: Final = {"image": "picture", "audio": "sound"}


@dataclass(frozen=True)
class Stored:
    """A data set in a folder: ``SPLIT.parquet`` with a row an item, and the files of pictures or sounds that its column ``file`` names."""

    folder: Path
    source: str
    """What people call it."""
    kind: str
    """``image``, ``audio``, or ``flat``: text or a table."""
    splits: tuple[str, ...]
    label: str | None
    classes: Mapping[str, tuple[str, ...]]
    """The names of the classes in the columns that have some, in their own order."""
    notes: tuple[str, ...]

    def file(self, split: str) -> Path:
        """The rows of a split."""
        return self.folder / f"{split}.parquet"


@contextmanager
def held(source: Any, options: Options) -> Iterator[tuple[Any, Options]]:
    """``source`` and ``options`` as they are; of the hub's data sets what this machine holds of them, with the label that they say.

    What is in memory or in a folder of this machine is written to a temporary folder, which lasts as long as the context; what the hub holds is written to the cache once,
    where ``options.download`` asks for it. DataError where it is not there, or holds nothing of use.
    """
    if not is_object(source) and not (isinstance(source, str) and source.startswith(SCHEME)):
        yield source, options
        return
    address = address_of(source) if isinstance(source, str) else None
    if address is not None and not address.local:
        stored = _found(address, options) or _fetched(address, options)
        yield stored, replace(options, label=options.label or stored.label)
        return
    with tempfile.TemporaryDirectory(prefix="vaeworks-") as temporary:
        stored = _write(open_streams(address or source), Path(temporary), options, {})
        yield stored, replace(options, label=options.label or stored.label)


def _home(address: Address) -> Path:
    return cache("hub") / address.name.replace("/", "--")


def _asked(address: Address, options: Options, whole: bool = False) -> dict[str, Any]:
    limit = None if whole or options.limit is None else [options.limit, options.seed]
    return {"config": address.config, "at": address.revision, "split": address.split, "limit": limit}


def _found(address: Address, options: Options) -> Stored | None:
    """What the cache holds of a data set, all of it or as much as ``options.limit`` asks for, read for the same kind and column."""
    for path in sorted(_home(address).glob(f"*/{_FACTS}")):
        try:
            facts = json.loads(path.read_text("utf-8"))
            stored = _stored(path.parent, facts)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a folder that somebody damaged is as good as none
        kind = options.kind if options.kind in {"image", "audio"} else options.kind and "flat"
        same = kind == stored.kind if kind else facts["usual"]
        if options.column is not None and stored.kind != "flat":
            same = kind in {None, stored.kind} and facts["media"] == options.column
        if same and facts["asked"] in (_asked(address, options), _asked(address, options, whole=True)):
            return stored
    return None


def _fetched(address: Address, options: Options) -> Stored:
    """The data set, streamed into the cache: all of it or nothing."""
    if not options.download:
        raise DataError(
            f"{address.text} is not on this machine, in {_home(address)}: fetch it with download=True (--download), a part of it with --limit too"
        )
    streams = open_streams(address)
    home = _home(address)
    if options.say is not None:
        options.say(f"Streaming {address.text}{f' at {streams.revision[:12]}' if streams.revision else ''} into {home}.")
    asked = _asked(address, options)
    name = hashlib.blake2b(json.dumps([asked, options.kind, options.column]).encode(), digest_size=8).hexdigest()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=home) as partial:
            _write(streams, Path(partial), options, asked)
            shutil.rmtree(home / name, ignore_errors=True)
            Path(partial).rename(home / name)
            Path(partial).mkdir()  # for its end as a temporary folder
    except OSError as error:
        raise DataError(f"{home} cannot be written ({error.strerror or error}): choose another folder in VAEWORKS_CACHE") from error
    return _stored(home / name, json.loads((home / name / _FACTS).read_text("utf-8")))


def _stored(folder: Path, facts: dict[str, Any]) -> Stored:
    classes = {name: tuple(names) for name, names in facts["classes"].items()}
    return Stored(folder, facts["source"], facts["kind"], tuple(facts["splits"]), facts["label"], classes, tuple(facts["notes"]))


def _write(streams: Streams, folder: Path, options: Options, asked: dict[str, Any]) -> Stored:
    """Every row of ``streams`` that is asked for, in ``folder``."""
    notes, written, layout = [], [], None
    if streams.aside:
        notes.append(f"{streams.what}: the splits {', '.join(streams.aside)} are left out; {streams.what}:{streams.aside[0]} reads one.")
    for given, rows in streams.splits.items():
        split = re.sub(r"[^\w.\-]", "_", given)
        if getattr(rows, "features", None) is None:
            rows = _typed(rows, streams.what)  # noqa: PLW2901
        layout = layout or layout_of(rows.features, options, streams.what)
        number, empty = _write_split(rows, split, folder, layout, options, streams)
        if empty:
            notes.append(f"{split}: passed over {count(empty, 'row')} without a {_THINGS[layout.kind]}.")
        if number:
            written.append(split)
    if layout is None or not written:
        raise DataError(f"{streams.what} has no rows of use: choose another data set, or another split")
    if layout.aside:
        notes.append(f"Columns left out, for what they hold: {', '.join(layout.aside[:10])}.")
    if len(layout.classes) > 1 and options.label is None:
        notes.append(
            f"The label is column {layout.label}; also {', '.join(name for name in layout.classes if name != layout.label)} could be (--label)."
        )
    if streams.revision:
        notes.append(f"Commit of the hub: {streams.revision}.")
    plain = options.kind is None and options.column is None
    facts = {
        "source": streams.what, "kind": layout.kind, "media": layout.media, "splits": written, "label": layout.label, "classes": layout.classes,
        "notes": notes, "revision": streams.revision, "asked": asked, "usual": plain or _is_usual(rows.features, layout, options),
    }  # fmt: skip
    (folder / _FACTS).write_text(json.dumps(facts), "utf-8")
    return _stored(folder, facts)


def _is_usual(features: Any, layout: Layout, options: Options) -> bool:
    """Whether the same is taken where nobody says what to take."""
    try:
        plain = layout_of(features, replace(options, kind=None, column=None, label=None), "")
    except DataError:
        return False
    return (plain.kind, plain.media) == (layout.kind, layout.media)


def _typed(rows: Any, what: str) -> Any:
    """A stream that does not say what it holds, with the columns that its first rows have."""
    first = list(rows.take(20))
    if not first:
        raise DataError(f"{what} has no rows: choose another data set, or another split")
    return rows.cast(importlib.import_module("datasets").Dataset.from_list(first).features)


def _write_split(rows: Any, split: str, folder: Path, layout: Layout, options: Options, streams: Streams) -> tuple[int, int]:
    """How many rows of a split were written, and how many were passed over for holding no picture or sound."""
    arrow, parquet, library = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet", "datasets"))
    total = (getattr(getattr(rows, "info", None), "splits", None) or {}).get(split)
    types = {name: arrow.string() if name in layout.classes else _type(rows.features, keys) for name, keys in layout.cells.items()}
    if layout.media is not None:
        types = {"file": arrow.string(), "name": arrow.string()} | {name: kind for name, kind in types.items() if name not in {"file", "name"}}
    rows = _undecoded(rows, layout, library)
    most = None if total is None else int(total.num_examples)
    if options.limit is not None:
        rows, most = _limited(rows, options, library), min(options.limit, most or options.limit)
    schema = arrow.schema(list(types.items()))
    number = empty = 0
    with parquet.ParquetWriter(folder / f"{split}.parquet", schema) as writer:
        for chunk in _chunks(_told(rows, streams.what)):
            told: list[dict[str, Any]] = []
            for row in chunk:
                cells = {name: _cell(row, keys, layout.classes.get(name)) for name, keys in layout.cells.items()}
                if layout.media is not None:
                    place = _save(row[layout.media], folder, split, number + len(told), remote=streams.revision is not None)
                    if place is None:
                        empty += 1
                        continue
                    cells |= place
                told.append(cells)
            writer.write_table(arrow.Table.from_pylist(told, schema))
            number += len(told)
            if options.progress is not None:
                options.progress(number + empty, max(most or 0, number + empty))
    return number, empty


def _undecoded(rows: Any, layout: Layout, library: Any) -> Any:
    """``rows`` in which pictures and sounds are the bytes that they came as."""
    whole = isinstance(rows, library.Dataset)
    if whole:  # a stream may lack a column that its features have
        needed = {keys[0] for keys in layout.cells.values()} | {layout.media}
        rows = rows.select_columns([name for name in rows.features if name in needed])
    for name, feature in dict(rows.features).items():
        if hasattr(feature, "decode"):
            plain = type(feature)(decode=False)
            if not whole:
                plain.encode_example = _as_told  # the library's own asks for a decoder of sound, to encode none
            rows = rows.cast_column(name, plain)
    return rows.with_format(None)


def _as_told(media: Any) -> Any:
    """A picture or sound of a stream, which is a path, bytes or both, as both."""
    if isinstance(media, str):
        return {"bytes": None, "path": media}
    if isinstance(media, bytes | bytearray):
        return {"bytes": bytes(media), "path": None}
    if isinstance(media, dict):
        return {"bytes": media.get("bytes"), "path": media.get("path")}
    buffer = io.BytesIO()
    media.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def _type(features: Any, keys: tuple[str, ...]) -> Any:
    """The Arrow type of a plain column."""
    for key in keys:
        features = features[key] if isinstance(features, dict) else "string"
    return importlib.import_module("pyarrow").string() if features == "string" else features.pa_type


def _limited(rows: Any, options: Options, library: Any) -> Any:
    """At most ``options.limit`` rows: any of a data set in memory; of a stream the first, mixed within a thousand."""
    if isinstance(rows, library.Dataset):
        return rows.shuffle(seed=options.seed).select(range(min(options.limit or 0, len(rows))))
    return rows.shuffle(seed=options.seed, buffer_size=_MIXED).take(options.limit)


def _told(rows: Any, what: str) -> Iterator[dict[str, Any]]:
    """The rows; DataError where the stream breaks."""
    number = 0
    try:
        for number, row in enumerate(rows, 1):  # noqa: B007
            yield row
    except (VaeworksError, GeneratorExit):
        raise
    except Exception as error:  # a stream breaks in as many ways as there are files and networks
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise DataError(
            f"{what} cannot be read beyond row {number} ({type(error).__name__}: {said}): nothing was kept; try again, or choose another"
        ) from error


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows in lists of bounded number and length."""
    chunk: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += sum(_size(cell) for cell in row.values())
        if len(chunk) >= _ROWS or size >= _BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _size(cell: Any) -> int:
    held = cell.get("bytes") if isinstance(cell, dict) else cell
    return len(held) if isinstance(held, str | bytes) else 8


def _cell(row: Any, keys: tuple[str, ...], classes: tuple[str, ...] | None) -> Any:
    """One cell; of a class its name, None where it is unknown."""
    for key in keys:
        row = None if row is None else row.get(key)
    if classes is None or row is None or isinstance(row, str):
        return row
    return classes[row] if 0 <= row < len(classes) else None


def _save(media: dict[str, Any] | None, folder: Path, split: str, number: int, *, remote: bool) -> dict[str, str] | None:
    """Write the bytes of a picture or sound to a file of their own, which no name from the hub decides; where it is, and what people call it. None where there are none."""
    given = (media or {}).get("path") or ""
    data = (media or {}).get("bytes")
    if (
        data is None and given and (not remote or given.rpartition("::")[2].startswith(SCHEME))
    ):  # what the hub says never opens a file of this machine
        data = _opened(given)
    if not data:
        return None
    base = given.partition("::")[0]
    shown = "".join(c for c in base.rpartition("/")[2] if c.isprintable())[:100]
    place = Path("files") / split / f"{number // _MIXED:06}" / f"{number:09}{_suffix(data)}"
    (folder / place.parent).mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(data)
    return {"file": place.as_posix(), "name": "/".join(filter(None, (split, f"{number:06}", shown)))}


def _opened(path: str) -> bytes:
    """What lies at a path of this machine or of the hub, also inside an archive there."""
    with importlib.import_module("fsspec").open(path, "rb") as file:
        data: bytes = file.read()
        return data


def _suffix(data: bytes) -> str:
    """The suffix by which readers of sound tell a file that has no header of its own."""
    return ".mp3" if data[:3] == b"ID3" or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[:3] != b"\xff\xd8\xff") else ""
