"""Strings in files of text: lines, paragraphs, tables, alignments of proteins, molecules."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vaeworks.data.lines import LONGEST, TextFile, is_unicode
from vaeworks.data.options import Options
from vaeworks.errors import DataError

if TYPE_CHECKING:
    from polars import DataFrame

__all__ = ["SUFFIXES", "Strings", "is_text", "read_text_file", "suffix"]

_FASTA: Final = frozenset({".fasta", ".fa", ".faa", ".fna", ".afa", ".a2m", ".a3m"})
_SMILES: Final = frozenset({".smi", ".smiles"})
_TABLES: Final = {".csv": ",", ".tsv": "\t", ".parquet": ""}
_LINES: Final = frozenset({".txt", ".text", ".en", ".de", ".fr", ".cs", ".es", ".it", ".nl", ".pt"})
"""Lines, also in files that are named after a language, as translators name them."""
SUFFIXES: Final = _LINES | _FASTA | _SMILES | set(_TABLES) | {".jsonl", ".ndjson"}
_SAID: Final = frozenset({"smiles", "text", "sentence", "sequence", "caption", "name"})
"""What the column of the text is called where a file's first line names its columns."""
_LOOKED_AT: Final = 200
"""Lines by which a table is told from text."""


@dataclass
class Strings:
    """Strings in the order of their source, with what it says of each."""

    strings: list[str] = field(default_factory=list)
    names: list[str] | None = None
    labels: list[str] | None = None
    """"" where there is none."""
    notes: list[str] = field(default_factory=list)


def is_text(path: Path) -> bool:
    """Whether the name of a file says that it holds text."""
    return suffix(path) in SUFFIXES


def suffix(path: Path) -> str:
    """What the name of a file ends in, but for .gz, in lower case."""
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()


def read_text_file(path: Path, options: Options) -> Strings:
    """The strings in a file of a kind in ``SUFFIXES``, or of lines. DataError where it cannot be read, or something in it cannot be and ``options.strict``."""
    kind, file = suffix(path), TextFile(path)
    if kind in _TABLES:
        found = _from_table(file, _TABLES[kind], options)
    elif kind in {".jsonl", ".ndjson"}:
        found = _from_json(file, options)
    elif kind in _FASTA:
        found = _from_fasta(file, insertions=kind in {".a2m", ".a3m"})
    elif delimiter := _delimiter(path) if options.by is None and kind not in _SMILES else "":
        found = _from_table(file, delimiter, options)
        found.notes.insert(0, f"{path.name}: its first line names columns, so it is read as a table.")
    elif options.by == "file":
        found = _from_one(file)
    elif options.by == "paragraph":
        found = Strings(list(_paragraphs(file)))
    else:
        found = Strings([line for _, line in file.lines() if line.strip() or file.blank()])
        if kind in _SMILES:
            found = _molecules(found.strings)
    file.check(options.strict)
    if not found.strings:
        raise DataError(
            f"{path} holds no text: {f'its {file.empty} lines are empty' if file.empty else 'it is empty'}; give a file with an item a line"
        )
    found.notes += file.told
    return found


def _from_one(file: TextFile) -> Strings:
    """The file as one string, with its line ends as LF."""
    text = file.whole(LONGEST)
    file.count = 1
    try:
        string = text.decode().replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    except UnicodeDecodeError:
        string = "\0"
    if "\0" in string:
        file.skip("not in UTF-8")
    return Strings([string] if string.strip() else [])


def _paragraphs(file: TextFile) -> Iterator[str]:
    """Lines between empty ones, joined."""
    held: list[str] = []
    for _, line in file.lines():
        if line.strip():
            held.append(line)
        elif held:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)


def _molecules(lines: list[str]) -> Strings:
    """The first word of each line, without a header; the second is a name."""
    words = [line.split() for line in lines]
    header = words[:1] and words[0][0].lower() in _SAID
    words = words[1:] if header else words
    return Strings([word[0] for word in words], notes=["Its first line names columns and was left out."] if header else [])


def _from_fasta(file: TextFile, *, insertions: bool) -> Strings:
    """A sequence for each line that starts with >. With ``insertions``, lower case and dots are columns that an alignment's first sequence lacks, and are dropped."""
    names: list[str] = []
    parts: list[list[str]] = []
    for number, line in file.lines():
        if line.startswith(">"):
            names.append((line[1:].split() or [""])[0])
            parts.append([])
        elif line.strip() and not line.startswith(";"):
            if not parts:
                raise DataError(
                    f"{file.path}: line {number} is no header, >name, so this is no FASTA file: give one, or rename it to .txt for an item a line"
                )
            parts[-1].append("".join(line.split()))
    sequences = ["".join(part).removesuffix("*") for part in parts]
    notes = []
    if insertions:
        before = max(map(len, sequences), default=0)
        sequences = [re.sub(r"[a-z.]", "", s) for s in sequences]
        notes.append(
            f"{file.name}: lower case and dots, which mark insertions, were dropped: {max(map(len, sequences), default=0)} of {before} columns are left."
        )
    lengths = {len(s) for s in sequences}
    if len(lengths) == 1 and len(sequences) > 1:
        notes.append(f"The sequences are aligned, all of length {lengths.pop()}.")
    elif insertions and lengths:
        raise DataError(
            f"{file.path}: without insertions its sequences have {min(lengths)} to {max(lengths)} columns, and those of an alignment have as many: mend it, or name it .fasta"
        )
    kept = [i for i, s in enumerate(sequences) if s]
    file.empty += len(sequences) - len(kept)
    return Strings([sequences[i] for i in kept], names=[names[i] for i in kept], notes=notes)


