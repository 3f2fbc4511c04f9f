"""Rows of a table as people read them: a file of columns, a table on the page."""

from __future__ import annotations

import io
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeworks.files import replace_file
from vaeworks.model import TableSchema
from vaeworks.reporting.exhibits import Exhibit

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Rows", "write_frame"]

SHOWN, WIDE = 12, 20
"""Rows and columns on the page at most."""


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """A frame to .csv, .tsv, .parquet or .jsonl, atomically."""
    buffer, suffix = io.BytesIO(), path.suffix.lower()
    if suffix == ".parquet":
        frame.write_parquet(buffer)
    elif suffix == ".jsonl":
        frame.write_ndjson(buffer)
    else:
        frame.write_csv(buffer, separator="\t" if suffix == ".tsv" else ",")
    replace_file(path, buffer.getvalue())


class Rows(Exhibit[TableSchema]):
    """One version is a table of its own; several stand below each other, a first column ``version`` telling which a row is."""

    suffixes = (".csv", ".parquet", ".tsv", ".jsonl")

    def frame(self, most: int | None = None) -> pl.DataFrame:
        """All versions, the rows of an item side by side; those of a version where they are a path."""
        import polars as pl

        count = len(self.last[:most])
        frames = {name: self.schema.to_frame(x[:most]) for name, x in self.versions.items()}
        if len(frames) == 1:
            return next(iter(frames.values()))
        number, version = (
            next(name for name in (f"{word}{'_' * i}" for i in range(9)) if name not in self.schema_names)
            for word in (("step", "path") if self.in_order else ("item", "version"))
        )
        first, second = (version, number) if self.in_order else (number, version)
        marks: dict[str, dict[str, list[Any]]] = {name: {version: [name] * count, number: list(range(count))} for name in frames}
        marked = [
            frame.insert_column(0, pl.Series(second, marks[name][second])).insert_column(0, pl.Series(first, marks[name][first]))
            for name, frame in frames.items()
        ]
        together = pl.concat(marked, how="vertical_relaxed")
        return together if self.in_order else together.sort(number, maintain_order=True)

    @property
    def schema_names(self) -> set[str]:
        """The names of the columns."""
        return {column.name for column in self.schema.table}

    def write_file(self, path: Path) -> None:
        write_frame(self.frame(), path)

    def write_folder(self, path: Path) -> str:
        write_frame(self.frame(), path / "rows.csv")
        return f"{len(self.last)} rows"

    def html(self, alternative: str, budget: int) -> str:
        frame = self.frame(SHOWN)
        hidden = max(0, frame.width - WIDE)
        frame = frame.select(frame.columns[:WIDE])
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in frame.columns)
        body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in frame.iter_rows())
        table = f'<table class="cells"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        more = f"<p>{hidden} more columns are in the file.</p>" if hidden else ""
        return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(alternative)}">{table}</div>{more}'


def _cell(value: object) -> str:
    """A cell as text; nothing where it is missing."""
    return "" if value is None else escape(f"{value:.6g}" if isinstance(value, float) else str(value))
