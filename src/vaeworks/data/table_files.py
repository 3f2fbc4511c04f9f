"""Tables in files: separated text with its dialect told by its look, JSON lines and Parquet, as frames with what had to be mended told."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

from vaeworks.data.lines import TextFile
from vaeworks.data.memory import require
from vaeworks.data.options import Options
from vaeworks.data.reading import count
from vaeworks.data.text_files import suffix
from vaeworks.errors import DataError
from vaeworks.model.cells import MISSING

if TYPE_CHECKING:
    from polars import DataFrame

__all__ = ["TEXTUAL", "Table", "named", "read_json", "read_parquet", "read_separated"]

TEXTUAL: Final = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".ndjson": "", ".parquet": ""}
"""Files that may hold a table or text."""
_DELIMITERS: Final = ",;\t|"
_LOOKED_AT: Final = 200
"""Rows by which the dialect is told."""
_BLOCK: Final = 500_000
"""Cells that are Python strings at a time."""
_RAGGED: Final = 0.5
"""A file with a larger share of rows of another length is no table."""
_SHOWN: Final = 5
_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_COMMA: Final = r"^[-+]?\d+(,\d+)?([eE][-+]?\d+)?$"
_HEAD: Final = 1 << 18
"""Bytes of the start of a file by which its kind is told."""


@dataclass(frozen=True)
class Table:
    """A table as its source holds it."""

    frame: DataFrame
    """Cells of separated text are strings."""
    source: str
    """What people call it."""
    notes: tuple[str, ...] = ()
    labels: NDArray[Any] | None = None
    """(N,) what the source says of each row beside its columns."""
    names: tuple[str, ...] | None = None
    """What the source calls each row beside its columns."""
    counts: bool = False
    """Whether every cell is a count, as in a matrix of molecules by cells."""
    parts: NDArray[Any] | None = None
    """(N,) the official split: TRAIN, VALIDATION, TEST or FREE; None: there is none."""

    def note(self, *sentences: str) -> Table:
        """The same table with more to tell."""
        return replace(self, notes=(*self.notes, *(s for s in sentences if s)))


@dataclass
class _Rows:
    """How a file of separated text is read, and what had to be passed over."""

    delimiter: str
    quote: str = '"'
    ragged: list[int] = field(default_factory=list)
    """Lines of rows with more or fewer cells than the first."""
    lengths: Counter[int] = field(default_factory=Counter)
    last: int = 1
    """The line in which the last row begins."""
    long: bool = False
    """Whether the last row has several lines."""


def named(names: Sequence[str], what: str, strict: bool) -> tuple[list[str], list[str]]:
    """Column names, each different and none empty, and what to tell of those that were not; DataError for copies where ``strict``."""
    bare = [name.strip() for name in names]
    nameless = [i for i, name in enumerate(bare) if not name]
    kept = [name or f"column_{i + 1}" for i, name in enumerate(bare)]
    doubled = [name for name, number in Counter(kept).items() if number > 1]
    notes = [f"{what}: {count(len(nameless), 'column')} without a name (named {_few([kept[i] for i in nameless])})."] if nameless else []
    if doubled:
        if strict:
            raise DataError(f"{what}: more than one column is named {_few(doubled)}: name each differently, or leave out --strict")
        taken, seen = set(kept), Counter[str]()
        for i, name in enumerate(kept):
            seen[name] += 1
            if seen[name] > 1:
                number = seen[name]
                while f"{name}_{number}" in taken:
                    number += 1
                kept[i] = f"{name}_{number}"
                taken.add(kept[i])
        notes.append(f"{what}: more than one column is named {_few(doubled)}; the others became {doubled[0]}_2 and so on.")
    return kept, notes


def read_separated(path: Path, options: Options, *, head: bool = False) -> Table:
    """The table in a file of separated text; with ``head`` that of its first rows. DataError where there is none."""
    import polars as pl

    file = TextFile(path)
    text = _head(file) if head else file.whole()
    require(len(text) * 8, f"{path.name}, of {len(text) / 1e6:.0f} MB,")
    if not text.strip():
        raise DataError(f"{path} is empty: give a table with a line of column names and some rows")
    if text.count(b"\0") > 0.001 * len(text) + 10:
        raise DataError(f"{path} is no text, though its name says so: it holds NUL bytes: give a table as text, or name it as what it is")
    string = text.decode("utf-8", "replace")
    del text
    rows = _dialect(string, TEXTUAL.get(suffix(path), ","))
    reader = _reader(string, rows)
    header, notes, first = _header(reader, rows, string, file, options)
    parts = [
        pl.DataFrame(dict(zip(header, block, strict=True)), schema=dict.fromkeys(header, pl.String))
        for block in _blocks(reader, len(header), rows, file, first)
    ]
    if _is_open(string, rows):
        raise DataError(f"{path}: the quote {rows.quote} that opens in line {rows.last} or after is never closed: close it, or write the file anew")
    _check_ragged(rows, file, len(header), options.strict)
    file.check(options.strict)
    if not parts:
        raise DataError(f"{path} has column names ({_few(header)}) and no rows: give some rows")
    frame = pl.concat(parts, rechunk=True)
    if rows.delimiter == ";":
        frame, told = _decimal_points(frame)
        notes += [f"{path.name}: {told}"] if told else []
    if rows.ragged:
        notes.append(f"{path.name}: passed over {count(len(rows.ragged), 'row')} that have not {count(len(header), 'cell')} {_lines(rows.ragged)}.")
    return Table(frame, path.name, (*notes, *file.told))


def _head(file: TextFile) -> bytes:
    """The whole lines at the start of a file."""
    text = b""
    for chunk in file.chunks():
        text += chunk
        if len(text) > _HEAD:
            return text[: text.rfind(b"\n", 0, _HEAD) + 1] or text[:_HEAD]
    return text


def _reader(string: str, rows: _Rows) -> Any:
    return csv.reader(io.StringIO(string, newline=""), delimiter=rows.delimiter, quotechar=rows.quote, skipinitialspace=True)


def _dialect(string: str, default: str) -> _Rows:
    """The delimiter under which the first rows agree best on how many cells they have, and the quote around cells."""
    start = string[: 1 << 16].splitlines()[:_LOOKED_AT]
    found: dict[str, tuple[float, float]] = {}
    quotes = {delimiter: _quote(start, delimiter) for delimiter in dict.fromkeys(default + _DELIMITERS)}
    for delimiter, quote in quotes.items():
        try:
            lengths = [len(row) for row in csv.reader(start, delimiter=delimiter, quotechar=quote, skipinitialspace=True) if row]
        except csv.Error:
            continue
        width, agree = Counter(lengths).most_common(1)[0] if lengths else (1, 0)
        if width > 1 and lengths[0] > 1:
            found[delimiter] = (round(agree / len(lengths), 1), width + 0.5 * (delimiter == default))
    delimiter = max(found, key=found.__getitem__) if found else default
    return _Rows(delimiter, quotes[delimiter])


def _quote(lines: Sequence[str], delimiter: str) -> str:
    """What stands around cells: single quotes where clearly more cells have those."""
    double, single = (
        sum(len(re.findall(rf"(?:^|{re.escape(delimiter)})\s*{quote}[^{quote}]*{quote}\s*(?={re.escape(delimiter)}|$)", line)) for line in lines)
        for quote in "\"'"
    )
    return "'" if single > 2 * double and single > 0.1 * len(lines) else '"'


def _header(reader: Any, rows: _Rows, string: str, file: TextFile, options: Options) -> tuple[list[str], list[str], list[list[str]]]:
    """The names of the columns, what to tell of them, and rows that turned out to be no names."""
    first = next((row for row in _guarded(reader, file) if any(cell.strip() for cell in row)), None)
    if first is None:
        raise DataError(f"{file.path} holds no table: its lines are empty: give a line of column names and some rows")
    if "�" in "".join(first) or "\0" in "".join(first):
        raise DataError(
            f"{file.path}: the names of its columns are no text in UTF-8: give text; if it is in another encoding, such as Latin-1, convert it: "
            f"iconv -f LATIN1 -t UTF-8 {file.name}"
        )
    widths = Counter(len(row) for _, row in zip(range(_LOOKED_AT), _quiet(_reader(string, rows)), strict=False) if row)
    widths[len(first)] -= 1
    data_width = widths.most_common(1)[0][0] if widths.total() > 0 else len(first)
    if data_width == len(first) + 1 and widths[data_width] > 0.9 * widths.total():
        names, notes = named(["index", *first], file.name, options.strict)
        return names, [*notes, f"{file.name}: rows have a cell more than there are names, so the first is the name of the row."], []
    if all(_NUMBER.fullmatch(cell.strip()) for cell in first):
        names = [f"column_{i + 1}" for i in range(len(first))]
        return names, [f"{file.name}: its first line is numbers, so it names no columns: they are called {names[0]} to {names[-1]}."], [first]
    names, notes = named(first, file.name, options.strict)
    return names, notes, []


def _blocks(reader: Any, width: int, rows: _Rows, file: TextFile, first: list[list[str]]) -> Iterator[list[tuple[str, ...]]]:
    """The cells of each column, some rows at a time."""
    held, most = first, max(1, _BLOCK // width)
    line = reader.line_num
    for row in _guarded(reader, file):
        start, line = line + 1, reader.line_num
        rows.last, rows.long = start, line > start
        file.count += 1
        if not row or (width > 1 and not any(map(str.strip, row))):
            file.blank()
            continue
        rows.lengths[len(row)] += 1
        if len(row) != width:
            rows.ragged.append(start)
            continue
        joined = "".join(row)
        if "�" in joined or "\0" in joined:
            file.skip("rows not in UTF-8" if "�" in joined else "rows with NUL bytes", start)
            continue
        held.append(row)
        if len(held) >= most:
            yield list(zip(*held, strict=True))
            held = []
    if held:
        yield list(zip(*held, strict=True))


def _is_open(string: str, rows: _Rows) -> bool:
    """Whether a quote in the last row is never closed."""
    if not rows.long and string.count(rows.quote) % 2 == 0:
        return False
    lines = itertools.islice(io.StringIO(string, newline=""), rows.last - 1, None)
    try:
        for _ in csv.reader(lines, delimiter=rows.delimiter, quotechar=rows.quote, skipinitialspace=True, strict=True):
            pass
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _guarded(reader: Any, file: TextFile) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f"{file.path}: line {reader.line_num} cannot be read as cells ({error}): a quote may be open; close it, or write the file anew"
        ) from error


def _quiet(reader: Any) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error:
        return


def _check_ragged(rows: _Rows, file: TextFile, width: int, strict: bool) -> None:
    """DataError where most rows have another number of cells than there are columns, or any has and ``strict``."""
    number = len(rows.ragged)
    if number > _RAGGED * max(1, rows.lengths.total()):
        held = ", ".join(f"{length} in {of}" for length, of in rows.lengths.most_common(3))
        raise DataError(
            f"{file.path} is no table that can be read: its first line names {count(width, 'column')}, and rows have other numbers of cells ({held}): "
            f"mend it, with one delimiter and quotes around cells that contain it"
        )
    if number and strict:
        raise DataError(
            f"{file.path}: {count(number, 'row')} have not {count(width, 'cell')} {_lines(rows.ragged)}: mend them, or leave out --strict, and they are passed over"
        )


def _decimal_points(frame: DataFrame) -> tuple[DataFrame, str]:
    """Numbers with a decimal comma with a point, in columns where every cell is such a number, and what to tell."""
    import polars as pl

    commas = []
    for name in frame.columns:
        bare = frame[name].str.strip_chars()
        bare = bare.filter(~bare.str.to_lowercase().is_in(MISSING))
        if len(bare) and bare.str.contains(",", literal=True).any() and bare.str.contains(_COMMA).mean() > 0.99:  # type: ignore[operator]
            commas.append(name)
    if not commas:
        return frame, ""
    changed = frame.with_columns(pl.col(commas).str.replace(",", ".", literal=True))
    return changed, f"the comma is the decimal point of {_few(commas)}."


def read_json(path: Path, options: Options, *, head: bool = False) -> Table:
    """The table of JSON objects, one a line; cells that are no strings are as JSON writes them. DataError where there is none."""
    import polars as pl

    file = TextFile(path)
    items: list[dict[str, str | None]] = []
    nested = Counter[str]()
    for number, item in file.json_lines():
        if head and number > 1000:
            break
        if not isinstance(item, dict):
            file.skip("that are no JSON object")
            continue
        nested.update(key for key, value in item.items() if isinstance(value, dict | list))
        items.append({key: value if value is None or isinstance(value, str) else json.dumps(value) for key, value in item.items()})
    file.check(options.strict)
    if not items or not any(items):
        raise DataError(f"{path} holds no table: {'it is empty' if not file.count else 'it has no JSON objects'}: give an object with columns a line")
    columns = list(dict.fromkeys(key for item in items for key in item))
    require(len(columns) * len(items) * 64, f"{path.name}, of {len(items)} objects with {len(columns)} keys,")
    safe = [key.encode("utf-8", "replace").decode() for key in columns]
    names, notes = named(safe, path.name, options.strict)
    frame = pl.DataFrame(
        {name: [_unicode(item.get(key)) for item in items] for key, name in zip(columns, names, strict=True)}, schema=dict.fromkeys(names, pl.String)
    )
    notes += [f"{path.name}: lists and objects under {_few(list(nested))} are read as text."] if nested else []
    return Table(frame, path.name, (*notes, *file.told))


def _unicode(cell: str | None) -> str | None:
    return None if cell is None else cell.encode("utf-8", "replace").decode()


def read_parquet(path: Path, options: Options, *, head: bool = False) -> Table:
    """The table in a Parquet file. DataError where there is none."""
    import polars as pl

    try:
        lazy = pl.scan_parquet(path, glob=False)
        if head:
            return Table(lazy.head(1000).collect(), path.name)
        names = lazy.collect_schema().names()
        number = int(lazy.select(pl.len()).collect().item())
        require(number * max(1, len(names)) * 24, f"{path.name}, of {number} rows and {count(len(names), 'column')},")
        frame = lazy.collect()
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path} cannot be read as Parquet ({reason[:200]}): give a file that opens elsewhere, or write it again") from error
    if not frame.width or not frame.height:
        raise DataError(f"{path} is a table without rows: give one with columns and some rows")
    names, notes = named(frame.columns, path.name, options.strict)
    frame.columns = names
    return Table(frame, path.name, tuple(notes))


def _lines(numbers: Sequence[int]) -> str:
    return f"(line{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers[:_SHOWN]))}{' ...' * (len(numbers) > _SHOWN)})"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
