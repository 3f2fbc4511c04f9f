"""Tables in files: dialects, encodings, what is damaged, and matrices of every kind."""

from __future__ import annotations

import gzip
import json
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from vaeworks.data import Options
from vaeworks.data.table_arrays import from_frame, from_matrix, from_rows, is_frame, read_hdf5, read_numpy
from vaeworks.data.table_files import Table, named, read_json, read_parquet, read_separated
from vaeworks.errors import DataError


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def separated(path: Path, content: bytes | str, **options: Any) -> Table:
    return read_separated(written(path, content), Options(**options))


ROWS = [("a", "b c", "d"), ("1", "x, y", "2.5"), ("2", 'said "no"', ""), ("3", "two\nlines", "-1")]


def as_text(delimiter: str, quote: str, end: str) -> str:
    def cell(word: str) -> str:
        return quote + word.replace(quote, quote * 2) + quote if any(c in word for c in (delimiter, quote, "\n")) else word

    return end.join(delimiter.join(map(cell, row)) for row in ROWS) + end


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_dialect_is_told_from_the_text(tmp_path: Path, delimiter: str, end: str, encoding: str) -> None:
    frame = separated(tmp_path / "a.csv", as_text(delimiter, '"', end).encode(encoding)).frame
    assert [tuple(frame.columns), *frame.rows()] == ROWS
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(as_text(delimiter, '"', end).encode(encoding)))
    assert read_separated(path, Options()).frame.rows() == ROWS[1:]


def test_single_quotes_and_blanks_after_the_delimiter(tmp_path: Path) -> None:
    table = separated(tmp_path / "a.csv", "a, b\n'x, 1', 2\n'y, 2', 3\n")
    assert table.frame.rows() == [("x, 1", "2"), ("y, 2", "3")]
    assert separated(tmp_path / "b.csv", 'a, b\n1, "x, y"\n').frame.rows() == [("1", "x, y")]


def test_a_decimal_comma_is_a_point_where_semicolons_separate(tmp_path: Path) -> None:
    table = separated(tmp_path / "a.csv", "n;s\n1,5;a,b\n-2;c\nNA;d\n3,25;e,f\n")
    assert table.frame["n"].to_list() == ["1.5", "-2", "NA", "3.25"]
    assert table.frame["s"].to_list() == ["a,b", "c", "d", "e,f"]
    assert "a.csv: the comma is the decimal point of n." in table.notes


def test_rows_of_another_length_are_named_and_passed_over_or_refused(tmp_path: Path) -> None:
    text = "a,b,c\n" + "1,2,3\n" * 5 + "1,2\n" + '1,"x\ny",3\n' + "1,2,3,4\n\n" + "4,5,6\n"
    table = separated(tmp_path / "a.csv", text)
    assert table.frame.height == 7
    assert "a.csv: passed over 2 rows that have not 3 cells (lines 7, 10)." in table.notes
    with pytest.raises(DataError, match=r"2 rows have not 3 cells \(lines 7, 10\).*--strict"):
        separated(tmp_path / "a.csv", text, strict=True)
    with pytest.raises(DataError, match=r"no table that can be read: its first line names 3 columns.*2 in 8"):
        separated(tmp_path / "b.csv", "a,b,c\n" + "1,2,3\n" * 5 + "1,2\n" * 8)


def test_a_row_name_without_a_heading(tmp_path: Path) -> None:
    table = separated(tmp_path / "a.csv", "a,b\nx,1,2\ny,3,4\n")
    assert table.frame.columns == ["index", "a", "b"]
    assert table.frame.rows() == [("x", "1", "2"), ("y", "3", "4")]


def test_names_that_are_doubled_or_empty(tmp_path: Path) -> None:
    table = separated(tmp_path / "a.csv", "a,,a,a_2,a\n1,2,3,4,5\n")
    assert table.frame.columns == ["a", "column_2", "a_3", "a_2", "a_4"]
    assert any("more than one column is named a" in note for note in table.notes)
    assert any("1 column without a name (named column_2)" in note for note in table.notes)
    with pytest.raises(DataError, match="more than one column is named a"):
        separated(tmp_path / "a.csv", "a,a\n1,2\n", strict=True)
    assert named(["x", "x", "x_2"], "t", False)[0][::2] == ["x", "x_2"]


