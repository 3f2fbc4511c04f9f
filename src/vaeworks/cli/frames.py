"""Codes and scores as tables: Parquet, CSV or NumPy."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.errors import DataError
from vaeworks.files import replace_file
from vaeworks.model import Schema, TextSchema

if TYPE_CHECKING:
    from vaeworks.runs import Scores

__all__ = ["attribution_columns", "item_columns", "read_codes", "score_columns", "write_codes", "write_table"]


def item_columns(items: Items, classes: Sequence[str]) -> dict[str, Any]:
    """The columns that say which item a row is: its number, and its name and label where it has them."""
    columns: dict[str, Any] = {"item": list(range(len(items)))}
    if items.names is not None:
        columns["name"] = list(items.names)
    if items.labels is not None:
        columns["label"] = [classes[i] if 0 <= i < len(classes) else str(i) for i in items.labels.tolist()]
    return columns


def score_columns(scores: Scores) -> dict[str, Any]:
    """log p(x) with its errors, the statistic, and what there is of p-values and a selection."""
    found = scores.log_prob
    columns = {
        "log_px": found.value,
        "standard_error": found.standard_error,
        "effective_sample_size": found.effective_sample_size,
        "elbo": found.elbo,
    }
    columns |= {"statistic": scores.values} | ({} if scores.p_values is None else {"p_value": scores.p_values})
    arrays: dict[str, Any] = {name: column.double().cpu().numpy() for name, column in columns.items()}
    return arrays if scores.selected is None else arrays | {"selected": scores.selected.cpu().numpy()}


def attribution_columns(schema: Schema, x: Tensor, terms: Tensor) -> dict[str, Any]:
    """What of items x (N, *event) is strange, ``terms`` (N, *event) in nats: a column because_NAME for each coordinate that has a name; of text one, because, with every token
    and its nats as JSON."""
    if isinstance(schema, TextSchema):
        pairs = (list(zip(pieces, row.tolist(), strict=False)) for pieces, row in zip(schema.pieces(x), terms, strict=True))
        return {"because": [json.dumps([(piece, round(nats, 4)) for piece, nats in row], ensure_ascii=False) for row in pairs]}
    names = schema.coordinate_names or tuple(str(i) for i in range(schema.dimensions))
    return {f"because_{name}": column.numpy() for name, column in zip(names, terms.flatten(1).double().unbind(1), strict=True)}


def write_table(path: Path, columns: dict[str, Any]) -> None:
    """Columns to .parquet or .csv, atomically."""
    import polars as pl

    from vaeworks.reporting import write_frame

    write_frame(pl.DataFrame(columns), path)


def write_codes(path: Path, z: Tensor, items: Items, classes: Sequence[str]) -> None:
    """Codes (N, D) as columns z0 ... beside the items' own columns; .npy holds the codes alone."""
    if path.suffix.lower() == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, z.numpy())
        replace_file(path, buffer.getvalue())
        return
    write_table(path, item_columns(items, classes) | {f"z{i}": z[:, i].numpy() for i in range(z.shape[1])})


def read_codes(path: Path, size: int) -> tuple[Tensor, tuple[str, ...] | None]:
    """(codes (N, size), names or None) from .parquet, .csv or .npy; DataError naming the file and what is wrong with it."""
    if not path.is_file():
        raise DataError(f"no file {path}: give the codes that `vae encode` wrote")
    import polars as pl

    try:
        if path.suffix.lower() == ".npy":
            codes = np.load(path, allow_pickle=False)
            if codes.ndim != 2 or codes.dtype.kind not in "fiu":
                raise DataError(f"{path} holds an array of shape {codes.shape} and type {codes.dtype}: codes are numbers of shape (N, {size})")
            return torch.from_numpy(codes.astype(np.float32)), None
        frame = pl.read_csv(path) if path.suffix.lower() == ".csv" else pl.read_parquet(path)
        missing = [f"z{i}" for i in range(size) if f"z{i}" not in frame.columns]
        if missing:
            raise DataError(f"{path} lacks the columns {', '.join(missing[:5])}: this model's codes have z0 to z{size - 1}")
        codes = frame.select([pl.col(f"z{i}").cast(pl.Float32) for i in range(size)]).to_numpy()
        names = tuple(str(name) for name in frame["name"]) if "name" in frame.columns else None
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read as a table of codes: {str(error).splitlines()[0]}") from error
    return torch.from_numpy(np.ascontiguousarray(codes)), names
