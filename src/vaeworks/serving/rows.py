"""Rows of a table as JSON objects: every cell is checked against its column, and columns come back in the form that they had."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaeworks.data import Items
from vaeworks.model import Column, TableSchema
from vaeworks.serving.faults import Refusal

if TYPE_CHECKING:
    from polars import DataFrame

__all__ = ["row_frame", "row_items", "rows"]

_NOUNS = {"continuous": "a number", "integer": "a number", "count": "a count", "datetime": "a date in its form"}


def row_frame(schema: TableSchema, wire: Sequence[Mapping[str, Any]], names: Sequence[str]) -> DataFrame:
    """The cells of rows as text, null where missing, all columns there; Refusal where a row has a column that the model does not know, or a cell is none of its column."""
    import polars as pl

    known = [column.name for column in schema.table]
    for row, name in zip(wire, names, strict=True):
        if strange := next((key for key in row if key not in known), None):
            raise Refusal(422, f"the table has no such column: it has {', '.join(known[:20])}", f"{name}.{strange}")
        if not row:
            raise Refusal(422, f"the row has no cells: give some of {', '.join(known[:20])}", name)
    frame = pl.DataFrame([pl.Series(column.name, [_text(row.get(column.name)) for row in wire], dtype=pl.String) for column in schema.table])
    for column in schema.modelled:
        values, wrong = column.read(frame[column.name])
        wrong |= np.isfinite(values) & ~(np.abs(values) < float(np.finfo(np.float32).max))
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise Refusal(422, f"{frame[column.name][i]!r} is not {_possible(column)}", f"{names[i]}.{column.name}")
    return frame


def _text(cell: Any) -> str | None:
    """A cell as text; numbers exactly."""
    if cell is None or isinstance(cell, str):
        return cell
    return str(cell).lower() if isinstance(cell, bool) else repr(cell)


def _possible(column: Column) -> str:
    if column.categories:
        more = f" and {len(column.categories) - 20} more" if len(column.categories) > 20 else ""
        return f"one of {', '.join(column.categories[:20])}{more}"
    return _NOUNS.get(column.kind, column.kind)


def row_items(schema: TableSchema, wire: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Items:
    """Rows as a model of tables reads them; what is null, or not there, is missing."""
    values, observed, _ = schema.encode(row_frame(schema, wire, names))
    for i, fits in enumerate((values.float().isfinite() | ~observed).all(1).tolist()):
        if not fits:
            raise Refusal(422, "a number is too far from all that training had", names[i])
    return Items(values, observed=None if bool(observed.all()) else observed)


def rows(frame: DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as objects of what JSON knows: dates in ISO 8601, times with a zone in UTC, null for what is no number."""
    return [{name: _cell(cell) for name, cell in row.items()} for row in frame.to_dicts()]


def _cell(cell: Any) -> Any:
    if isinstance(cell, datetime.datetime) and cell.tzinfo is not None:
        cell = cell.astimezone(datetime.UTC)
    if isinstance(cell, datetime.date):
        return cell.isoformat()
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell
