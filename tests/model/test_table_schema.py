"""Rows as x, and x as rows again."""

from __future__ import annotations

import dataclasses
import json
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaeworks.data import Data, Options, open_data
from vaeworks.distributions.margins import Margin
from vaeworks.errors import ArtifactError, DataError
from vaeworks.model import Column, Schema, TableSchema

N = 60


def opened(frame: pl.DataFrame, **options: Any) -> Data:
    return open_data(frame, options=Options(validation=0, test=0, **options))  # type: ignore[arg-type]


DAY = date(2019, 3, 1)
CELLS: dict[str, Any] = {
    "integer": st.integers(-(10**6), 10**6),
    "hundredth": st.integers(-5000, 5000).map(lambda i: i / 100),
    "real": st.floats(-1e6, 1e6, allow_subnormal=False),
    "colour": st.sampled_from(["red", "green", "blue, dark", 'a "b"']),
    "flag": st.booleans(),
    "answer": st.sampled_from(["yes", "no"]),
    "day": st.integers(0, 5000).map(lambda i: DAY + timedelta(days=i)),
    "time": st.integers(0, 10**8).map(lambda i: datetime(2001, 2, 3) + timedelta(seconds=i)),
    "written": st.integers(0, 5000).map(lambda i: (DAY + timedelta(days=i)).strftime("%d.%m.%Y")),
}


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    """Columns of mixed kinds with missing cells; each holds three different values at least."""
    kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=2, max_size=5, unique=True))
    columns = {}
    for kind in kinds:
        pool = draw(st.lists(CELLS[kind], min_size=2, max_size=30, unique=True))
        cells = [*pool, *draw(st.lists(st.sampled_from([*pool, None]), min_size=N - len(pool), max_size=N - len(pool)))]
        columns[kind] = draw(st.permutations(cells))
    return pl.DataFrame(columns)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(frame=frames())
def test_any_frame_comes_back(frame: pl.DataFrame) -> None:
    data = opened(frame)
    schema = data.schema
    assert isinstance(schema, TableSchema)
    schema = Schema.from_json(json.loads(json.dumps(schema.to_json())))
    assert schema == data.schema
    values, observed, notes = schema.encode(frame, strict=True)  # type: ignore[attr-defined]
    assert notes == []
    assert torch.isfinite(values).all()
    back = schema.to_frame(values, observed)  # type: ignore[attr-defined]
    assert back.columns == frame.columns
    assert back.schema == frame.schema
    for name in frame.columns:
        if name == "real":
            known = frame[name].is_not_null().to_numpy()
            spread = float(frame[name].max()) - float(frame[name].min())  # type: ignore[arg-type]
            assert np.abs(back[name].to_numpy()[known] - frame[name].to_numpy()[known]).max() <= 1e-9 * max(spread, 1e-9) + 1e-15 * 1e6
            assert (back[name].is_null() == frame[name].is_null()).all()
        else:
            assert back[name].to_list() == frame[name].to_list(), name
    single = schema.to_frame(schema.to_x(values), observed)  # type: ignore[attr-defined]
    for name in set(frame.columns) & {"colour", "flag", "answer"}:
        assert single[name].to_list() == frame[name].to_list()


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    rng = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "id": [f"r{i:03}" for i in range(N)],
            "size": np.round(rng.normal(10, 2, N), 1),
            "weight": rng.normal(size=N),
            "kind": [["a", "b", "c"][i % 3] for i in range(N)],
            "unit": ["kg"] * N,
            "ok": [i % 2 == 0 for i in range(N)],
            "day": [DAY + timedelta(days=7 * (i % 50)) for i in range(N)],
            "grade": [1 + i % 5 for i in range(N)],
        }
    )


@pytest.fixture(scope="module")
def schema(table: pl.DataFrame) -> TableSchema:
    found = opened(table).schema
    assert isinstance(found, TableSchema)
    return found


def test_what_is_modelled_and_what_is_kept_aside(schema: TableSchema, table: pl.DataFrame) -> None:
    assert [c.name for c in schema.modelled] == ["size", "weight", "kind", "ok", "day", "grade"]
    assert schema.shape == (6,)
    assert schema.drawn
    back = schema.to_frame(torch.zeros(3, 6))
    assert back.columns == table.columns
    assert back["id"].to_list() == [None] * 3
    assert back["unit"].to_list() == ["kg"] * 3
    assert "probability masses of size, kind, ok, day, grade; densities of weight (per unit of weight)" in schema.protocol["columns"]
    assert "1 column in its own units (weight), times the probability mass of 5 others" in schema.density
    assert schema.to_raw(torch.zeros(1, 6))[0]["unit"] == "kg"


def test_x_is_brought_to_what_can_be_written(schema: TableSchema) -> None:
    x = 3 * torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    inside = schema.within(x)
    assert inside.dtype == x.dtype
    torch.testing.assert_close(schema.within(inside), inside)
    assert schema.to_frame(inside).equals(schema.to_frame(x)) or np.allclose(schema.raw(inside), schema.raw(x), atol=1e-5)
    raw = schema.raw(x)
    for j, margin in enumerate(schema.margins):
        assert margin.low <= raw[:, j].min()
        assert raw[:, j].max() <= margin.high
    assert np.allclose(raw[:, 0] * 10, np.rint(raw[:, 0] * 10))
    assert set(raw[:, 2].tolist()) <= {0, 1, 2}