def test_a_table_without_a_heading(tmp_path: Path) -> None:
    table = separated(tmp_path / "a.csv", "1,2.5\n3,-4\n")
    assert table.frame.rows() == [("1", "2.5"), ("3", "-4")]
    assert table.frame.columns == ["column_1", "column_2"]
    assert "its first line is numbers" in table.notes[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty: give a table"),
        (b"\n \n", "is empty: give a table"),
        (b"a,b\n", r"has column names \(a, b\) and no rows"),
        (bytes(range(256)) * 40, "holds NUL bytes"),
        ("näme,b\né,1\n".encode("latin-1"), "iconv -f LATIN1"),
        (("name,b\n" + "é,1\n" * 9).encode("latin-1"), "no text in UTF-8.*iconv"),
        (b'a,b\n1,2\n3,"4\n5,6\n7,8\n', "the quote .* opens in line 3 or after is never closed"),
    ],
)
def test_files_that_hold_no_table(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        separated(tmp_path / "a.csv", content)
    assert str(tmp_path / "a.csv") in str(caught.value)


def test_rows_with_nul_bytes_or_no_unicode_are_passed_over(tmp_path: Path) -> None:
    table = separated(tmp_path / "a.csv", b"a,b\n" + b"x,1\n" * 20 + b"\xff,2\n" + b"y\0,3\n")
    assert table.frame.height == 20
    assert "a.csv: passed over 1 rows not in UTF-8 (line 22), 1 rows with NUL bytes (line 23)." in table.notes


def test_a_wide_table_and_one_column(tmp_path: Path) -> None:
    wide = "\n".join([",".join(f"c{i}" for i in range(10_000)), *[",".join(str(i + r) for i in range(10_000)) for r in range(3)]])
    frame = separated(tmp_path / "a.csv", wide).frame
    assert frame.shape == (3, 10_000)
    assert frame["c9999"].to_list() == ["9999", "10000", "10001"]
    assert separated(tmp_path / "b.csv", "a\n1\n2\n").frame["a"].to_list() == ["1", "2"]


def test_more_than_memory_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.csv", "a,b\n" + "1,2\n" * 1000)
    monkeypatch.setattr("vaeworks.data.memory.available", lambda: 30_000)
    with pytest.raises(DataError, match=r"needs 0\.0 GB of memory"):
        read_separated(path, Options())


def test_json_lines(tmp_path: Path) -> None:
    items = [{"a": 1, "b": "x"}, {"b": None, "c": True}, {"a": 2.5, "c": False, "d": [1, 2]}]
    text = "\n".join(map(json.dumps, items)) + "\n\n{\n3\n" + json.dumps({"a": 7}) * 1 + "\n" + '{"a": 0}\n' * 9
    table = read_json(written(tmp_path / "a.jsonl", text), Options())
    assert table.frame["a"].to_list()[:4] == ["1", None, "2.5", "7"]
    assert table.frame["c"].to_list()[:3] == [None, "true", "false"]
    assert any("lists and objects under d are read as text" in note for note in table.notes)
    assert any("1 that are no JSON (line 5), 1 that are no JSON object (line 6)" in note for note in table.notes)
    for content, says in (("", "it is empty"), ("[1]\n2\n", "no text|no JSON objects")):
        with pytest.raises(DataError, match=says):
            read_json(written(tmp_path / "b.jsonl", content), Options())


def test_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, None], "d": [date(2020, 1, 2), None], "s": ["x", "y"]})
    frame.write_parquet(tmp_path / "a.parquet")
    assert read_parquet(tmp_path / "a.parquet", Options()).frame.equals(frame)
    whole = (tmp_path / "a.parquet").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"PAR1 nothing"):
        with pytest.raises(DataError, match="cannot be read as Parquet"):
            read_parquet(written(tmp_path / "b.parquet", content), Options())
    frame.clear().write_parquet(tmp_path / "c.parquet")
    with pytest.raises(DataError, match="without rows"):
        read_parquet(tmp_path / "c.parquet", Options())


class _Cells:
    """What is used of a pandas Series."""

    def __init__(self, array: np.ndarray[Any, Any]):
        self.array = array

    def to_numpy(self) -> np.ndarray[Any, Any]:
        return self.array

    def isna(self) -> np.ndarray[Any, Any]:
        return np.array([cell is None or (isinstance(cell, float) and np.isnan(cell)) for cell in self.array.tolist()])


def pandas_like(columns: dict[str, np.ndarray[Any, Any]]) -> Any:
    arrays = list(columns.values())

    class Places:
        def __getitem__(self, at: tuple[slice, int]) -> _Cells:
            return _Cells(arrays[at[1]])

    kind = type("DataFrame", (), {"__module__": "pandas.core.frame", "iloc": Places(), "columns": list(columns)})
    return kind()


def test_frames_of_pandas_and_of_polars() -> None:
    frame = pandas_like(
        {
            "a": np.array([1.5, np.nan, 2]),
            "b": np.array(["x", None, "y"], dtype=object),
            "c": np.array([True, False, None], dtype=object),
            "t": np.array(["2020-01-02T03:04:05", "NaT", "2021-01-01"], dtype="M8[ns]"),
        }
    )
    assert is_frame(frame)
    table = from_frame(frame, False)
    assert table.frame["a"].to_list() == [1.5, None, 2]
    assert table.frame["b"].to_list() == ["x", None, "y"]
    assert table.frame["c"].to_list() == [True, False, None]
    assert table.frame["t"].to_list() == [datetime(2020, 1, 2, 3, 4, 5), None, datetime(2021, 1, 1)]
    polars = pl.DataFrame({"a": [1, 2]})
    assert is_frame(polars)
    assert from_frame(polars.lazy(), False).frame.equals(polars)
    assert not is_frame(np.zeros((2, 2)))
    assert from_rows([{"a": 1}, {"b": "x", "a": 2}], False).frame.rows() == [(1, None), (2, "x")]
    with pytest.raises(DataError, match="0 rows"):
        from_frame(pl.DataFrame({"a": []}), False)


