"""Sources of tables: files, frames and arrays, opened to learn from, or read for a model that has learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from vaeworks.data.arrays import name_labels, name_strings
from vaeworks.data.columns import Draft, infer, tell
from vaeworks.data.conform import relabel
from vaeworks.data.hub_items import official, split_rows
from vaeworks.data.hub_store import Stored, held
from vaeworks.data.items import Data, Items
from vaeworks.data.labels import keep_labels
from vaeworks.data.margins import fit
from vaeworks.data.memory import require
from vaeworks.data.missing import missing
from vaeworks.data.npy import shapes
from vaeworks.data.options import Options
from vaeworks.data.parts import chosen_part, parted
from vaeworks.data.raw import TRAIN, Raw
from vaeworks.data.reading import count
from vaeworks.data.split import choose, split
from vaeworks.data.table_arrays import from_frame, from_matrix, from_rows, is_frame, npz_matrix, read_hdf5, read_numpy
from vaeworks.data.table_files import TEXTUAL, Table, read_json, read_parquet, read_separated
from vaeworks.data.text_files import suffix
from vaeworks.errors import DataError
from vaeworks.model import Column, TableSchema
from vaeworks.model.cells import clean
from vaeworks.model.table_schema import WIDE

if TYPE_CHECKING:
    from polars import DataFrame, Series

__all__ = ["frame_of", "is_table", "open_tables", "read_tables"]

_HDF5: Final = frozenset({".h5", ".hdf5", ".h5ad"})
_FEW: Final = 20
"""Different strings up to which a column that is alone is categories, not text."""


def open_tables(source: Any, options: Options) -> Data:
    """``open_data`` for tables: kinds and grids of columns are told from all rows, margins and categories from the training rows alone."""
    table = _load(source, options)
    drafts, told = infer(table, options)
    if all(draft.numbers is None for draft in drafts):
        raise _nothing(table.source, [draft.column for draft in drafts], drafts)
    raw = choose(_raw(table, drafts, options).note(*told), options)
    parts, split_notes = split(raw, options)
    raw = keep_labels(raw, parts, options)
    columns, values, observed, notes = fit(drafts, raw.values, parts == TRAIN)
    if not values.shape[1]:
        raise _nothing(raw.source, columns, drafts)
    train = values[parts == TRAIN][observed[parts == TRAIN]].astype(np.float64)
    schema = TableSchema(
        shape=(values.shape[1],),
        table=tuple(columns),
        classes=raw.classes,
        source=raw.source,
        count=int((parts == TRAIN).sum()),
        mean=float(train.mean()) if len(train) else 0.0,
        std=float(train.std()) if len(train) else 1.0,
    )
    raw = replace(raw, values=values, observed=None if observed.all() else observed)
    return parted(raw, parts, schema, [*tell(drafts, columns), *notes, *split_notes])


def _nothing(source: str, columns: Sequence[Column], drafts: Sequence[Draft]) -> DataError:
    return DataError(
        f"{source} has no column to learn from: {' '.join(tell(drafts, columns))[:500]} "
        f"Give a table with numbers or categories, or say what its columns are with --column NAME=KIND"
    )


def read_tables(source: Any, schema: TableSchema, options: Options) -> Items:
    """``read_items`` for tables."""
    table = _load(source, options)
    drafts = infer(table, replace(options, strict=False))[0] if options.split not in {None, "all"} else []
    values, observed, notes = schema.encode(table.frame, strict=options.strict)
    raw = _raw(table, drafts, options, _identifier(schema, table))
    if options.say is not None and notes:
        options.say(f"{raw.source}: {' '.join(notes)}")
    if not drafts:
        raw = replace(raw, values=np.arange(len(raw)))
    places = replace(raw, factors=np.arange(len(raw))[:, None])  # which rows were chosen
    chosen = chosen_part(relabel(choose(places, options), schema), options, "all")
    assert chosen.factors is not None
    index = chosen.factors[:, 0]
    return replace(chosen, values=values[index], observed=None if bool(observed.all()) else observed[index], factors=None)


def frame_of(source: Any, options: Options) -> DataFrame:
    """The cells of a source as they are, a polars frame."""
    with held(source, replace(options, kind="table")) as (found, reading):
        return _load(found, reading).frame


def is_table(source: Any, options: Options) -> bool:
    """Whether a source holds a table: a frame, dictionaries, an array (N, D), a file of such; separated text, JSON lines and Parquet where they are not one column of text."""
    if isinstance(source, Stored):
        return source.kind == "flat" and not _is_text(source.file(source.splits[0]), options)
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if not path.is_file():
            return False
        return suffix(path) in _HDF5 or _is_flat(path) or (suffix(path) in TEXTUAL and not _is_text(path, options))
    if isinstance(source, np.ndarray | torch.Tensor):
        return source.ndim == 2 and not isinstance(source, np.ma.MaskedArray)
    return is_frame(source) or _is_rows(source)


def _is_rows(source: Any) -> bool:
    return isinstance(source, Sequence) and not isinstance(source, str) and len(source) > 0 and all(isinstance(row, Mapping) for row in source)


def _is_flat(path: Path) -> bool:
    """Whether a file holds an array (N, D)."""
    if path.suffix.lower() not in {".npy", ".npz"}:
        return False
    try:
        if path.suffix.lower() == ".npy":
            return len(shapes(path)[""]) == 2
        key = npz_matrix(path)
        return key is not None and len(shapes(path, key)[key]) == 2
    except (DataError, OSError):
        return False


def _is_text(path: Path, options: Options) -> bool:
    """Whether the first rows of a file that may be either have nothing but a column of text, beside the label, identifiers and constants."""
    if options.columns:
        return False
    if any(asked is not None for asked in (options.column, options.by, options.tokenizer, options.vocabulary, options.length)):
        return True
    try:
        table = _read(path, replace(options, strict=False), head=True)
        drafts, _ = infer(table, replace(options, strict=False, label=options.label if options.label in table.frame.columns else None))
    except DataError:
        return suffix(path) in {".jsonl", ".ndjson"}  # lines of JSON that are no objects are text, or nothing
    modelled = [draft for draft in drafts if draft.numbers is not None]
    if len(drafts) == 1 and modelled and modelled[0].column.kind == "categorical" and modelled[0].column.dtype == "String":
        return len(modelled[0].column.categories) > _FEW
    strings = [draft for draft in drafts if draft.column.kind in {"text", "identifier"} and _is_prose(table.frame[draft.column.name])]
    return not modelled and bool(strings)


def _is_prose(cells: Series) -> bool:
    """Whether cells are strings and not all numbers or UUIDs."""
    import polars as pl

    return cells.dtype == pl.String and not bool(cells.drop_nulls().head(100).str.contains(r"^[-+0-9.]+$|^[0-9a-fA-F-]{36}$").all())


def _load(source: Any, options: Options) -> Table:
    """The table of a source, of one row at least."""
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if not path.exists():
            raise missing(path, str(source))
        if path.is_dir():
            raise DataError(f"{path} is a folder, and a table is a file: give one, such as .csv or .parquet")
        table = _read(path, options)
    elif isinstance(source, Stored):
        table = _from_splits(source, options)
    elif is_frame(source):
        table = from_frame(source, options.strict)
    elif isinstance(source, torch.Tensor | np.ndarray):
        array = source.detach().float().cpu().numpy() if isinstance(source, torch.Tensor) and source.dtype == torch.bfloat16 else source
        table = from_matrix(array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array, "the array")
    elif _is_rows(source):
        table = from_rows(source, options.strict)
    else:
        raise DataError(f"a source of type {type(source).__name__} is no table: give a path, a data frame, an array (N, D) or dictionaries")
    if options.label is not None and table.labels is None:
        if options.label not in table.frame.columns:
            raise DataError(
                f"{table.source} has no column {options.label!r}, as --label asks for: choose one of {', '.join(table.frame.columns[:20])}"
            )
        if table.frame.width == 1:
            raise DataError(f"{table.source} has no column beside the label {options.label!r}: give columns to learn from")
    return table


def _from_splits(stored: Stored, options: Options) -> Table:
    """The rows of all splits of a data set, in order, each with its part."""
    import polars as pl

    tables = split_rows(stored, lambda path: read_parquet(path, options))
    parts = official(stored)
    kept = f"The splits {', '.join(stored.splits)} are kept as the official split." if parts else ""
    own = None if parts is None else np.repeat(np.array(parts, dtype=np.int8), [table.frame.height for table in tables])
    return Table(pl.concat([table.frame for table in tables], how="vertical_relaxed"), stored.source, parts=own).note(kept, *stored.notes)


def _read(path: Path, options: Options, *, head: bool = False) -> Table:
    kind = suffix(path)
    try:
        if kind in _HDF5:
            return read_hdf5(path, options.label)
        if kind in {".npy", ".npz"}:
            return read_numpy(path)
        if kind == ".parquet":
            return read_parquet(path, options, head=head)
        if kind in {".jsonl", ".ndjson"}:
            return read_json(path, options, head=head)
        return read_separated(path, options, head=head)
    except OSError as error:
        raise DataError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error


def _raw(table: Table, drafts: Sequence[Draft], options: Options, identifier: str | None = None) -> Raw:
    """The raw values (N, D) of what is modelled, NaN where missing, by which rows are split, with labels and names."""
    height = table.frame.height
    found = [draft.numbers for draft in drafts if draft.numbers is not None]
    require(height * len(found) * 8 * 3, f"{table.source}, of {count(height, 'row')} and {count(len(found), 'column')},")
    whole = len(found) > WIDE and table.counts
    values = np.empty((height, len(found)), dtype=np.float32 if whole else np.float64)
    for j, numbers in enumerate(found):
        values[:, j] = numbers + 0.0
    values[np.isnan(values)] = np.nan  # one NaN, and one zero, so that copies have the same bytes
    raw = Raw(values, 0, table.source, names=table.names, parts=table.parts).note(
        f"{table.source}: {count(height, 'row')} of {count(table.frame.width, 'column')}."
    )
    raw = raw.note(*table.notes)
    own = next((d.column.name for d in drafts if d.column.kind == "identifier"), None) if identifier is None else identifier
    if raw.names is None and own is not None and not table.frame[own].null_count():
        raw = replace(raw, names=tuple(map(str, table.frame[own].to_list())))
    if table.labels is not None:
        labels = table.labels
        return name_strings(raw, labels.tolist()) if labels.dtype.kind in "US" else name_labels(raw, labels)
    return raw if options.label is None else _labelled(raw, table.frame[options.label])


def _labelled(raw: Raw, cells: Series) -> Raw:
    """``raw`` with the labels in a column."""
    import polars as pl

    if cells.dtype.is_integer() and not cells.null_count():
        return name_labels(raw, cells.to_numpy())
    bare = clean(cells.cast(pl.String))
    whole = bare.drop_nulls().str.contains(r"^-?\d{1,15}(\.0+)?$").all()
    if whole and not bare.null_count():
        return name_labels(raw, bare.cast(pl.Float64).cast(pl.Int64).to_numpy())
    return name_strings(raw, bare.fill_null("").to_list())


def _identifier(schema: TableSchema, table: Table) -> str | None:
    return next((column.name for column in schema.table if column.kind == "identifier" and column.name in table.frame.columns), None)
