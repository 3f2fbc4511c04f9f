"""Tables with their empty cells filled: every other cell, the order of columns and their types stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vaeworks.errors import DataError
from vaeworks.model import Column, TableSchema

if TYPE_CHECKING:
    from polars import DataFrame, Series

    from vaeworks.runs.filling import Imputation

__all__ = ["filled_frame"]

DRAW = "draw"
"""The column that tells draws apart."""


def filled_frame(frame: DataFrame, schema: TableSchema, imputation: Imputation) -> DataFrame:
    """``frame`` with the empty cells of modelled columns filled; several draws below each other, told apart by a last column ``draw`` of 1, 2 ....

    A cell that is there but none of its column, such as a category that training did not have, stays as it is: what it says is not known to the model, and not missing either.
    """
    import polars as pl

    if len(imputation.values) > 1 and DRAW in frame.columns:
        raise DataError(f"the table has a column {DRAW!r}, by which draws would be told apart: rename it, or ask for one draw")
    missing = {}
    for column in schema.modelled:
        if column.name in frame.columns:
            found, wrong = column.read(frame[column.name])
            missing[column.name] = ~np.isfinite(found) & ~wrong
    whole = []
    for number, values in enumerate(imputation.values, start=1):
        raw, new = schema.raw(values), []
        for j, column in enumerate(schema.modelled):
            if column.name in missing and missing[column.name].any():
                empty = missing[column.name]
                new.append(_merged(frame[column.name], _cells(column, np.where(empty, raw[:, j], np.nan), frame[column.name].dtype), empty))
        filled = frame.with_columns(new)
        whole.append(filled if len(imputation.values) == 1 else filled.with_columns(pl.lit(number, dtype=pl.Int64).alias(DRAW)))
    return pl.concat(whole)


def _cells(column: Column, raw: np.ndarray[Any, Any], dtype: Any) -> Series:
    """Raw values as cells of the frame's own type."""
    import polars as pl

    cells = column.write(raw)
    if cells.dtype == dtype:
        return cells
    if dtype == pl.String and cells.dtype == pl.Boolean:
        index = np.rint(np.nan_to_num(raw)).astype(int)
        return pl.Series(
            column.name, [column.categories[i] if seen else None for i, seen in zip(index, np.isfinite(raw), strict=True)], dtype=pl.String
        )
    return cells.cast(dtype, strict=False)


def _merged(cells: Series, new: Series, empty: np.ndarray[Any, Any]) -> Series:
    import polars as pl

    return pl.select(pl.when(pl.Series(empty)).then(new).otherwise(cells).alias(cells.name)).to_series()