def test_columns_in_any_order_more_of_them_and_fewer(schema: TableSchema, table: pl.DataFrame) -> None:
    whole, observed, notes = schema.encode(table)
    assert notes == []
    assert observed.all()
    turned = table.select(reversed(table.columns)).with_columns(extra=pl.lit(1))
    values, observed, notes = schema.encode(turned)
    assert torch.equal(values, whole)
    assert notes == ["Columns that the model does not know were ignored: extra."]
    values, observed, notes = schema.encode(table.drop("kind", "id"))
    assert observed.all(0).tolist() == [True, True, False, True, True, True]
    assert not observed[:, 2].any()
    assert torch.equal(values[:, 3:], whole[:, 3:])
    assert notes == ["Columns that are not there, and so missing in every row: kind."]
    with pytest.raises(DataError, match="lack 1 of the 6 columns that the model learned: kind"):
        schema.encode(table.drop("kind"), strict=True)
    with pytest.raises(DataError, match="lack 4 of the 6 columns"):
        schema.encode(table.select("size", "ok"))


def test_the_same_rows_as_text(schema: TableSchema, table: pl.DataFrame) -> None:
    whole, _, _ = schema.encode(table)
    text = table.with_columns(pl.all().cast(pl.String))
    values, observed, notes = schema.encode(text)
    assert notes == []
    assert observed.all()
    assert torch.equal(values, whole)


def test_cells_that_are_none_of_their_column(schema: TableSchema, table: pl.DataFrame) -> None:
    wrong = table.with_columns(pl.all().cast(pl.String)).with_columns(
        kind=pl.when(pl.int_range(N) == 4).then(pl.lit("z")).otherwise(pl.col("kind")),
        size=pl.when(pl.int_range(N) == 7).then(pl.lit("big")).otherwise(pl.col("size").cast(pl.String)),
        ok=pl.when(pl.int_range(N) == 9).then(pl.lit("NA")).otherwise(pl.col("ok").cast(pl.String)),
    )
    _, observed, notes = schema.encode(wrong)
    assert (~observed).nonzero().tolist() == [[4, 2], [7, 0], [9, 3]]
    assert notes == [
        "Column size: 1 cell that is no number (big) was taken as missing.",
        "Column kind: 1 cell that is no category that training had (z) was taken as missing.",
    ]
    with pytest.raises(DataError, match=r"column 'size', row 8: 'big' is no number, as in 1 of 60 rows"):
        schema.encode(wrong, strict=True)
    with pytest.raises(DataError, match=r"column 'size', row 1: 'a' is no number"):
        schema.encode(table.with_columns(size=pl.col("kind")))


def test_what_lies_beyond_a_column_of_few_values_is_told(schema: TableSchema, table: pl.DataFrame) -> None:
    values, _, notes = schema.encode(table.with_columns(grade=pl.lit(77)))
    assert notes == ["Column grade: 60 cells outside 1 .. 5, taken as the nearest of these."]
    assert schema.to_frame(values)["grade"].to_list() == [5] * N


def test_json_that_is_damaged(schema: TableSchema) -> None:
    good = json.loads(json.dumps(schema.to_json()))
    assert Schema.from_json(good) == schema
    size = next(i for i, c in enumerate(schema.table) if c.name == "size")

    def changed(**fields: Any) -> dict[str, Any]:
        return {**good, "table": [{**c, **fields} if i == size else c for i, c in enumerate(good["table"])]}

    for broken in (
        {**good, "table": []},
        {**good, "table": [3]},
        {**good, "shape": [5]},
        changed(kind="weird"),
        changed(margin=None),
        changed(name="weight"),
        changed(name=3),
        changed(dtype="Datetime"),
        changed(margin={"kind": "quantile", "color": 1}),
        changed(extra=1),
        changed(unit=0),
        changed(kind="categorical"),
    ):
        with pytest.raises(ArtifactError, match="the stored schema cannot be read"):
            Schema.from_json(broken)


def test_a_wide_table_is_written_small() -> None:
    rng = np.random.default_rng(0)
    data = opened(pl.DataFrame(rng.normal(size=(50, 2100)), schema=[f"c{i}" for i in range(2100)]))
    assert data.train.values.dtype == torch.float32
    assert len(json.dumps(data.schema.to_json())) < 50e6 * 2100 / 10_000


def test_a_column_by_hand() -> None:
    column = Column("t", "datetime", Margin("gaussian", step=1.0), form="%Y-%m-%d %H:%M:%S", decimals=0)
    assert column.write(np.array([0.0, np.nan, 86_461.0])).to_list() == ["1970-01-01 00:00:00", None, "1970-01-02 00:01:01"]
    zoned = dataclasses.replace(column, form="", dtype="Datetime:ms:Europe/Paris")
    assert [str(t) for t in zoned.write(np.array([0.0]))] == ["1970-01-01 01:00:00+01:00"]
    values, wrong = zoned.read(zoned.write(np.array([12.0])))
    assert (values.tolist(), wrong.tolist()) == ([12.0], [False])
