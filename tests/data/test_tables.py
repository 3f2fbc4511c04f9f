"""Tables opened to learn from, and read for a model that has learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from vaeworks.data import Data, Options, open_data, read_items
from vaeworks.data.open import kind_of
from vaeworks.errors import DataError
from vaeworks.model import TableSchema

N = 120


@pytest.fixture
def frame(rng: np.random.Generator) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"row{i}" for i in range(N)],
            "size": [None if i % 10 == 3 else round(float(v), 1) for i, v in enumerate(rng.normal(10, 2, N))],
            "colour": [["red", "green", "blue"][int(i)] for i in rng.integers(0, 3, N)],
            "kind": ["one" if i % 2 else "two" for i in range(N)],
        }
    )


def table_of(data: Data) -> TableSchema:
    assert isinstance(data.schema, TableSchema)
    return data.schema


def test_from_a_file_to_batches(tmp_path: Path, frame: pl.DataFrame) -> None:
    frame.write_csv(tmp_path / "a.csv", null_value="NA")
    data = open_data(tmp_path / "a.csv", options=Options(label="kind"))
    schema = table_of(data)
    assert [len(data.train), len(data.validation), len(data.test)] == [96, 12, 12]
    assert schema.classes == ("one", "two")
    assert [c.name for c in schema.table] == ["id", "size", "colour"]
    by_name = {row["id"]: row for row in frame.to_dicts()}
    for part in (data.train, data.validation, data.test):
        back = schema.to_frame(part.values, part.observed)
        assert part.names is not None
        assert part.labels is not None
        for name, label, row in zip(part.names, part.labels.tolist(), back.to_dicts(), strict=True):
            truth = by_name[name]
            assert (row["size"], row["colour"], schema.classes[label]) == (truth["size"], truth["colour"], truth["kind"])
    batch = data.train.batch(schema, slice(0, 5))
    assert batch.x.dtype == torch.float32
    assert batch.observed is not None
    assert batch.observed.shape == batch.x.shape == (5, 2)
    for name in ("Column size: continuous", "Column id: identifier, not modelled", "missing in"):
        assert any(name in note for note in data.notes), name


def test_the_split_of_a_training_comes_back(tmp_path: Path, frame: pl.DataFrame) -> None:
    frame.write_parquet(tmp_path / "a.parquet")
    data = open_data(tmp_path / "a.parquet", options=Options(limit=80))
    for name in ("train", "validation", "test"):
        part = getattr(data, name)
        items = read_items(tmp_path / "a.parquet", data.schema, options=Options(limit=80, split=name))  # type: ignore[arg-type]
        assert items.names == part.names
        assert torch.equal(items.values, part.values)
        assert (items.observed is None) == (part.observed is None) or items.observed is None
    assert len(read_items(tmp_path / "a.parquet", data.schema)) == N


def test_copies_of_rows_stay_together_whatever_their_identifier() -> None:
    rows = np.repeat(np.random.default_rng(0).normal(size=(50, 3)), 2, axis=0)
    frame = pl.DataFrame(rows, schema=["a", "b", "c"]).with_columns(id=pl.Series([f"r{i}" for i in range(100)]))
    data = open_data(frame)  # type: ignore[arg-type]
    held = [{tuple(row) for row in part.values.tolist()} for part in (data.train, data.validation, data.test)]
    assert not held[0] & held[1]
    assert not held[0] & held[2]
    assert not held[1] & held[2]
    assert any("50 of 100 items are exact copies" in note for note in data.notes)


def test_margins_and_categories_are_those_of_the_training_rows() -> None:
    values = np.random.default_rng(0).normal(size=400)
    frame = pl.DataFrame({"a": values, "b": [f"c{i % 100}" for i in range(400)]})
    data = open_data(frame, options=Options(seed=3))  # type: ignore[arg-type]
    schema = table_of(data)
    train = schema.raw(data.train.values)[:, 0]
    assert schema.margins[0].low == pytest.approx(train.min(), abs=1e-9)
    rare = pl.DataFrame({"a": values, "b": ["u", "v"] * 199 + ["only", "here"]})
    for seed in range(30):
        data = open_data(rare, options=Options(seed=seed))  # type: ignore[arg-type]
        schema = table_of(data)
        missing = sum(0 if part.observed is None else int((~part.observed).sum()) for part in (data.train, data.validation, data.test))
        unseen = {"only", "here"} - set(schema.modelled[1].categories)
        assert missing == len(unseen)
        assert any("categories that no training row has" in note for note in data.notes) == bool(unseen)


def test_rare_categories_are_one() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in np.minimum(rng.geometric(0.002, 5000), 3000)]
    data = open_data(pl.DataFrame({"a": words, "b": rng.normal(size=5000)}))  # type: ignore[arg-type]
    column = table_of(data).modelled[0]
    assert len(column.categories) == 1000
    assert column.categories[-1] == "(other)"
    found, wrong = column.read(pl.Series(["never seen", words[0]]))
    assert found[0] == 999
    assert not wrong.any()


def test_a_column_that_never_varies_in_training_is_kept_aside() -> None:
    data = open_data(pl.DataFrame({"a": np.arange(300) / 7, "b": [1] * 299 + [2]}), options=Options(seed=0))  # type: ignore[arg-type]
    for seed in range(20):
        data = open_data(pl.DataFrame({"a": np.arange(300) / 7, "b": ["x"] * 299 + ["y"]}), options=Options(seed=seed))  # type: ignore[arg-type]
        if table_of(data).shape == (1,):
            assert table_of(data).table[1].constant == "x"
            assert any("1 column never varies in the training rows" in note for note in data.notes)
            return
    pytest.fail("every split trained on the one row that differs")


def test_unseen_categories_at_scoring_are_told(frame: pl.DataFrame) -> None:
    data = open_data(frame.drop("id"))  # type: ignore[arg-type]
    told: list[str] = []
    other = frame.with_columns(colour=pl.lit("mauve"))
    items = read_items(other, data.schema, options=Options(say=told.append))  # type: ignore[arg-type]
    assert items.observed is not None
    assert not items.observed[:, 1].any()
    assert "120 cells that are no category that training had (mauve) were taken as missing" in told[0]
    with pytest.raises(DataError, match=r"column 'colour', row 1: 'mauve' is no category"):
        read_items(other, data.schema, options=Options(strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "options", "kind"),
    [
        ("a,b\n1,2\n3,4\n", {}, "table"),
        ("text\n" + "\n".join(f"the words of line {i} are these" for i in range(50)), {}, "text"),
        ("id,text\n" + "\n".join(f"{i},the words of line {i} are these" for i in range(50)), {}, "text"),
        ("text,n\n" + "\n".join(f"the words of line {i} are these,{i % 7}" for i in range(50)), {}, "table"),
        ("text,n\n" + "\n".join(f"the words of line {i} are these,{i % 7}" for i in range(50)), {"column": "text"}, "text"),
        ("text,n\n" + "\n".join(f"the words of line {i} are these,{i % 7}" for i in range(50)), {"label": "n"}, "text"),
        ("a,b\n1,2\n3,4\n", {"kind": "text"}, "text"),
        ("", {}, "table"),
    ],
)
def test_what_a_file_of_cells_holds(tmp_path: Path, content: str, options: dict[str, Any], kind: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    assert kind_of(tmp_path / "a.csv", Options(**options)) == kind


def test_arrays_of_rows_are_tables(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(50, 4))
    assert kind_of(array, Options()) == kind_of(torch.from_numpy(array), Options()) == "table"
    assert kind_of([{"a": 1}, {"a": 2}], Options()) == "table"  # type: ignore[arg-type]
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "b.npz", X=array, y=np.arange(50) % 2)
    np.savez(tmp_path / "c.npz", x=np.zeros((5, 8, 8)), y=np.arange(5))
    assert [kind_of(tmp_path / name, Options()) for name in ("a.npy", "b.npz", "c.npz")] == ["table", "table", "image"]
    data = open_data(tmp_path / "b.npz")
    assert data.schema.classes == ("0", "1")
    assert data.schema.shape == (4,)
    every = torch.cat([data.train.values, data.validation.values, data.test.values])
    assert np.allclose(np.sort(table_of(data).raw(every), axis=0), np.sort(array, axis=0)) or every.shape == (50, 4)
    assert any("y is the label of each row" in note for note in data.notes)


@pytest.mark.parametrize(
    ("source", "options", "says"),
    [
        (pl.DataFrame({"a": [1.5]}), {}, r"no column to learn from|too few"),
        (pl.DataFrame({"a": ["x"] * 9, "b": [None] * 9}), {}, "no column to learn from"),
        (pl.DataFrame({"a": [1, 2, 3] * 9}), {"label": "b"}, "no column 'b', as --label asks for: choose one of a"),
        (pl.DataFrame({"a": [1, 2, 3] * 9}), {"label": "a"}, "no column beside the label"),
        (pl.DataFrame({"a": [1, 1, 2] * 9}), {}, "too few"),
    ],
)
def test_what_cannot_be_learned_from(source: pl.DataFrame, options: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        open_data(source, options=Options(**options))  # type: ignore[arg-type]


TRUTH: dict[str, dict[str, str]] = {
    "adult.csv": {
        "age": "integer",
        "workclass": "categorical",
        "fnlwgt": "integer",
        "education": "categorical",
        "capital-gain": "integer",
        "sex": "categorical",
        "income": "categorical",
    },
    "california_housing.csv": {"longitude": "continuous", "total_rooms": "integer", "median_income": "continuous", "ocean_proximity": "categorical"},
    "penguins.csv": {"species": "categorical", "bill_length_mm": "continuous", "flipper_length_mm": "integer", "sex": "categorical"},
    "winequality-red.csv": {"fixed acidity": "continuous", "alcohol": "continuous", "quality": "integer"},
}


@pytest.mark.parametrize("name", list(TRUTH))
def test_real_tables(shared: Path, name: str) -> None:
    path = shared.parent / "tables" / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    data = open_data(path)
    schema = table_of(data)
    found = {column.name: column.kind for column in schema.table}
    assert {name: found[name] for name in TRUTH[path.name]} == TRUTH[path.name]
    lines = path.read_text().splitlines()
    assert len(data.train) + len(data.validation) + len(data.test) == len(lines) - 1
    values, observed, notes = schema.encode(open_frame(path))
    back = schema.to_frame(values, observed)
    truth = open_frame(path)
    for column in schema.modelled:
        theirs = truth[column.name].str.strip_chars()
        if column.kind in {"continuous", "integer"}:
            theirs, ours = theirs.cast(pl.Float64, strict=False), back[column.name].cast(pl.Float64)
            assert column.margin is not None
            theirs = theirs.clip(column.margin.low, column.margin.high)  # what is written lies within the bounds of the training rows
            assert np.allclose(theirs.fill_null(-7).to_numpy(), ours.fill_null(-7).to_numpy(), rtol=1e-9), column.name
        else:
            assert back[column.name].fill_null("?").to_list() == [cell if cell not in {"NA", ""} else "?" for cell in theirs.fill_null("?")], (
                column.name
            )
    assert not any("taken as missing" in note for note in notes)


def open_frame(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, infer_schema=False, separator=";" if "wine" in path.name else ",")


def test_single_cells(shared: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = shared.parent / "tables" / "singlecell" / "worm_neuron_cell.h5"
    if not path.exists():
        pytest.skip("the cells are not on this machine")
    with h5py.File(path) as file, h5py.File(tmp_path / "part.h5", "w") as part:
        counts = file["X"][:300, :80]
        part["X"], part["Y"] = counts, file["Y"][:300]
    data = open_data(tmp_path / "part.h5")
    schema = table_of(data)
    varies = [f"column_{i + 1}" for i in range(80) if len(np.unique(counts[:, i])) > 1]
    assert {c.kind for c in schema.table} == {"count", "constant"}
    assert set(varies) >= {c.name for c in schema.modelled}
    items = read_items(tmp_path / "part.h5", schema)
    for j, column in enumerate(schema.modelled):
        assert np.array_equal(items.values[:, j], counts[:, int(column.name.removeprefix("column_")) - 1])
    assert schema.classes
    assert items.labels is not None
