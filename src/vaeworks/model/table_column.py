"""Column: what one column of a table holds, how its cells become numbers, and how numbers become such cells again."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from vaeworks.distributions.margins import Margin
from vaeworks.model.cells import DATES, FALSE, TRUE, clean, dates, dates_back, moments, numbers, words

if TYPE_CHECKING:
    from polars import Series

__all__ = ["ASIDE", "COLUMN_KINDS", "NUMERIC", "Column"]

NUMERIC: Final = ("continuous", "integer", "count")
ASIDE: Final = ("constant", "identifier", "text")
"""Kinds that are kept but not modelled."""
COLUMN_KINDS: Final = (*NUMERIC, "categorical", "boolean", "datetime", *ASIDE)
_INTEGERS: Final = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
_DTYPES: Final = (*_INTEGERS, "Float32", "Float64", "String", "Boolean", "Date", "Datetime")
_EXACT: Final = 2.0**53


@dataclass(frozen=True)
class Column:
    """One column of a table. Its raw values are numbers: of categories their index, of dates units of ``unit`` seconds since 1970-01-01, of others themselves."""

    name: str
    kind: str
    """continuous, integer, count, categorical, boolean, datetime; or constant, identifier, text, which are not modelled."""
    margin: Margin | None = None
    """What its coordinate of x can be; None: the column is kept aside."""
    categories: tuple[str, ...] = ()
    """Of categorical and boolean, in order of their index; of boolean the false word first."""
    dtype: str = "String"
    """The polars type in which cells are written back; of datetimes with its time unit and zone, "Datetime:us:UTC"."""
    decimals: int = -1
    """Decimals of numbers as they are written; -1: as many as float64 has."""
    form: str = ""
    """How dates are written, in the notation of strftime; empty where they are no text."""
    unit: int = 1
    """Seconds that one unit of a date's raw value lasts: 86,400 where dates have no time."""
    other: bool = False
    """Whether the last category stands for all that are rarer than those named."""
    constant: str | None = None
    """What every cell of a constant column says; None: nothing."""
    missing: int = 0
    """Training items whose cell is missing."""

    @property
    def is_mass(self) -> bool:
        """Whether its probabilities are masses, not densities."""
        return self.margin is not None and self.margin.is_mass

    @property
    def per(self) -> str:
        """What a density of this column is per."""
        return ("day" if self.unit == 86_400 else "second") if self.kind == "datetime" else f"unit of {self.name}"

    def read(self, cells: Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Raw values (N,), NaN where missing, and where a cell (N,) is there but none of this column."""
        values, there = self._read(cells)
        return values, there & ~np.isfinite(values)

    def _read(self, cells: Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        import polars as pl

        if cells.dtype == pl.String or not (cells.dtype.is_numeric() or cells.dtype.is_temporal() or cells.dtype == pl.Boolean):
            cells = clean(cells)
        elif cells.dtype.is_float():
            cells = cells.fill_nan(None)
        there = cells.is_not_null().to_numpy()
        if self.kind in {"categorical", "boolean"}:
            return self._indices(cells), there
        if self.kind == "datetime":
            return self._moments(cells), there
        if cells.dtype.is_temporal():
            return np.full(len(cells), math.nan), there
        found = numbers(cells).cast(pl.Float64).fill_null(math.nan).to_numpy()
        values = np.where(np.isfinite(found), found, math.nan)
        if self.kind == "count":
            values = np.where((values >= 0) & (values == np.rint(values)), values, math.nan)
        step = 0.0 if self.margin is None else self.margin.step
        if step > 0 and self.kind != "count":
            # what lies between the points of the grid belongs to the nearest
            values = _tidied(np.rint(values / step) * step, self.decimals)
        return values, there

    def _indices(self, cells: Series) -> NDArray[np.float64]:
        import polars as pl

        named = {word: float(i) for i, word in enumerate(self.categories)}
        text = words(cells, self.dtype != "String")
        if self.kind == "boolean":
            text, named = text.str.to_lowercase(), {word.lower(): i for word, i in named.items()}
            if self.categories[0].lower() in FALSE and self.categories[1].lower() in TRUE:
                named = {**dict.fromkeys(FALSE, 0.0), **dict.fromkeys(TRUE, 1.0)}
        default = float(len(self.categories) - 1) if self.other else None
        found = text.replace_strict(named, default=default, return_dtype=pl.Float64)
        return found.set(text.is_null(), None).fill_null(math.nan).to_numpy()

    def _moments(self, cells: Series) -> NDArray[np.float64]:
        import polars as pl

        if cells.dtype == pl.String:
            best = cells.clear().cast(pl.Datetime("us")).extend_constant(None, len(cells))
            for form in [self.form] if self.form else DATES:
                found = dates(cells, form)
                best = found if found.null_count() < best.null_count() else best
            cells = best
        if cells.dtype != pl.Date and not isinstance(cells.dtype, pl.Datetime):
            return np.full(len(cells), math.nan)
        values = moments(cells, self.unit)
        return np.floor(values) if self.unit == 86_400 else values

    def write(self, values: NDArray[np.float64]) -> Series:
        """Cells of raw values (N,), in the form that the column had; null where they are NaN."""
        import polars as pl

        if self.margin is None:
            told = [self.constant if self.kind == "constant" else None] * len(values)
            return pl.Series(self.name, told, dtype=pl.String).cast(_dtype(self.dtype), strict=False)
        if self.kind == "datetime":
            return dates_back(values, self.unit, self.form, self.dtype).alias(self.name)
        seen = np.isfinite(values)
        if self.kind in {"categorical", "boolean"}:
            index = np.clip(np.rint(np.where(seen, values, 0)), 0, len(self.categories) - 1).astype(int)
            told = [self.categories[i] if here else None for i, here in zip(index.tolist(), seen.tolist(), strict=True)]
            if self.dtype == "Boolean":
                return pl.Series(self.name, [None if word is None else word == self.categories[1] for word in told], dtype=pl.Boolean)
            return pl.Series(self.name, told, dtype=pl.String).cast(_dtype(self.dtype), strict=False)
        tidied = _tidied(np.where(seen, values, 0), self.decimals)
        cells = pl.Series(self.name, np.clip(tidied, -_EXACT, _EXACT) if self.dtype in _INTEGERS else tidied)
        return cells.set(pl.Series(~seen), None).cast(_dtype(self.dtype), strict=False)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary; ``from_json`` reads it back."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.margin is not None:
            plain["margin"] = {field.name: getattr(self.margin, field.name) for field in dataclasses.fields(self.margin)}
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Column:
        """The Column stored in ``data``; TypeError where a field is missing, unknown or no field."""
        fields = _tuples(data)
        margin = fields.get("margin")
        return cls(**{**fields, "margin": None if margin is None else Margin(**_tuples(margin))})

    def fault(self) -> str:
        """What is wrong with the fields, as a clause; nothing where they are right."""
        texts = (self.name, self.kind, self.dtype, self.form)
        if not all(type(text) is str for text in texts) or not all(type(number) is int for number in (self.decimals, self.unit, self.missing)):
            return f"column {self.name!r} has fields of the wrong type"
        if (
            self.kind not in COLUMN_KINDS
            or self.dtype.split(":")[0] not in _DTYPES
            or (self.dtype.startswith("Datetime") and self.dtype.count(":") != 2)
        ):
            return f"column {self.name!r} of kind {self.kind!r} and type {self.dtype!r} is none that this version can use"
        if (self.margin is None) != (self.kind in ASIDE) or (self.margin is not None and not isinstance(self.margin, Margin)):
            return f"column {self.name!r} of kind {self.kind!r} has {'no' if self.margin is None else 'a'} margin"
        if self.unit < 1 or type(self.categories) is not tuple or not all(type(word) is str for word in self.categories):
            return f"column {self.name!r} has categories or a unit that are none"
        if (
            self.margin is not None
            and self.kind in {"categorical", "boolean"}
            and (self.margin.size != len(self.categories) or len(self.categories) < 2)
        ):
            return f"column {self.name!r} has {len(self.categories)} categories and a margin of {self.margin.size}"
        return ""


def _tidied(values: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """``values`` as the nearest numbers of so many decimals."""
    return np.asarray(np.round(values, decimals) + 0.0 if decimals >= 0 else values, dtype=np.float64)


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise TypeError(f"{fields!r} is no column")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _dtype(name: str) -> Any:
    import polars as pl

    kind, *rest = name.split(":")
    return pl.Datetime(rest[0], rest[1] or None) if kind == "Datetime" else getattr(pl, kind)  # type: ignore[arg-type]
