"""TableSchema: rows of a table, a coordinate of x for each column that is modelled."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaeworks.distributions.margins import Margin
from vaeworks.errors import DataError
from vaeworks.model.row_view import RowView
from vaeworks.model.schema import Schema
from vaeworks.model.table_column import Column

if TYPE_CHECKING:
    from polars import DataFrame

__all__ = ["WIDE", "TableSchema"]

WIDE: Final = 2000
"""Columns beyond which stored values are float32."""
_SHOWN: Final = 10
_WRONG: Final = 0.5
"""A column with a larger share of cells that are none of it is another column."""


@dataclass(frozen=True)
class TableSchema(Schema):
    """A data set of rows. Values are x (N, D) in float64 (float32 where D > 2000), a coordinate for each modelled column as its margin maps it; x is the same in float32."""

    kind: ClassVar[str] = "table"
    drawn: ClassVar[bool] = True

    table: tuple[Column, ...]
    """All columns, in the order of the source."""

    @functools.cached_property
    def modelled(self) -> tuple[Column, ...]:
        """The D columns that x has a coordinate for, in order."""
        return tuple(column for column in self.table if column.margin is not None)

    @functools.cached_property
    def margins(self) -> tuple[Margin, ...]:
        """What each coordinate of x can be."""
        return tuple(column.margin for column in self.table if column.margin is not None)

    @property
    def support(self) -> tuple[Margin, ...]:
        return self.margins

    @property
    def coordinate_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.modelled)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(F,): see ``RowView``."""
        return (self._shown.size,)

    def view(self) -> RowView:
        return RowView(self.margins)

    @functools.cached_property
    def _shown(self) -> RowView:
        """A view of the schema's own, on the CPU: an encoder has another, which moves with it."""
        return self.view()

    def to_input(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        shown, seen = self._shown(x, observed)
        assert seen is not None
        return shown, seen

    @property
    def protocol(self) -> dict[str, Any]:
        """What log p(x) adds up: the log masses of some columns, and the log densities of others, each per unit of its own."""
        masses, densities = ([c for c in self.modelled if c.is_mass == mass] for mass in (True, False))
        told = [f"probability masses of {_few([c.name for c in masses])}"] if masses else []
        told += [f"densities of {_few([f'{c.name} (per {c.per})' for c in densities])}"] if densities else []
        return {"columns": f"{len(self.modelled)} of {len(self.table)} modelled: {'; '.join(told)}", "missing cells": "left out of the sum"}

    @property
    def density(self) -> str:
        densities = [c for c in self.modelled if not c.is_mass]
        if not densities:
            return "a probability mass: every column lies on a grid, is a count or a category"
        units = _few([f"{c.name}, per {c.per}" if c.kind == "datetime" else c.name for c in densities])
        masses = len(self.modelled) - len(densities)
        beside = f", times the probability mass of {masses} other{'s' * (masses != 1)}" if masses else ""
        return f"with respect to {len(densities)} column{'s' * (len(densities) != 1)} in {'their' if len(densities) > 1 else 'its'} own units ({units}){beside}"

    @property
    def x_levels(self) -> int:
        return 0

    def to_x(self, values: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return values.to(torch.float32)

    def to_values(self, x: Tensor) -> Tensor:
        """x (..., D) as the x of the cell that it is written as: on the grid, within the bounds, one of the categories."""
        flat = self.raw(x.reshape(-1, len(self.modelled)))
        back = np.stack([margin.to_x(flat[:, j]) for j, margin in enumerate(self.margins)], axis=1)
        values = torch.from_numpy(back).view(x.shape)
        return values.to(torch.float32) if len(self.modelled) > WIDE else values

    def within(self, x: Tensor) -> Tensor:
        return self.to_values(x).to(x)

    def raw(self, x: Tensor) -> NDArray[np.float64]:
        """x (N, D) as raw values (N, D): numbers, indices of categories, moments."""
        numbers = x.detach().to("cpu", torch.float64).numpy()
        return np.stack([margin.to_values(numbers[:, j]) for j, margin in enumerate(self.margins)], axis=1)

    def to_frame(self, x: Tensor, observed: Tensor | None = None) -> DataFrame:
        """x (N, D) as a polars frame of all columns in the order of the source, null where not ``observed`` (N, D), and in identifiers and free text."""
        import polars as pl

        flat = self.raw(x)
        if observed is not None:
            flat = np.where(observed.cpu().numpy(), flat, np.nan)
        places = {column.name: j for j, column in enumerate(self.modelled)}
        nothing = np.full(len(flat), np.nan)
        return pl.DataFrame([c.write(flat[:, places[c.name]] if c.name in places else nothing) for c in self.table])

    def to_raw(self, x: Tensor) -> list[dict[str, Any]]:
        """A dictionary for each row, by column."""
        return self.to_frame(x).to_dicts()

    def encode(self, frame: DataFrame, *, strict: bool = False) -> tuple[Tensor, Tensor, list[str]]:
        """Stored values (N, D) of a frame with these columns in any order, which cells are observed (N, D), and what to tell.

        Other columns are ignored. A cell that is none of its column, such as a category that training did not have, is missing and told; a column that is not there is missing altogether.
        DataError where more than half of the columns are not there, most cells of one are none of it, or anything of this is so and ``strict``.
        """
        absent = [c.name for c in self.modelled if c.name not in frame.columns]
        if absent and (strict or 2 * len(absent) > len(self.modelled)):
            raise DataError(
                f"the rows lack {len(absent)} of the {len(self.modelled)} columns that the model learned: {_few(absent)}; "
                f"they have {_few(frame.columns)}: give a table with these columns, named in its first line"
            )
        notes = [f"Columns that are not there, and so missing in every row: {_few(absent)}."] if absent else []
        known = {column.name for column in self.table}
        extra = [name for name in frame.columns if name not in known]
        notes += [f"Columns that the model does not know were ignored: {_few(extra)}."] if extra else []
        values = np.zeros((frame.height, len(self.modelled)), dtype=np.float32 if len(self.modelled) > WIDE else np.float64)
        observed = np.zeros(values.shape, dtype=bool)
        for j, (column, margin) in enumerate(zip(self.modelled, self.margins, strict=True)):
            if column.name in frame.columns:
                found, wrong = column.read(frame[column.name])
                here = np.isfinite(found)
                if wrong.any():
                    notes.append(_wrong(column, wrong, here, frame, strict))
                beyond = int(((found[here] < margin.low) | (found[here] > margin.high)).sum()) if margin.kind == "ordinal" else 0
                if beyond:
                    notes.append(
                        f"Column {column.name}: {beyond} cell{'s' * (beyond != 1)} outside {margin.low:g} .. {margin.high:g}, taken as the nearest of these."
                    )
                values[here, j] = margin.to_x(found[here])
                observed[:, j] = here
        return torch.from_numpy(values), torch.from_numpy(observed), notes

    def to_json(self) -> dict[str, Any]:
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**plain, "table": [column.to_json() for column in self.table], "kind": self.kind}

    @classmethod
    def _restored(cls, fields: dict[str, Any]) -> TableSchema:
        return cls(**{**fields, "table": tuple(Column.from_json(column) for column in fields["table"])})

    def fault(self) -> str:
        if not self.table or not all(isinstance(column, Column) for column in self.table):
            return "its table has no columns"
        if fault := next((fault for column in self.table if (fault := column.fault())), ""):
            return fault
        if len({column.name for column in self.table}) < len(self.table):
            return "two columns of its table have one name"
        if self.shape != (len(self.modelled),):
            return f"rows of shape {self.shape} do not have a number for each of {len(self.modelled)} columns"
        return ""


def _wrong(column: Column, wrong: NDArray[np.bool_], here: NDArray[np.bool_], frame: DataFrame, strict: bool) -> str:
    """What to tell of cells that are none of ``column``; DataError where they are most of its cells, or ``strict``."""
    rows = np.flatnonzero(wrong)
    cells = frame[column.name]
    shown = list(dict.fromkeys(str(cells[int(row)]) for row in rows[:1000].tolist()))
    named = column.kind in {"categorical", "boolean"}
    what = f"no category that training had ({_few(shown)})" if named else f"no {_NOUNS[column.kind]} ({_few(shown)})"
    if strict or (not named and len(rows) > _WRONG * (len(rows) + here.sum())):
        raise DataError(
            f"column {column.name!r}, row {int(rows[0]) + 1}: {shown[0]!r} is no {'category that training had' if named else _NOUNS[column.kind]}, "
            f"as in {len(rows)} of {frame.height} rows: mend the column"
            + (f", whose categories are {_few(column.categories)}" if named else "")
            + (", or leave out --strict, and such cells are missing" if strict else "")
        )
    cells_are, were = ("cell that is", "was") if len(rows) == 1 else ("cells that are", "were")
    return f"Column {column.name}: {len(rows)} {cells_are} {what} {were} taken as missing."


_NOUNS: Final = {"continuous": "number", "integer": "number", "count": "count", "datetime": "date in its format"}


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
