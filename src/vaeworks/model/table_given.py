"""What is asked of the columns of a row: a value, or a range of values, by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaeworks.distributions.margins import Margin
from vaeworks.errors import DataError
from vaeworks.model.cells import FALSE, TRUE
from vaeworks.model.table_column import NUMERIC, Column
from vaeworks.model.table_schema import TableSchema

__all__ = ["Asked", "asked"]


@dataclass(frozen=True)
class Asked:
    """Conditions on one row, in x: each (1, D)."""

    x: Tensor
    observed: Tensor
    """Where the value is asked for."""
    within: Tensor
    """Where a range is."""
    low: Tensor
    high: Tensor


def asked(schema: TableSchema, given: Mapping[str, Any]) -> Asked:
    """``given`` by column: a number, a category, a date, true or false; of what has an order also a range, "30..40", "30.." or "..40", or a pair (low, high), None where a side is free.

    Both ends of a range are part of it. DataError that names what can be given where a column or value is none of the model's.
    """
    size = len(schema.modelled)
    x, observed, within = torch.zeros(1, size), *(torch.zeros(1, size, dtype=torch.bool) for _ in range(2))
    low, high = torch.full((1, size), -math.inf), torch.full((1, size), math.inf)
    places = {column.name: j for j, column in enumerate(schema.modelled)}
    for name, wish in given.items():
        if name not in places:
            raise DataError(_unknown(schema, name))
        j, column = places[name], schema.modelled[places[name]]
        ends = _range(column, wish)
        if ends is None:
            x[0, j], observed[0, j] = float(_margin(column).to_x([_value(column, wish)])[0]), True
        else:
            low[0, j], high[0, j] = _ends(column, *ends, wish)
            within[0, j] = True
    return Asked(x, observed, within, low, high)


def _margin(column: Column) -> Margin:
    """That of a column that is modelled."""
    assert column.margin is not None
    return column.margin


def _unknown(schema: TableSchema, name: str) -> str:
    aside = next((column for column in schema.table if column.name == name), None)
    if aside is not None:
        return (
            f"{name}: the column is {'an' if aside.kind[0] in 'aeiou' else 'a'} {aside.kind}, which is not modelled: choose one of {_names(schema)}"
        )
    return f"{name}: no such column: this model can be given {_names(schema)}"


def _names(schema: TableSchema) -> str:
    names = [column.name for column in schema.modelled]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _range(column: Column, wish: Any) -> tuple[Any, Any] | None:
    """The ends that a wish names; None where it is one value."""
    ordered = column.kind in {*NUMERIC, "datetime"}
    if isinstance(wish, str) and ordered and ".." in wish:
        low, _, high = (part.strip() for part in wish.partition(".."))
        ends: tuple[Any, Any] = (low or None, high or None)
    elif isinstance(wish, tuple | list):
        if len(wish) != 2 or not ordered:
            raise DataError(f"{column.name}={wish}: give one value, or of numbers and dates a pair (low, high); {_possible(column)}")
        ends = (wish[0], wish[1])
    else:
        return None
    if ends == (None, None):
        raise DataError(f"{column.name}={wish}: a range has an end at least, such as {_text(column, _margin(column).low)}..; {_possible(column)}")
    return ends


def _value(column: Column, wish: Any) -> float:
    """The raw value that a wish names, within the bounds of training; DataError where it is none."""
    value = _read(column, wish)
    if column.kind in {"categorical", "boolean"}:
        return value
    if not _margin(column).low <= value <= _margin(column).high:
        raise DataError(f"{column.name}={wish} is outside what training had: {_possible(column)}")
    return value


def _read(column: Column, wish: Any) -> float:
    import polars as pl

    if column.kind == "categorical":
        named = column.categories
        word = str(wish).strip()
        if word not in named:
            raise DataError(f"{column.name}={wish} is no category: {_possible(column)}")
        return float(named.index(word))
    if column.kind == "boolean" and str(wish).strip().lower() not in {*FALSE, *TRUE, *(word.lower() for word in column.categories)}:
        raise DataError(f"{column.name}={wish} is neither true nor false: {_possible(column)}")
    values, _ = column.read(pl.Series(column.name, [wish.strip() if isinstance(wish, str) else wish]))
    if not np.isfinite(values[0]):
        raise DataError(
            f"{column.name}={wish} is no {'date' if column.kind == 'datetime' else 'whole number' if column.kind == 'count' else 'number'}: {_possible(column)}"
        )
    return float(values[0])


def _ends(column: Column, low: Any, high: Any, wish: Any) -> tuple[float, float]:
    """A range in x. Between the points of a grid the ends lie half way, so that those that are asked for are within whatever rounding does."""
    margin, step = _margin(column), _margin(column).step or (1.0 if column.kind == "count" else 0.0)
    ends = [None if end is None else _number(column, end) for end in (low, high)]
    least = margin.low if ends[0] is None else ends[0]
    most = margin.high if ends[1] is None else ends[1]
    if least > most:
        raise DataError(f"{column.name}={wish}: no value is at least {_text(column, least)} and at most {_text(column, most)}; {_possible(column)}")
    if least > margin.high or most < margin.low:
        raise DataError(f"{column.name}={wish} is outside what training had: {_possible(column)}")
    grid = _grid(column, least, most)
    if grid is None and (margin.kind == "ordinal" or step):
        raise DataError(f"{column.name}={wish}: no value of the column lies in this range; {_possible(column)}")
    own = np.asarray(margin.to_x(np.array([least, most] if grid is None else grid[:2])))
    beyond = own if grid is None else np.asarray(margin.to_x(np.array(grid[2:])))
    x = [(float(o) + float(b)) / 2 if grid is None or o != b else side for o, b, side in zip(own, beyond, (-math.inf, math.inf), strict=True)]
    return (-math.inf if ends[0] is None else x[0]), (math.inf if ends[1] is None else x[1])


def _grid(column: Column, least: float, most: float) -> tuple[float, float, float, float] | None:
    """The first and last value that the column can have from ``least`` to ``most``, and those before and after them; None where there is no grid, or none of it lies there."""
    margin, step = _margin(column), _margin(column).step or (1.0 if column.kind == "count" else 0.0)
    if margin.kind == "ordinal":
        knots = np.asarray(margin.knots)
        inside = np.flatnonzero((knots >= least - 1e-9) & (knots <= most + 1e-9))
        if not len(inside):
            return None
        first, last = int(inside[0]), int(inside[-1])
        return float(knots[first]), float(knots[last]), float(knots[max(0, first - 1)]), float(knots[min(len(knots) - 1, last + 1)])
    if not step:
        return None
    origin = 0.0 if abs(margin.low / step - round(margin.low / step)) < 1e-6 else margin.low
    first, last = math.ceil((least - origin) / step - 1e-6), math.floor((most - origin) / step + 1e-6)
    if first > last:
        return None
    return origin + first * step, origin + last * step, origin + (first - 1) * step, origin + (last + 1) * step


def _number(column: Column, end: Any) -> float:
    """One end of a range, which need not lie on the column's grid."""
    if column.kind == "datetime":
        return _read(column, end)
    try:
        number = float(end)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{column.name}: {end} is no number: {_possible(column)}")
    return number


def _possible(column: Column) -> str:
    """What can be given of a column, for people."""
    if column.kind in {"categorical", "boolean"}:
        shown = ", ".join(column.categories[:20])
        return f"choose one of {shown}" + (f" and {len(column.categories) - 20} more" if len(column.categories) > 20 else "")
    return f"give one of, or a range within, {_text(column, _margin(column).low)}..{_text(column, _margin(column).high)}"


def _text(column: Column, value: float) -> str:
    """A raw value as the column writes it."""
    if column.kind != "datetime":
        return f"{value:.10g}"
    return str(column.write(np.array([value]))[0])
