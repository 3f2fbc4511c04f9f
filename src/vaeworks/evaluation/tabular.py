"""Tables as matrices, so that two of them can be compared: numbers as they are, categories as codes that both share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vaeworks.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Floats", "Kinds", "matrices", "ranks"]

Floats = NDArray[np.float64]
Kinds = Mapping[str, str]
"""What each column is compared as: "number" or "category"; columns that are not named are left out."""


def matrices(frames: Sequence[pl.DataFrame], kinds: Kinds) -> list[Floats]:
    """Each frame as (N, D), columns in the order of ``kinds``: a category as its place among all that any of the frames has, a missing cell as NaN."""
    if wrong := {name: kind for name, kind in kinds.items() if kind not in {"number", "category"}}:
        raise DataError(f"columns are compared as number or category, not {wrong}: name one of the two for each")
    for frame in frames:
        if missing := [name for name in kinds if name not in frame.columns]:
            raise DataError(
                f"the table has no column {', '.join(map(repr, missing))}; it has {', '.join(frame.columns[:20])}: compare tables of the same columns"
            )
        if not len(frame):
            raise DataError("a table without rows cannot be compared: give at least one row")
    found = [np.empty((len(frame), len(kinds))) for frame in frames]
    for j, (name, kind) in enumerate(kinds.items()):
        columns = [frame[name] for frame in frames]
        values = [_numbers(column) for column in columns] if kind == "number" else _codes(columns)
        for matrix, each in zip(found, values, strict=True):
            matrix[:, j] = each
    return found


def _numbers(column: pl.Series) -> Floats:
    """Numbers, dates as microseconds or days, truths as 0 and 1; NaN where missing. Infinities count as the largest finite numbers, which keeps their rank."""
    import polars as pl

    if not (column.dtype.is_numeric() or column.dtype.is_temporal() or column.dtype in (pl.Boolean, pl.Null)):
        raise DataError(f"column {column.name!r} is of {column.dtype}, not numbers: compare it as a category")
    whole = column.cast(pl.Int64) if column.dtype.is_temporal() else column
    found: Floats = np.nan_to_num(whole.cast(pl.Float64).fill_null(np.nan).to_numpy().copy(), nan=np.nan)
    return found


def _codes(columns: Sequence[pl.Series]) -> list[Floats]:
    """Codes from 0, in order of the categories; numbers are the same category whether they are whole or not in type."""
    import polars as pl

    kind = pl.Float64 if all(column.dtype.is_numeric() for column in columns) else pl.String
    plain = [column.cast(kind).fill_nan(None) if kind == pl.Float64 else column.cast(kind) for column in columns]
    known = pl.concat([column.alias("value") for column in plain]).drop_nulls().unique().sort()
    places = pl.DataFrame({"value": known, "code": pl.Series(np.arange(len(known), dtype=np.float64))})
    joined = [column.alias("value").to_frame().join(places, on="value", how="left", maintain_order="left") for column in plain]
    return [frame["code"].fill_null(np.nan).to_numpy().copy() for frame in joined]


def ranks(reference: Floats, values: Floats) -> Floats:
    """The share of ``reference`` (N,) below each of ``values`` (M,), those equal to it counted half: in 0 .. 1; NaN stays NaN."""
    known = np.sort(reference[~np.isnan(reference)])
    if not len(known):
        return np.where(np.isnan(values), np.nan, 0.5)
    share = (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / (2 * len(known))
    return np.where(np.isnan(values), np.nan, share)