def test_arrays(tmp_path: Path, rng: np.random.Generator) -> None:
    array = rng.normal(size=(7, 3)).astype(">f8")
    assert np.array_equal(from_matrix(array, "it").frame.to_numpy(), array)
    np.save(tmp_path / "a.npy", array.T.copy().T)
    assert np.array_equal(read_numpy(tmp_path / "a.npy").frame.to_numpy(), array)
    np.savez(tmp_path / "b.npz", X=array, y=np.arange(7) % 2)
    table = read_numpy(tmp_path / "b.npz")
    assert table.labels is not None
    assert table.labels.tolist() == [0, 1, 0, 1, 0, 1, 0]
    np.savez(tmp_path / "c.npz", X=array, y=array[:, 0] * 1.0, columns=np.array(["u", "v", "w"]))
    assert read_numpy(tmp_path / "c.npz").frame.columns == ["u", "v", "w", "y"]
    for wrong, says in ((np.zeros((0, 3)), "shape"), (np.zeros((3, 3), complex), "complex128")):
        with pytest.raises(DataError, match=says):
            from_matrix(wrong, "it")
    np.savez(tmp_path / "d.npz", X=array, y=np.arange(6))
    with pytest.raises(DataError, match="7 rows and y of shape"):
        read_numpy(tmp_path / "d.npz")


@pytest.fixture
def counts(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return rng.poisson(0.7, (12, 5)).astype(np.float32)


def compressed(matrix: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Rows compressed, by hand."""
    rows, columns = np.nonzero(matrix)
    return {"data": matrix[rows, columns], "indices": columns, "indptr": np.concatenate([[0], np.cumsum((matrix != 0).sum(1))])}


@pytest.mark.parametrize("layout", ["dense", "csr_matrix", "csc_matrix", "10x", "plain"])
def test_matrices_in_hdf5(tmp_path: Path, counts: np.ndarray[Any, Any], layout: str) -> None:
    h5py = pytest.importorskip("h5py")
    path, genes = tmp_path / "a.h5ad", [f"gene{i}" for i in range(5)]
    with h5py.File(path, "w") as file:
        if layout == "plain":
            file["X"], file["Y"] = counts, np.arange(12) % 3.0
        elif layout == "10x":
            group = file.create_group("matrix")
            for name, array in {**compressed(counts), "shape": [5, 12]}.items():
                group[name] = array
            file["matrix/features/name"], file["matrix/barcodes"] = genes, [f"cell{i}" for i in range(12)]
        else:
            if layout == "dense":
                file["X"] = counts
            else:
                group = file.create_group("X")
                group.attrs["encoding-type"], group.attrs["shape"] = layout, (12, 5)
                for name, array in compressed(counts if layout == "csr_matrix" else counts.T).items():
                    group[name] = array
            file["var/_index"], file["obs/_index"] = genes, [f"cell{i}" for i in range(12)]
            file["var"].attrs["_index"] = file["obs"].attrs["_index"] = "_index"
            file["obs/type/codes"], file["obs/type/categories"] = np.arange(12) % 3 - 1, ["A", "B"]
    table = read_hdf5(path)
    assert np.array_equal(table.frame.to_numpy(), counts)
    assert table.counts
    assert layout == "plain" or (table.frame.columns == genes and table.names is not None and table.names[3] == "cell3")
    if layout in {"dense", "csr_matrix", "csc_matrix"}:
        labels = read_hdf5(path, "type").labels
        assert labels is not None
        assert labels.tolist() == ["", "A", "B"] * 4
        with pytest.raises(DataError, match="obs has no column 'kind'"):
            read_hdf5(path, "kind")
    if layout == "plain":
        assert table.labels is not None
        assert table.labels.tolist() == [0, 1, 2] * 4


def test_hdf5_that_is_damaged(tmp_path: Path, counts: np.ndarray[Any, Any]) -> None:
    h5py = pytest.importorskip("h5py")
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        read_hdf5(written(tmp_path / "a.h5", b"nothing" * 100))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["other"], file["more"] = counts, counts
    with pytest.raises(DataError, match=r"no matrix named X; it has more, other"):
        read_hdf5(tmp_path / "b.h5")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        group = file.create_group("X")
        group.attrs["shape"] = (12, 3)
        for name, array in compressed(counts).items():
            group[name] = array
    with pytest.raises(DataError, match="sparse matrix is damaged"):
        read_hdf5(tmp_path / "c.h5")


def test_hdf5_without_the_package_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(DataError, match=re.escape("pip install h5py")):
        read_hdf5(written(tmp_path / "a.h5", b""))