def _from_json(file: TextFile, options: Options) -> Strings:
    """A string, or an object with one under the name of the column, a line."""
    column, strings, labels = "", list[str](), list[str]()
    for _, item in file.json_lines():
        if isinstance(item, dict) and not column:
            column = _chosen(list(item), [key for key, value in item.items() if isinstance(value, str)], file.name, options)
        text = item.get(column) if isinstance(item, dict) else item
        if not isinstance(text, str):
            file.skip("without a string" + (f" under {column!r}" if column else ""))
        elif not is_unicode(text):
            file.skip("that are no Unicode")
        elif not text.strip():
            file.blank()
        else:
            strings.append(text)
            label = item.get(options.label) if isinstance(item, dict) else None
            labels.append("" if label is None else str(label))
    notes = [f"{file.name}: the text is under {column!r}."] if column else []
    return Strings(strings, labels=labels if options.label else None, notes=notes)


def _from_table(file: TextFile, delimiter: str, options: Options) -> Strings:
    """The cells of the column of text; ``delimiter`` "" is Parquet's."""
    import polars as pl

    frame = _frame(file, delimiter)
    if not frame.width or not frame.height:
        raise DataError(f"{file.path} is a table without rows: give one with a header line and some rows")
    textual = [
        c for c in frame.columns if frame[c].dtype == pl.String and frame[c].cast(pl.Float64, strict=False).null_count() > frame[c].null_count()
    ]
    column = _chosen(frame.columns, textual, file.name, options)
    cells = [None if cell is None else str(cell) for cell in frame[column].to_list()]
    labels = (
        None
        if options.label is None
        else ["" if cell is None else str(cell) for cell in frame[_known(options.label, frame.columns, file.name, "--label")].to_list()]
    )
    file.count, kept = len(cells), []
    for i, cell in enumerate(cells):
        if cell is None or not cell.strip():
            file.blank()
        elif delimiter and ("\ufffd" in cell or "\0" in cell):
            file.skip("rows not in UTF-8" if "\ufffd" in cell else "rows with NUL bytes", i + 1)
        else:
            kept.append(i)
    notes = [f"{file.name}: the text is column {column!r}."]
    return Strings([cells[i] or "" for i in kept], labels=None if labels is None else [labels[i] for i in kept], notes=notes)


def _frame(file: TextFile, delimiter: str) -> DataFrame:
    """The table of strings; DataError where it is none."""
    import polars as pl

    try:
        if not delimiter:
            return pl.read_parquet(file.path)
        text = file.whole()
        if delimiter == ",":
            header = text[: text.find(b"\n") + 1 or len(text)].decode("utf-8", "replace")
            delimiter = max(",;\t|", key=header.count) if any(map(header.count, ",;\t|")) else ","
        return pl.read_csv(io.BytesIO(text), separator=delimiter, infer_schema=False, encoding="utf8-lossy")
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{file.path} cannot be read as a table ({reason}): mend it, or write it anew with a header line and quotes around cells"
        ) from error


def _chosen(columns: Sequence[str], textual: Sequence[str], what: str, options: Options) -> str:
    """The column asked for, or the one of text; DataError where there is none, or more than one."""
    if options.column is not None:
        return _known(options.column, columns, what, "--column")
    candidates = [c for c in textual if c != options.label]
    named = [c for c in candidates if c.strip().lower() in _SAID]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise DataError(f"{what} has no column of text (it has {', '.join(columns[:10])}): name one with --column, or give a file with text")
    raise DataError(f"{what} has several columns of text ({', '.join(candidates[:10])}): say which with --column {(named or candidates)[0]}")


def _known(column: str, columns: Sequence[str], what: str, option: str) -> str:
    if column not in columns:
        raise DataError(f"{what} has no column {column!r}, as {option} asks for: choose one of {', '.join(columns[:20])}")
    return column


def _delimiter(path: Path) -> str:
    """What separates columns where the first line of a file of lines names them, "" where it does not.

    It does where some first lines all have as many cells, the first of words alone, and a column of numbers is not headed by one or a column has a name that is known.
    """
    lines = [line for _, (_, line) in zip(range(_LOOKED_AT), TextFile(path).lines(), strict=False)]
    for delimiter in ",\t;":
        rows = list(csv.reader(lines, delimiter=delimiter)) if lines and delimiter in lines[0] and len(lines) > 2 else []
        if not rows or len({len(row) for row in rows}) > 1 or not all(re.fullmatch(r"[A-Za-z_][\w.\-]*", cell.strip()) for cell in rows[0]):
            continue
        numeric = any(all(_is_number(row[i]) for row in rows[1:]) for i in range(len(rows[0])))
        if numeric or _SAID & {cell.strip().lower() for cell in rows[0]}:
            return delimiter
    return ""


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
