"""What each column of a table holds, told from its cells or asked for, as numbers with all that is needed to write them back."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.grids import decimals_of, grid
from vaeworks.data.options import Options
from vaeworks.data.table_files import Table
from vaeworks.distributions.margins import COUNTS
from vaeworks.errors import DataError
from vaeworks.model import Column
from vaeworks.model.cells import DATES, FALSE, TRUE, clean, dates, moments, numbers, words
from vaeworks.model.table_column import ASIDE, NUMERIC

if TYPE_CHECKING:
    from polars import Series

__all__ = ["ALL_CATEGORIES", "MOST_CATEGORIES", "Draft", "infer", "tell"]

MOST_CATEGORIES: Final = 1000
"""Categories of a column that are told apart; rarer ones are one, called (other)."""
ALL_CATEGORIES: Final = 20_000
"""Categories of all columns that are told apart, whatever each has."""
_STRAY: Final = 0.01
"""Cells that may be no number or no date, of a column of such."""
_ORDINAL: Final = 100
"""Distinct values of a grid up to which each has a probability of its own."""
_ID: Final = re.compile(r"(?i:(^|[_\W])(id|ids|index|idx|key|uuid|guid|row|rownames?|row_number)$|^unnamed|^id_|^column_1$)|[a-z_]ID$|[a-z]Id$")
"""Names of columns that number rows."""
_UUID: Final = r"(?i)^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_EXACT: Final = 2.0**53
_SHOWN: Final = 30
"""Columns that each have a note."""


@dataclass(frozen=True)
class Draft:
    """A column before its margin is fitted."""

    column: Column
    numbers: NDArray[np.float64] | None
    """(N,) raw values, NaN where missing; None: not modelled."""
    margin: str = ""
    """The kind of its margin."""
    step: float = 0.0
    """The grid its values lie on; 0: none."""
    why: str = ""
    """What to tell of it."""


def infer(table: Table, options: Options) -> tuple[list[Draft], list[str]]:
    """A draft of every column but the label, and what to tell of cells that are none of theirs. DataError where what was asked for cannot be."""
    names = [name for name in table.frame.columns if name != options.label]
    wanted = dict(options.columns)
    for name in wanted:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:10]
            raise DataError(
                f"{table.source} has no column {name!r} to model, as --column asks: did you mean {' or '.join(close)}?"
                if name != options.label
                else f"column {name!r} is the label, which is not modelled: leave it out of the columns, or of the label"
            )
    told: list[str] = []
    drafts = [_one(table.frame[name], wanted.get(name), table, options, told) for name in names]
    return drafts, told


def tell(drafts: Sequence[Draft], columns: Sequence[Column]) -> list[str]:
    """A sentence for each column, or, where they are many, for each kind."""
    if len(columns) <= _SHOWN:
        why = {draft.column.name: draft.why for draft in drafts}
        return [f"Column {column.name}: {_described(column, why.get(column.name, ''))}." for column in columns]
    kinds = Counter(column.kind if column.margin is None else f"{column.kind} ({column.margin.kind})" for column in columns)
    aside = [column.name for column in columns if column.margin is None]
    notes = [f"{len(columns)} columns: {', '.join(f'{number} {kind}' for kind, number in kinds.most_common())}."]
    return [*notes, f"Not modelled: {_few(aside)}."] if aside else notes


def _described(column: Column, why: str) -> str:
    parts = [column.kind if column.margin is None or column.margin.kind == column.kind else f"{column.kind}, margin {column.margin.kind}"]
    if column.margin is None:
        parts.append("not modelled")
    if column.margin is not None and column.margin.step > 0 and column.kind not in {"categorical", "boolean", "count"}:
        parts.append(f"in steps of {column.margin.step:g}{' days' if column.unit == 86_400 else ' seconds' if column.kind == 'datetime' else ''}")
    if column.categories:
        parts.append(
            f"{len(column.categories)} categories ({_few(column.categories, 5)})" if column.kind == "categorical" else "/".join(column.categories)
        )
    if column.form:
        parts.append(f"written {column.form}")
    if column.missing:
        parts.append(f"missing in {column.missing} training rows")
    return ", ".join(filter(None, (*parts, why)))


def _one(cells: Series, wanted: str | None, table: Table, options: Options, told: list[str]) -> Draft:
    """The draft of one column."""
    import polars as pl

    name = cells.name
    if table.counts and wanted is None:
        found = cells.cast(pl.Float64).to_numpy()
        return Draft(Column(name, "count", dtype=str(cells.dtype), decimals=0), found, _count_margin(found), 1.0)
    if cells.dtype.is_nested() or cells.dtype in {pl.Binary, pl.Object, pl.Duration, pl.Time}:
        if wanted is not None and wanted not in ASIDE:
            raise DataError(f"column {name!r} holds {cells.dtype} values, which cannot be {wanted}: give numbers or text in it")
        told.append(f"Column {name} holds {cells.dtype} values, which are not modelled.")
        return Draft(Column(name, "text"), None)
    if not (cells.dtype.is_numeric() or cells.dtype.is_temporal() or cells.dtype == pl.Boolean):
        cells = clean(cells)
    if isinstance(cells.dtype, pl.Decimal) or cells.dtype in {pl.Int128}:
        cells = cells.cast(pl.Float64)
    if cells.dtype.is_float():
        cells = _finite(cells.fill_nan(None), options, told)
    if wanted in ASIDE:
        return _aside(cells, wanted)
    if cells.null_count() == len(cells):
        if wanted is not None:
            raise DataError(f"column {name!r} has no value at all, so it cannot be {wanted}: leave it out of the columns")
        return Draft(Column(name, "constant"), None, why="no value at all")
    draft = _as_asked(cells, wanted, options, told) if wanted is not None else _as_found(cells, options, told)
    if draft is None:
        raise DataError(f"column {name!r} cannot be {wanted}: {_reason(cells, wanted or '')}: choose another kind for it, such as categorical")
    return draft


def _aside(cells: Series, wanted: str) -> Draft:
    if wanted == "constant" and cells.drop_nulls().n_unique() > 1:
        shown = _few([str(cell) for cell in cells.drop_nulls().unique(maintain_order=True).head(3)])
        raise DataError(f"column {cells.name!r} cannot be constant: it holds {shown}: to keep it aside say identifier or text")
    return Draft(_constant(cells), None) if wanted == "constant" else Draft(Column(cells.name, wanted), None, why="as asked for")


def _constant(cells: Series) -> Column:
    import polars as pl

    seen = cells.drop_nulls()
    value = None if not len(seen) else str(seen[0] if seen.dtype != pl.Boolean else str(seen[0]).lower())
    dtype = str(cells.dtype) if cells.dtype.is_numeric() or cells.dtype == pl.Boolean else "String"
    return Column(cells.name, "constant", constant=value, dtype=dtype if dtype not in {"Int128", "UInt128", "Float16"} else "Float64")


def _as_found(cells: Series, options: Options, told: list[str]) -> Draft:
    """What the cells say they are."""
    import polars as pl

    seen = cells.drop_nulls()
    distinct = seen.n_unique()
    if distinct == 1:
        return Draft(_constant(cells), None, why=f"always {str(seen[0])[:40]!r}")
    if cells.dtype.is_temporal():
        return _typed_dates(cells)
    if cells.dtype == pl.Boolean:
        return _boolean(cells, ("false", "true"), "Boolean")
    return _numeric(cells, cells) if cells.dtype.is_numeric() else _from_text(cells, seen, distinct, options, told)


def _from_text(cells: Series, seen: Series, distinct: int, options: Options, told: list[str]) -> Draft:
    """What cells of text are: two words of a boolean, numbers, dates, or strings."""
    if distinct == 2 and (pair := _pair(seen)) is not None:
        return _boolean(cells, pair, "String")
    if seen.str.contains(r"^0\d+$").mean() > _STRAY:  # type: ignore[operator]
        return _strings(cells, distinct)  # codes, such as 01234, whose zeros numbers would lose
    as_numbers = numbers(cells)
    strays = as_numbers.null_count() - cells.null_count()
    if strays <= _STRAY * len(seen):
        if strays:
            told.append(_stray(cells, as_numbers, "number", options))
        return _numeric(_finite(as_numbers.fill_nan(None), options, told), cells)
    if (draft := _dates(cells, options, told)) is not None:
        return draft
    mixed = strays < 0.5 * len(seen)
    if mixed:
        shown = _examples(cells, as_numbers)
        told.append(f"Column {cells.name}: {strays} of its {len(seen)} cells are no numbers ({shown}), too many to be mistakes: it is categorical.")
    return _strings(cells, distinct, mixed=mixed)


def _as_asked(cells: Series, wanted: str, options: Options, told: list[str]) -> Draft | None:
    """The column as ``wanted``; None where it cannot be."""
    if cells.drop_nulls().n_unique() < 2:
        return None
    if wanted == "categorical":
        return _categorical(cells)
    if wanted == "boolean":
        return _asked_boolean(cells)
    dated = cells.dtype.is_temporal() or wanted == "datetime"
    return _asked_dates(cells, wanted, options, told) if dated else _asked_numbers(cells, wanted, options, told)


def _asked_dates(cells: Series, wanted: str, options: Options, told: list[str]) -> Draft | None:
    import polars as pl

    draft = _typed_dates(cells) if cells.dtype.is_temporal() else _dates(cells, options, told) if cells.dtype == pl.String else None
    if draft is None or wanted == "datetime":
        return draft
    return replace(draft, margin=wanted) if wanted not in NUMERIC and wanted not in COUNTS and _possible(draft, wanted) else None


def _asked_numbers(cells: Series, wanted: str, options: Options, told: list[str]) -> Draft | None:
    import polars as pl

    as_numbers = cells.cast(pl.Float64) if cells.dtype == pl.Boolean else cells if cells.dtype.is_numeric() else numbers(cells)
    strays = as_numbers.null_count() - cells.null_count()
    if strays > 0.5 * (len(cells) - cells.null_count()):
        return None
    if strays:
        told.append(_stray(cells, as_numbers, "number", options))
    if as_numbers.dtype.is_float():
        as_numbers = _finite(as_numbers.fill_nan(None), options, told)
    if as_numbers.drop_nulls().n_unique() < 2:
        return None
    return _number_as_asked(_number_draft(as_numbers, cells), wanted)


def _number_as_asked(draft: Draft, wanted: str) -> Draft | None:
    if wanted == "continuous":
        return replace(draft, column=replace(draft.column, kind="continuous"), step=0.0, margin="quantile")
    if wanted == "integer":
        return replace(draft, margin=_grid_margin(draft.numbers, draft.step)) if draft.column.kind == "integer" else None
    if wanted == "count" or wanted in COUNTS:
        if draft.column.kind != "integer" or draft.numbers is None or np.nanmin(draft.numbers) < 0:
            return None
        margin = _count_margin(draft.numbers) if wanted == "count" else wanted
        return replace(draft, column=replace(draft.column, kind="count", decimals=0), step=1.0, margin=margin)
    return replace(draft, margin=wanted) if _possible(draft, wanted) else None


def _possible(draft: Draft, margin: str) -> bool:
    """Whether the numbers of a draft can have such a margin."""
    assert draft.numbers is not None
    if margin == "ordinal":
        return draft.step > 0 and len(np.unique(draft.numbers[np.isfinite(draft.numbers)])) <= 10 * _ORDINAL
    return margin != "log-normal" or bool(np.nanmin(draft.numbers) > 0 or draft.step > 0)


def _reason(cells: Series, wanted: str) -> str:
    """Why a column cannot be ``wanted``."""
    seen = cells.drop_nulls()
    shown = _few([str(cell) for cell in seen.unique(maintain_order=True).head(3)], 3)
    need = {
        "boolean": "that takes two different values",
        "categorical": "that takes two different values or more",
        "datetime": "that takes dates in one format",
        "integer": "that takes whole numbers",
        "ordinal": f"that takes numbers on a grid, of {10 * _ORDINAL} different values at most",
        "log-normal": "that takes positive numbers",
        **dict.fromkeys(("count", *COUNTS), "that takes whole numbers from 0"),
    }
    return f"{need.get(wanted, 'that takes numbers')}, and it holds {shown}"


def _finite(values: Series, options: Options, told: list[str]) -> Series:
    """Numbers with infinite ones as missing, told; DataError where ``options.strict``."""
    infinite = values.is_infinite().fill_null(False)
    if not infinite.any():
        return values
    number = int(infinite.sum())
    if options.strict:
        row = int(np.flatnonzero(infinite.to_numpy())[0]) + 1
        raise DataError(
            f"column {values.name!r}, row {row}: {values[row - 1]} is no finite number: mend it, or leave out --strict, and it is missing"
        )
    told.append(f"Column {values.name}: {number} infinite number{'s were' if number != 1 else ' was'} taken as missing.")
    return values.set(infinite, None)


def _numeric(values: Series, cells: Series) -> Draft:
    """The draft of a column of numbers."""
    seen = values.drop_nulls()
    distinct = seen.n_unique()
    if distinct < 2:
        return Draft(_constant(cells if len(seen) == len(cells.drop_nulls()) else values), None)
    if float(np.abs(seen.to_numpy()).max()) >= _EXACT and cells.dtype.is_integer():
        return _strings(clean(cells), distinct)
    draft = _number_draft(values, cells)
    assert draft.numbers is not None
    if draft.column.kind == "integer":
        if distinct == len(cells) and (_ID.search(cells.name.strip()) or not cells.name.strip()):
            return Draft(Column(cells.name, "identifier"), None, why="a different whole number in every row")
        if distinct == 2:
            low, high = (str(int(v)) for v in np.unique(seen.to_numpy()))
            written = draft.column.dtype if draft.column.dtype.lstrip("U").startswith("Int") else "Float64"
            return _boolean(cells if written != "Float64" else values, (low, high), written)
    return replace(draft, margin=_grid_margin(draft.numbers, draft.step))


def _number_draft(values: Series, cells: Series) -> Draft:
    """Numbers with their decimals and their grid, as integer or continuous, without a margin."""
    import polars as pl

    single = values.dtype == pl.Float32
    array = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    distinct = np.unique(array[np.isfinite(array)])
    decimals = decimals_of(distinct, single)
    if decimals >= 0:
        array = np.round(array, decimals)
        distinct = np.unique(array[np.isfinite(array)])
    seen = int(np.isfinite(array).sum())
    step = grid(distinct, decimals) if decimals >= 0 else 0.0
    if decimals > 0 and len(distinct) >= 0.9 * seen and (distinct[-1] - distinct[0]) / step > 10 * seen:
        step = 0.0
    return Draft(
        Column(cells.name, "integer" if decimals == 0 else "continuous", dtype=_written(cells, decimals), decimals=decimals), array, "", step
    )


def _written(cells: Series, decimals: int) -> str:
    """The type in which a column of numbers is written back."""
    import polars as pl

    if cells.dtype == pl.String:
        pointed = cells.drop_nulls().str.contains(r"[.eE]").any()
        return "Int64" if decimals == 0 and not pointed else "Float64"
    found = str(cells.dtype)
    return found if found in {"Float32", "Float64"} or (cells.dtype.is_integer() and "128" not in found) else "Float64"


def _grid_margin(values: NDArray[np.float64] | None, step: float) -> str:
    """ordinal where a grid has few points and is not mostly gaps, else quantile."""
    assert values is not None
    distinct = np.unique(values[np.isfinite(values)])
    points = (distinct[-1] - distinct[0]) / step + 1 if step > 0 else np.inf
    return "ordinal" if len(distinct) <= _ORDINAL and points <= 3 * len(distinct) else "quantile"


def _count_margin(values: NDArray[np.float64]) -> str:
    """zero-inflated where zeros are clearly more than a negative binomial of this mean and variance has, else negative-binomial."""
    seen = values[np.isfinite(values)]
    mean, variance = float(seen.mean()), float(seen.var())
    if mean <= 0:
        return "negative-binomial"
    size = mean**2 / (variance - mean) if variance > mean * (1 + 1e-6) else 1e6
    expected = float(np.exp(size * np.log(size / (size + mean))))
    excess = float((seen == 0).mean()) - expected
    return "zero-inflated" if excess > 0.05 + 3 * np.sqrt(expected * (1 - expected) / len(seen)) else "negative-binomial"


def _pair(seen: Series) -> tuple[str, str] | None:
    """The two words of a boolean column, as it writes them, the false one first; None where they are no such words."""
    one, two = sorted(seen.unique().to_list(), key=lambda word: word.lower() in TRUE)
    opposite = one.lower() in FALSE and two.lower() in TRUE and FALSE.index(one.lower()) == TRUE.index(two.lower())
    return (one, two) if opposite and one.lower() != "0" else None


def _boolean(cells: Series, pair: tuple[str, str], dtype: str) -> Draft:
    column = Column(cells.name, "boolean", categories=pair, dtype=dtype, decimals=0)
    found, _ = column.read(cells)
    return Draft(column, found, "boolean")


def _asked_boolean(cells: Series) -> Draft | None:
    import polars as pl

    text = words(cells, whole=not cells.dtype.is_temporal())
    pair = sorted(text.drop_nulls().unique().to_list(), key=lambda word: (word.lower() in TRUE, word))
    if len(pair) != 2 or pair[0].lower() == pair[1].lower():
        return None
    dtype = str(cells.dtype) if cells.dtype.is_integer() or cells.dtype == pl.Boolean else "String"
    if dtype == "String" and cells.dtype == pl.String and all(re.fullmatch(r"-?\d+", word) for word in pair):
        dtype = "Int64"
    return _boolean(cells, (pair[0], pair[1]), dtype)


def _typed_dates(cells: Series) -> Draft:
    """The draft of a column of dates or datetimes."""
    import polars as pl

    if cells.drop_nulls().n_unique() < 2:
        return Draft(Column(cells.name, "constant", constant=str(cells.drop_nulls()[0])), None)
    if cells.dtype == pl.Date:
        return _date_draft(Column(cells.name, "datetime", dtype="Date", unit=86_400), moments(cells, 86_400))
    kind = cells.dtype
    assert isinstance(kind, pl.Datetime)
    return _date_draft(Column(cells.name, "datetime", dtype=f"Datetime:{kind.time_unit}:{kind.time_zone or ''}"), moments(cells, 1))


def _date_draft(column: Column, values: NDArray[np.float64]) -> Draft:
    distinct = np.unique(values[np.isfinite(values)])
    decimals = decimals_of(np.round(distinct, 6))
    values = np.round(values, 6)
    whole = decimals == 0
    step = next((s for s in (86_400.0, 3600.0, 60.0) if (distinct % s == 0).all()), 1.0) if whole and column.unit == 1 else 10.0 ** -max(decimals, 0)
    if not whole and len(distinct) >= 0.9 * np.isfinite(values).sum():
        step = 0.0
    return Draft(replace(column, decimals=decimals), values, _grid_margin(values, step), step)


def _dates(cells: Series, options: Options, told: list[str]) -> Draft | None:
    """The draft of a column of text that is dates, in the first format that fits and writes them back as they are; None where none does."""
    seen = cells.drop_nulls()
    probe = seen.unique(maintain_order=True).head(50)
    if not (probe.str.len_chars().is_between(8, 32) & probe.str.contains(r"\d")).mean() > 0.9:  # type: ignore[operator]
        return None
    found = [form for form in DATES if _fits(probe, form, 0.1)]
    found = [form for form in found if _fits(seen, form, _STRAY)]
    if not found:
        return None
    form, parsed = found[0], dates(cells, found[0])
    parsed = parsed.set((parsed.dt.strftime(form) != cells).fill_null(False), None)
    if parsed.null_count() > cells.null_count():
        told.append(_stray(cells, parsed, f"date like {form}", options))
    if parsed.drop_nulls().n_unique() < 2:
        return None
    unit = 1 if "%H" in form else 86_400
    draft = _date_draft(Column(cells.name, "datetime", form=form, unit=unit), moments(parsed, unit))
    return replace(draft, why=f"which could be {found[1]} as well") if len(found) > 1 and "%m" in form and _swapped(form) in found else draft


def _swapped(form: str) -> str:
    return form.replace("d", "?").replace("m", "d").replace("?", "m")


def _fits(cells: Series, form: str, stray: float) -> bool:
    parsed = dates(cells, form)
    same = (parsed.dt.strftime(form) == cells).fill_null(False)
    return int(same.sum()) >= (1 - stray) * len(cells)


def _strings(cells: Series, distinct: int, *, mixed: bool = False) -> Draft:
    """Text as an identifier, free text, or categories."""
    seen = cells.drop_nulls()
    share = distinct / len(seen)
    lengths = seen.str.len_chars()
    spaced = float(seen.str.count_matches(r"\s").mean())  # type: ignore[arg-type]
    if seen.head(100).str.contains(_UUID).all():
        return Draft(Column(cells.name, "identifier"), None, why="UUIDs")
    long = float(lengths.mean()) > 40 or spaced >= 3  # type: ignore[arg-type]
    if long and share > 0.5 and distinct > 20:
        return Draft(Column(cells.name, "text"), None, why="long strings, most of them different")
    if not mixed and distinct > 20 and share > 0.95 and len(seen) == distinct:
        return Draft(Column(cells.name, "identifier"), None, why="a different string in every row")
    if not mixed and distinct > 50 and share > 0.95:
        return Draft(Column(cells.name, "identifier"), None, why="a different string in nearly every row")
    return _categorical(cells)


def _categorical(cells: Series) -> Draft:
    """Categories in alphabetical order, numbers among them by size; all of them, for the training items tell which are kept."""
    import polars as pl

    integer = cells.dtype.is_integer()
    if cells.dtype == pl.String:
        seen = cells.drop_nulls()
        integer = bool(seen.str.contains(r"^-?\d{1,15}$").all()) and not seen.str.contains(r"^-?0\d").any()
    text = words(cells, whole=integer)
    named = sorted(text.drop_nulls().unique().to_list(), key=_natural)
    dtype = "Int64" if integer and cells.dtype == pl.String else str(cells.dtype) if cells.dtype.is_integer() else "String"
    column = Column(cells.name, "categorical", categories=tuple(named), dtype=dtype if "128" not in dtype else "String", decimals=0)
    index = text.replace_strict({word: float(i) for i, word in enumerate(named)}, default=None, return_dtype=pl.Float64)
    return Draft(column, index.fill_null(np.nan).to_numpy(), "categorical")


def _natural(word: str) -> tuple[int, float, str]:
    try:
        return 0, float(word), word
    except ValueError:
        return 1, 0.0, word


def _stray(cells: Series, parsed: Series, noun: str, options: Options) -> str:
    """What to tell of cells that are no ``noun`` in a column of such; DataError where ``options.strict``."""
    stray = parsed.is_null() & cells.is_not_null()
    number = int(stray.sum())
    if options.strict:
        row = int(np.flatnonzero(stray.to_numpy())[0])
        raise DataError(f"column {cells.name!r}, row {row + 1}: {cells[row]!r} is no {noun}: mend it, or leave out --strict, and it is missing")
    are, were = ("is", "was") if number == 1 else ("are", "were")
    return f"Column {cells.name}: {number} cell{'s' * (number != 1)} that {are} no {noun} ({_examples(cells, parsed)}) {were} taken as missing."


def _examples(cells: Series, parsed: Series) -> str:
    return _few([repr(cell[:40]) for cell in cells.filter(parsed.is_null() & cells.is_not_null()).unique(maintain_order=True).head(4)], 3)


def _few(names: Sequence[str], shown: int = 10) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
