"""Cells of a table: what a cell that is text says, as a number, a date or nothing, and how it is written back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from polars import Series

__all__ = ["DATES", "FALSE", "MISSING", "TRUE", "clean", "dates", "dates_back", "moments", "numbers", "words"]

MISSING: Final = ("", "na", "n/a", "nan", "null", "none", "?", "-")
"""What a cell says, in lower case and without blanks around it, where its value is missing."""
FALSE: Final = ("false", "no", "f", "n", "0", "off")
TRUE: Final = ("true", "yes", "t", "y", "1", "on")
"""Words of boolean columns, each at the place of its opposite."""
_DAYS: Final = (
    "%Y-%m-%d",
    "%m/%d/%Y",
    "%-m/%-d/%Y",
    "%d/%m/%Y",
    "%-d/%-m/%Y",
    "%d.%m.%Y",
    "%-d.%-m.%Y",
    "%Y/%m/%d",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%B %-d, %Y",
    "%d %B %Y",
)
_TIMES: Final = ("%H:%M:%S", "%H:%M", "%H:%M:%S%.3f", "%H:%M:%S%.6f")
DATES: Final = (
    *_DAYS,
    *(f"{day}{between}{time}{zone}" for zone in ("", "Z", "+00:00") for day in _DAYS[:1] for between in " T" for time in _TIMES),
    *(f"{day} {time}" for day in _DAYS[1:] for time in _TIMES[:2]),
)
"""How dates are written, in the notation of strftime: ISO 8601 first, then what is common."""
SECONDS: Final = 86_400
"""Seconds of a day."""


def clean(cells: Series) -> Series:
    """Text without blanks around it, null where that says that the value is missing."""
    import polars as pl

    bare = cells.cast(pl.String).str.strip_chars()
    return bare.set(bare.str.to_lowercase().is_in(MISSING).fill_null(False), None)


def numbers(cells: Series) -> Series:
    """Cleaned text as numbers, null where it is none."""
    import polars as pl

    return cells.cast(pl.Float64, strict=False)


def words(cells: Series, whole: bool) -> Series:
    """Any cells as cleaned text; numbers that are ``whole`` without decimals, so that 1, 1.0 and "1.0" are one word."""
    import polars as pl

    if cells.dtype == pl.Boolean:
        return cells.cast(pl.String)
    text = clean(cells)
    if not whole:
        return text
    as_numbers = numbers(text)
    integers = as_numbers.is_not_null() & (as_numbers == as_numbers.round()) & (as_numbers.abs() < 2**53)
    if not integers.any():
        return text
    return pl.select(pl.when(integers).then(as_numbers.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(text)).to_series()


def dates(cells: Series, form: str) -> Series:
    """Text in the format ``form`` as datetimes in microseconds, null where it is in another, or there is no such date."""
    return cells.str.to_datetime(form.replace("%-", "%"), strict=False, time_unit="us")


def moments(times: Series, unit: int) -> NDArray[np.float64]:
    """Dates or datetimes as units of ``unit`` seconds since 1970-01-01, NaN where null."""
    import polars as pl

    if times.dtype == pl.Date:
        days = times.cast(pl.Int32).cast(pl.Float64).to_numpy()
        return np.asarray(days * (SECONDS / unit), dtype=np.float64)
    ticks = {"ms": 1e3, "us": 1e6, "ns": 1e9}[str(getattr(times.dtype, "time_unit", "us"))]
    return np.asarray(times.cast(pl.Int64).cast(pl.Float64).to_numpy() / (ticks * unit), dtype=np.float64)


def dates_back(values: NDArray[np.float64], unit: int, form: str, dtype: str) -> Series:
    """Units of ``unit`` seconds since 1970-01-01, NaN where missing, as text in the format ``form``, or as ``dtype``, "Date" or "Datetime:unit:zone"."""
    import polars as pl

    seen = np.isfinite(values)
    micro = np.rint(np.where(seen, values, 0) * (unit * 1e6)).astype(np.int64)
    whole: Any = pl.Series(micro, dtype=pl.Int64).cast(pl.Datetime("us"))
    whole = whole.set(pl.Series(~seen), None)
    if form:
        return whole.dt.strftime(form)  # type: ignore[no-any-return]
    if dtype == "Date":
        return whole.cast(pl.Date)  # type: ignore[no-any-return]
    _, ticks, zone = dtype.split(":")
    whole = whole.cast(pl.Datetime(ticks))  # type: ignore[arg-type]
    return whole.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else whole  # type: ignore[no-any-return]
