"""Tables in memory and in arrays: data frames, numpy arrays and files, and matrices in HDF5, AnnData's and 10x's among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.memory import require
from vaeworks.data.npy import npz_keys, read_npy, read_npz
from vaeworks.data.reading import count
from vaeworks.data.table_files import Table, named
from vaeworks.errors import DataError
from vaeworks.model.table_schema import WIDE

if TYPE_CHECKING:
    pass

__all__ = ["from_frame", "from_matrix", "from_rows", "is_frame", "npz_matrix", "read_hdf5", "read_numpy"]

MATRICES: Final = ("X", "x", "data", "table", "arr_0")
"""What an array of rows is called in a file with several."""
_LABELS: Final = ("y", "Y", "labels", "label", "targets")
_CELLS: Final = 1 << 24
"""Cells of a matrix that are read at a time."""


def is_frame(source: Any) -> bool:
    """Whether something in memory is a data frame, of polars or pandas."""
    module = type(source).__module__.partition(".")[0]
    return module in {"polars", "pandas"} and hasattr(source, "columns") and type(source).__name__ in {"DataFrame", "LazyFrame"}


def from_frame(source: Any, strict: bool) -> Table:
    """The table in a data frame of polars or pandas."""
    import polars as pl

    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    if not isinstance(source, pl.DataFrame):
        names, notes = named([str(name) for name in source.columns], "the data frame", strict)
        frame = pl.DataFrame([_series(name, source.iloc[:, i]) for i, name in enumerate(names)])
    else:
        names, notes = named(source.columns, "the data frame", strict)
        frame = source.clone()
        frame.columns = names
    if not frame.width or not frame.height:
        raise DataError(f"the data frame has {count(frame.height, 'row')} and {count(frame.width, 'column')}: give one with some of both")
    return Table(frame, "the data frame", tuple(notes))


def _series(name: str, cells: Any) -> Any:
    """A pandas column as a polars one; what it has as missing is null."""
    import polars as pl

    missing = np.asarray(cells.isna(), dtype=bool)
    array = np.asarray(cells.to_numpy())
    if array.dtype.kind == "M":
        return pl.Series(name, array.astype("datetime64[us]")).set(pl.Series(missing), None)
    if array.dtype.kind in "biuf":
        return pl.Series(name, array).set(pl.Series(missing), None)
    held = [None if gone else cell for gone, cell in zip(missing.tolist(), array.tolist(), strict=True)]
    kinds = {type(cell) for cell in held if cell is not None}
    if len(kinds) == 1 and kinds <= {bool, int, float}:
        return pl.Series(name, held)
    return pl.Series(name, [None if cell is None else str(cell) for cell in held], dtype=pl.String)


def from_rows(source: Sequence[Mapping[str, Any]], strict: bool) -> Table:
    """The table of dictionaries, one a row."""
    import polars as pl

    keys = list(dict.fromkeys(key for row in source for key in row))
    names, notes = named([str(key) for key in keys], "the rows", strict)
    frame = pl.DataFrame([pl.Series(name, [row.get(key) for row in source], strict=False) for key, name in zip(keys, names, strict=True)])
    if not frame.width:
        raise DataError("the rows are dictionaries without keys: give columns")
    return Table(frame, "the rows", tuple(notes))


def from_matrix(array: NDArray[Any], what: str, names: Sequence[str] | None = None) -> Table:
    """The table of an array (N, D), its columns called column_1 ... unless they have names. DataError for any other shape, or values that are no cells."""
    import polars as pl

    if array.ndim != 2 or not array.size:
        raise DataError(f"{what} has shape {array.shape}: give rows of columns, (N, D), with some of both")
    if array.dtype.kind not in "biufUM":
        raise DataError(f"{what} holds {array.dtype} values: give numbers or strings")
    require(array.size * array.dtype.itemsize * 2, f"{what}, of shape {array.shape},")
    if array.dtype == np.float16 or array.dtype.byteorder == ">":
        array = array.astype(np.float32 if array.dtype == np.float16 else array.dtype.newbyteorder("="))
    columns = list(names) if names is not None else [f"column_{i + 1}" for i in range(array.shape[1])]
    if array.dtype.kind == "U":
        return Table(pl.DataFrame({name: array[:, i].tolist() for i, name in enumerate(columns)}), what)
    return Table(pl.DataFrame({name: np.ascontiguousarray(array[:, i]) for i, name in enumerate(columns)}), what)


def npz_matrix(path: Path) -> str | None:
    """The name of the array of rows in a .npz file; None where it cannot be told."""
    keys = npz_keys(path)
    return next((key for key in MATRICES if key in keys), keys[0] if len(keys) == 1 else None)


def read_numpy(path: Path) -> Table:
    """The table in a .npy file, or in a .npz file under one of the usual names, with y, where it is there, as labels."""
    if path.suffix.lower() == ".npy":
        return from_matrix(read_npy(path), path.name)
    key = npz_matrix(path)
    if key is None:
        raise DataError(
            f"{path} holds no array named {', '.join(MATRICES)}; found: {', '.join(npz_keys(path)) or 'none'}: save rows as X, np.savez(file, X=...)"
        )
    keys = npz_keys(path)
    labels = next((name for name in _LABELS if name in keys and name != key), None)
    names = next((name for name in ("columns", "feature_names", "names") if name in keys), None)
    arrays = dict(zip([k for k in (key, labels, names) if k], read_npz(path, *(k for k in (key, labels, names) if k)), strict=True))
    called, told = named([str(n) for n in arrays[names].ravel()], path.name, strict=False) if names else (None, [])
    if called is not None and len(called) != arrays[key].shape[-1]:
        raise DataError(f"{path}: {names} names {len(called)} columns and {key} has shape {arrays[key].shape}: name each column")
    table = from_matrix(arrays[key], path.name, called).note(*told)
    return table if labels is None else _labelled(table, arrays[labels], labels)


def _labelled(table: Table, labels: NDArray[Any], name: str) -> Table:
    """``table`` with labels beside its rows; real numbers are a column, for they are no classes."""
    import polars as pl

    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (table.frame.height,):
        raise DataError(f"{table.source} has {table.frame.height} rows and {name} of shape {labels.shape}: give one label for each row")
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == np.rint(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "f":
        own = name if name not in table.frame.columns else f"{name}_label"
        return Table(table.frame.with_columns(pl.Series(own, labels)), table.source, table.notes).note(
            f"{name} is no class number, so it is a column."
        )
    return Table(table.frame, table.source, table.notes, labels, table.names, table.counts).note(
        f"{name} is the label of each row, and not modelled."
    )


def read_hdf5(path: Path, label: str | None = None) -> Table:
    """The matrix in an HDF5 file: X of AnnData (.h5ad), dense or sparse, the group matrix of 10x, or a data set X beside labels Y. DataError where there is none.

    Rows are cells; of AnnData the column ``label`` of obs is their label.
    """
    try:
        import h5py  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise DataError(f"{path} is an HDF5 file, and the package that reads those is not installed: pip install h5py") from error
    try:
        with h5py.File(path, "r") as file:
            return _from_hdf5(file, path, label)
    except DataError:
        raise
    except Exception as error:  # h5py raises anything on damaged files
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as HDF5 ({reason}): give a file that opens elsewhere, or copy it again") from error


def _from_hdf5(file: Any, path: Path, label: str | None) -> Table:
    import polars as pl

    tenx = "matrix" in file and "indptr" in file["matrix"]
    key = "matrix" if tenx else next((key for key in MATRICES if key in file), None)
    key = key if key is not None else next(iter(file)) if len(file) == 1 and hasattr(file[next(iter(file))], "shape") else None
    if key is None:
        raise DataError(f"{path} holds no matrix named X; it has {', '.join(list(file)[:10]) or 'nothing'}: save rows as X, or as .h5ad")
    node = file[key]
    shape = _shape(node, tenx)
    if len(shape) != 2 or min(shape) < 1:
        raise DataError(f"{path}: {key} has shape {shape}: give rows of columns, (N, D), with some of both")
    require(shape[0] * shape[1] * 4 * 4, f"{path.name}, of shape {shape},")
    matrix, told = _matrix(node, shape, tenx)
    columns = _names(file, "matrix/features/name" if tenx else "var", shape[1])
    names = _names(file, "matrix/barcodes" if tenx else "obs", shape[0])
    called, renamed = named(columns, path.name, strict=False) if columns else ([f"column_{i + 1}" for i in range(shape[1])], [])
    frame = pl.DataFrame({name: np.ascontiguousarray(matrix[:, i]) for i, name in enumerate(called)})
    counts = bool(matrix.min() >= 0) and all(bool((block == np.rint(block)).all()) for block in np.array_split(matrix, max(1, matrix.size // _CELLS)))
    table = Table(frame, path.name, (*renamed, told), names=tuple(names) if names else None, counts=counts)
    beside = next((name for name in _LABELS if name in file and name != key and hasattr(file[name], "shape")), None)
    if label is not None and "obs" in file:
        return Table(frame, path.name, table.notes, _obs(file["obs"], label, path), table.names, counts)
    return table if beside is None else _labelled(table, _decoded(file[beside][()]), beside)


def _shape(node: Any, tenx: bool) -> tuple[int, ...]:
    if hasattr(node, "shape"):
        return tuple(int(n) for n in node.shape)
    found = node.attrs.get("shape", node.attrs.get("h5sparse_shape"))
    found = node["shape"][()] if found is None else found
    rows, columns = (int(n) for n in found)
    return (columns, rows) if tenx else (rows, columns)


def _matrix(node: Any, shape: tuple[int, ...], tenx: bool) -> tuple[NDArray[Any], str]:
    """The matrix (N, D) and what to tell of how it was stored."""
    matrix = np.zeros(shape, dtype=np.float32 if shape[1] > WIDE else np.float64)
    if hasattr(node, "shape"):
        rows = max(1, _CELLS // shape[1])
        for start in range(0, shape[0], rows):
            matrix[start : start + rows] = node[start : start + rows]
        return matrix, f"A dense matrix of {shape[0]} rows and {shape[1]} columns."
    kind = node.attrs.get("encoding-type", node.attrs.get("h5sparse_format", "csr"))
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    by_row = tenx or not kind.startswith("csc")  # 10x stores columns of features by barcodes, which are rows of ours
    ends = np.asarray(node["indptr"][()], dtype=np.int64)
    number, other = (shape[0], shape[1]) if by_row else (shape[1], shape[0])
    if len(ends) != number + 1 or (np.diff(ends) < 0).any() or ends[-1] > len(node["data"]) or len(node["data"]) != len(node["indices"]):
        raise DataError("its sparse matrix is damaged: indptr does not fit its shape and data: write it again")
    lines = max(1, int(number * _CELLS / max(1, ends[-1])))
    for start in range(0, number, lines):
        stop = min(number, start + lines)
        data, index = (np.asarray(node[name][ends[start] : ends[stop]]) for name in ("data", "indices"))
        if len(index) and not (index.min() >= 0 and index.max() < other):
            raise DataError("its sparse matrix is damaged: indices lie outside its shape: write it again")
        line = np.repeat(np.arange(start, stop), np.diff(ends[start : stop + 1]))
        matrix[(line, index) if by_row else (index, line)] = data
    return matrix, f"A sparse matrix of {shape[0]} rows and {shape[1]} columns, {100 * ends[-1] / max(1, matrix.size):.1f} % of it not zero."


def _names(file: Any, where: str, length: int) -> list[str]:
    """The names of the rows or columns, where the file has them."""
    if where not in file:
        return []
    node = file[where]
    if not hasattr(node, "shape"):
        key = node.attrs.get("_index", "_index")
        key = key.decode() if isinstance(key, bytes) else str(key)
        if key not in node or not hasattr(node[key], "shape"):
            return []
        node = node[key]
    found = [str(name) for name in _decoded(node[()]).tolist()] if node.shape == (length,) and node.dtype.names is None else []
    return found if len(found) == length else []


def _obs(obs: Any, label: str, path: Path) -> NDArray[Any]:
    """The labels of AnnData's rows."""
    if label not in obs:
        raise DataError(f"{path}: obs has no column {label!r}, as --label asks for: choose one of {', '.join(list(obs)[:20])}")
    node = obs[label]
    if hasattr(node, "shape"):
        return _decoded(node[()])
    codes, categories = np.asarray(node["codes"][()]), _decoded(node["categories"][()]).astype(str)
    return np.where(codes < 0, "", categories[np.clip(codes, 0, None)])


def _decoded(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "O":
        return np.array([cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell) for cell in array.tolist()])
    return array
