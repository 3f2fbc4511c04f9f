"""Kinds of columns, told from their cells or asked for."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from vaeworks.data import Options
from vaeworks.data.columns import Draft, infer
from vaeworks.data.grids import decimals_of, grid
from vaeworks.data.table_files import Table
from vaeworks.errors import DataError

N = 200


def draft(cells: Any, name: str = "a", **options: Any) -> Draft:
    return drafts({name: cells}, **options)[0][0]


def drafts(cells: dict[str, Any], counts: bool = False, **options: Any) -> tuple[list[Draft], list[str]]:
    return infer(Table(pl.DataFrame(cells), "t", counts=counts), Options(**options))


def text(numbers: Any) -> list[str]:
    return [str(number) for number in numbers]


rng = np.random.default_rng(0)
WORDS = ["red", "green", "blue", "NA", " red "]
DAYS = [date(2020, 1, 1) + timedelta(days=int(i)) for i in rng.integers(0, 4000, N)]
TIMES = [datetime(2020, 1, 1) + timedelta(seconds=int(i)) for i in rng.integers(0, 10**8, N)]
CASES: dict[str, tuple[Any, str, str, dict[str, Any]]] = {
    "floats": (rng.normal(size=N), "continuous", "quantile", {"step": 0.0, "dtype": "Float64"}),
    "floats as text": (text(rng.normal(size=N)), "continuous", "quantile", {"step": 0.0, "dtype": "Float64"}),
    "a grid of 0.1": (text(np.round(rng.uniform(0, 30, N), 1)), "continuous", "quantile", {"step": 0.1, "decimals": 1}),
    "a short grid of 0.5": ((np.round(rng.uniform(1, 9, N) * 2) / 2).tolist(), "continuous", "ordinal", {"step": 0.5}),
    "a grid in float32": (np.round(rng.uniform(0, 30, N), 1).astype(np.float32), "continuous", "quantile", {"step": 0.1, "dtype": "Float32"}),
    "six decimals of few rows": (np.round(rng.uniform(0, 1, N), 6), "continuous", "quantile", {"step": 0.0, "decimals": 6}),
    "integers": (rng.integers(0, 10**6, N), "integer", "quantile", {"step": 1.0, "dtype": "Int64"}),
    "integers as text": (text(rng.integers(0, 10**6, N)), "integer", "quantile", {"step": 1.0, "dtype": "Int64"}),
    "integers with a point": (text(rng.integers(0, 10**6, N) * 1.0), "integer", "quantile", {"step": 1.0, "dtype": "Float64"}),
    "hundreds": (rng.integers(0, 500, N) * 100, "integer", "quantile", {"step": 100.0}),
    "grades": (rng.integers(1, 7, N), "integer", "ordinal", {"step": 1.0}),
    "far apart": (10.0 ** rng.integers(0, 6, N), "integer", "quantile", {"step": 1.0}),
    "zero and one": (text(rng.integers(0, 2, N)), "boolean", "boolean", {"categories": ("0", "1"), "dtype": "Int64"}),
    "one and two": (rng.integers(1, 3, N).astype(np.int8), "boolean", "boolean", {"categories": ("1", "2"), "dtype": "Int8"}),
    "real zero and one": (rng.integers(0, 2, N) * 1.0, "boolean", "boolean", {"categories": ("0", "1"), "dtype": "Float64"}),
    "words of yes": (["Yes", "No", "n/a"] * 66, "boolean", "boolean", {"categories": ("No", "Yes"), "dtype": "String"}),
    "true": ([True, False, None] * 66, "boolean", "boolean", {"categories": ("false", "true"), "dtype": "Boolean"}),
    "colours": (WORDS * 40, "categorical", "categorical", {"categories": ("blue", "green", "red")}),
    "two words": (["up", "down"] * 100, "categorical", "categorical", {"categories": ("down", "up")}),
    "days": ([day.isoformat() for day in DAYS], "datetime", "quantile", {"form": "%Y-%m-%d", "unit": 86_400, "step": 1.0}),
    "German days": ([day.strftime("%d.%m.%Y") for day in DAYS], "datetime", "quantile", {"form": "%d.%m.%Y"}),
    "American days": ([f"{day.month}/{day.day}/{day.year}" for day in DAYS], "datetime", "quantile", {"form": "%-m/%-d/%Y"}),
    "times": ([time.isoformat() for time in TIMES], "datetime", "quantile", {"form": "%Y-%m-%dT%H:%M:%S", "unit": 1, "step": 1.0}),
    "minutes": ([time.strftime("%Y-%m-%d %H:%M") for time in TIMES], "datetime", "quantile", {"form": "%Y-%m-%d %H:%M", "step": 60.0}),
    "typed days": (DAYS, "datetime", "quantile", {"dtype": "Date", "unit": 86_400}),
    "typed times": (TIMES, "datetime", "quantile", {"dtype": "Datetime:us:"}),
    "always": (["same", "same", "NA"] * 60, "constant", "", {"constant": "same"}),
    "nothing": (["", "NA", "?", "-", "None", " nan ", "NULL"] * 20, "constant", "", {"constant": None}),
    "UUIDs": ([str(uuid.UUID(int=i)) for i in range(N)], "identifier", "", {}),
    "codes": ([f"x{i:04}" for i in range(N)], "identifier", "", {}),
    "prose": ([f"it was said in the year {i} that nothing would ever be the same again" for i in range(N)], "text", "", {}),
    "postcodes": (["01234", "10115", "80331"] * 60, "categorical", "categorical", {"categories": ("01234", "10115", "80331")}),
}


@pytest.mark.parametrize("name", list(CASES))
def test_kinds_are_told_from_cells(name: str) -> None:
    cells, kind, margin, fields = CASES[name]
    found = draft(cells)
    assert (found.column.kind, found.margin) == (kind, margin)
    assert (found.numbers is None) == (margin == "")
    assert found.numbers is None or np.isfinite(found.numbers).sum() >= N // 2
    for field, value in fields.items():
        assert (found.step if field == "step" else getattr(found.column, field)) == value, field


def test_numbers_are_what_the_cells_say() -> None:
    assert draft([" 1.5 ", "NA", "2", "1e3", "-7.25"] * 9).numbers[:5].tolist()[::2] == [1.5, 2.0, -7.25]  # type: ignore[index]
    numbers = draft(["b", "?", "a", "c"] * 9).numbers
    assert numbers is not None
    assert np.array_equal(numbers[:4], [1, np.nan, 0, 2], equal_nan=True)
    days = draft(["1970-01-02", "2000-01-01", None] * 9).numbers
    assert days is not None
    assert np.array_equal(days[:3], [1, 10957, np.nan], equal_nan=True)  # 30 years, seven or eight of them leap years


def test_identifiers_are_whole_numbers_by_name_alone() -> None:
    rows = list(range(N))
    for name in ("id", "customer_id", "index", "PassengerId", "Unnamed: 0", "row"):
        assert draft(rows, name).column.kind == "identifier", name
    for name in ("time", "valid", "width", "period"):
        assert draft(rows, name).column.kind == "integer", name
    assert draft([0, *rows[1:-1], 1], "id").column.kind == "integer"


def test_strays_among_numbers_are_missing_or_make_categories() -> None:
    numbers = text(rng.integers(0, 1000, 300))
    (found,), told = drafts({"a": [*numbers, "oops"]})
    assert found.numbers is not None
    assert np.isnan(found.numbers[-1])
    assert told == ["Column a: 1 cell that is no number ('oops') was taken as missing."]
    with pytest.raises(DataError, match=r"column 'a', row 301: 'oops' is no number"):
        draft([*numbers, "oops"], strict=True)
    (found,), told = drafts({"a": [*text(rng.integers(0, 5, 300)), *["low"] * 20]})
    assert found.column.categories == ("0", "1", "2", "3", "4", "low")
    assert "20 of its 320 cells are no numbers ('low')" in told[0]


def test_infinities_are_missing_or_refused() -> None:
    (found,), told = drafts({"a": [1.5, 2.5, np.inf, -np.inf, np.nan, 3.25]})
    assert found.numbers is not None
    assert np.isfinite(found.numbers).tolist() == [True, True, False, False, False, True]
    assert told == ["Column a: 2 infinite numbers were taken as missing."]
    with pytest.raises(DataError, match=r"column 'a', row 3: inf is no finite number"):
        draft([1.5, 2.5, np.inf], strict=True)


def test_a_matrix_of_counts() -> None:
    few, many = rng.negative_binomial(2, 0.3, 4000), rng.negative_binomial(2, 0.3, 4000) * rng.integers(0, 2, 4000)
    found, _ = drafts({"a": few, "b": many}, counts=True)
    assert [d.column.kind for d in found] == ["count", "count"]
    assert [d.margin for d in found] == ["negative-binomial", "zero-inflated"]


def test_what_is_asked_for() -> None:
    numbers = rng.integers(1, 4, N)
    assert draft(numbers, columns=(("a", "categorical"),)).column.categories == ("1", "2", "3")
    assert draft(numbers, columns=(("a", "student"),)).margin == "student"
    assert draft(numbers, columns=(("a", "poisson"),)).column.kind == "count"
    assert draft(numbers, columns=(("a", "identifier"),)).numbers is None
    assert draft(numbers, columns=(("a", "continuous"),)).step == 0
    assert draft(["u", "v", "u"], columns=(("a", "boolean"),)).column.categories == ("u", "v")
    assert draft(range(N), "id", columns=(("id", "integer"),)).column.kind == "integer"


@pytest.mark.parametrize(
    ("cells", "kind", "says"),
    [
        (["x", "y", "z"], "integer", "cannot be integer: that takes whole numbers, and it holds x, y, z"),
        (["x", "y", "z"], "gaussian", "cannot be gaussian: that takes numbers"),
        ([1.5, 2.5], "count", "whole numbers from 0"),
        ([-1, 2], "poisson", "whole numbers from 0"),
        ([1, 2, 3], "boolean", "two different values"),
        ([1.1, 2.1], "datetime", "dates in one format"),
        ([-1.234567891, 2.9876543219], "log-normal", "positive numbers"),
        ([1, 2], "constant", "cannot be constant: it holds 1, 2"),
        ([None, None], "integer", "no value at all"),
    ],
)
def test_what_cannot_be(cells: Any, kind: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        draft(cells, columns=(("a", kind),))


def test_options_that_name_nothing() -> None:
    with pytest.raises(DataError, match=r"no column 'heigth'.*did you mean height"):
        drafts({"height": [1, 2], "weight": [1, 2]}, columns=(("heigth", "integer"),))
    with pytest.raises(DataError, match=r"cannot be 'gausian': did you mean gaussian\? Otherwise choose one of continuous, integer"):
        Options(columns=(("a", "gausian"),))
    with pytest.raises(DataError, match="the columns a are each said to be two things"):
        Options(columns=(("a", "integer"), ("a", "count")))
    with pytest.raises(DataError, match="is the label"):
        drafts({"a": [1, 2], "b": [1, 2]}, columns=(("a", "integer"),), label="a")


@pytest.mark.parametrize("decimals", range(7))
@pytest.mark.parametrize("multiple", [1, 2, 5, 25, 100])
def test_grids(decimals: int, multiple: int) -> None:
    whole = np.unique(np.append(rng.integers(-4000, 4000, 50), [1, 3, 7])) * multiple
    values = whole / 10.0**decimals
    found = decimals_of(values)
    assert grid(values, found) == pytest.approx(multiple / 10.0**decimals, rel=1e-12)
    assert decimals_of(np.append(values, np.pi)) == -1
    assert decimals_of(values + 1e-16 * np.abs(values)) == found
