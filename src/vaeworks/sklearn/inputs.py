"""What a scikit-learn user gives, arrays, lists and data frames, as rows of a table or as pictures, and model items as what the user gave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl  # here, for scikit-learn looks into it where another thread is importing it
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data
from torch import Tensor

from vaeworks.data import Data, Items, Options, open_data, read_items
from vaeworks.data.table_arrays import is_frame
from vaeworks.data.tables import frame_of
from vaeworks.errors import DataError
from vaeworks.model import ImageSchema, Schema, TableSchema

__all__ = ["Pixels", "Rows", "checked"]

LEVELS: Final = 255
"""Of 8-bit pixels, the highest."""


def checked(estimator: BaseEstimator, X: Any, *, reset: bool, words: bool) -> Any:  # noqa: N803
    """X as scikit-learn checks it: an array (N, D) of numbers, NaN where missing; a polars frame where columns are of several kinds, or ``words``.

    ``reset`` notes the number and the names of the features, which are compared otherwise. ValueError or TypeError as of any estimator.
    """
    named = is_frame(X)
    words = words or (not _numeric(X) if named else _worded(X))
    least = 2 if reset else 1
    if not words:
        return validate_data(estimator, X, reset=reset, ensure_all_finite="allow-nan", ensure_min_samples=least)
    if not named:
        cells = validate_data(estimator, X, reset=reset, dtype=None, ensure_all_finite=False, ensure_min_samples=least)
        return _finite(_frame_of_cells(cells, _columns(cells.shape[1])))
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    try:
        frame = frame_of(X, Options())
    except DataError as error:
        raise ValueError(str(error)) from error
    if frame.height < least:
        raise ValueError(f"Found a data frame with {frame.height} sample(s) while a minimum of {least} is required by {type(estimator).__name__}.")
    return _finite(frame)


def _numeric(frame: Any) -> bool:
    """Whether every column of a data frame holds plain numbers."""
    return all(dtype.is_numeric() if hasattr(dtype, "is_numeric") else getattr(dtype, "kind", "O") in "iuf" for dtype in _dtypes(frame))


def _dtypes(frame: Any) -> list[Any]:
    return list(frame.collect_schema().values()) if hasattr(frame, "collect_schema") else list(frame.dtypes)


def _worded(X: Any) -> bool:  # noqa: N803
    """Whether an array, or nested lists, hold strings."""
    if not hasattr(X, "dtype"):
        try:
            X = np.asarray(X)  # noqa: N806
        except ValueError:  # rows of several lengths, of which scikit-learn tells
            return False
    if not isinstance(X, np.ndarray):
        return False
    return X.dtype.kind == "U" or (X.dtype.kind == "O" and any(isinstance(cell, str) for cell in X.ravel()))


def _columns(number: int) -> list[str]:
    """Names of columns that have none, as scikit-learn names them."""
    return [f"x{i}" for i in range(number)]


def _frame_of_cells(X: NDArray[Any], names: list[str]) -> pl.DataFrame:  # noqa: N803
    """An array (N, D) of cells of any kind as a frame: a column of numbers where all cells are, else of strings; None and NaN are missing."""
    columns = []
    for name, cells in zip(names, X.T.tolist(), strict=True):
        held = [None if cell is None or (isinstance(cell, float) and math.isnan(cell)) else cell for cell in cells]
        numbers = all(cell is None or isinstance(cell, int | float) for cell in held)
        told: list[Any] = [None if cell is None else float(cell) if numbers else str(cell) for cell in held]
        columns.append(pl.Series(name, told, dtype=pl.Float64 if numbers else pl.String))
    return pl.DataFrame(columns)


def _finite(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame; ValueError where a number in it is infinite."""
    for column in frame:
        if column.dtype.is_float() and column.is_infinite().any():
            raise ValueError(f"Input X contains infinity in column {column.name!r}: replace it, or mark it as missing (None or NaN).")
    return frame


@dataclass(frozen=True)
class Rows:
    """Rows of a table: numbers and categories, of which some may be missing."""

    container: str
    """What they were given in, and are given back in: numpy, pandas or polars."""
    words: bool
    """Whether they are a frame of columns of several kinds, not an array of numbers."""
    names: tuple[str, ...]
    """Of the columns."""

    @classmethod
    def of(cls, X: Any, given: Any, names: Any) -> Rows:  # noqa: N803
        """Rows like X, which is what ``checked`` made of ``given``, with the names of their features or None."""
        words = not isinstance(X, np.ndarray)
        container = type(given).__module__.partition(".")[0] if is_frame(given) else "numpy"
        return cls(container, words, tuple(X.columns) if words else tuple(_columns(X.shape[1]) if names is None else map(str, names)))

    def open(self, X: Any, columns: Mapping[Any, str] | str | None, validation: float, seed: int) -> Data:  # noqa: N803
        """The rows to learn from, their columns of the kinds that their cells tell, or that ``columns`` says; DataError where there is nothing to learn."""
        asked = dict.fromkeys(self.names, columns) if isinstance(columns, str) else dict(columns or {})
        wanted = tuple(
            (self.names[name] if isinstance(name, int) and -len(self.names) <= name < len(self.names) else name, k) for name, k in asked.items()
        )
        return open_data(self._frame(X), options=Options(kind="table", columns=wanted, validation=validation, test=0.0, seed=seed))

    def items(self, X: Any, schema: Schema) -> Items:  # noqa: N803
        """The rows as a model of ``schema`` knows them."""
        return read_items(self._frame(X), schema, options=Options(kind="table"))

    def _frame(self, X: Any) -> Any:  # noqa: N803
        if self.words:
            return X
        X = X if X.dtype.kind in "iub" or X.dtype in {np.dtype(np.float32), np.dtype(np.float64)} else X.astype(np.float64)  # noqa: N806
        return pl.DataFrame({name: np.ascontiguousarray(X[:, i]) for i, name in enumerate(self.names)})

    def back(self, x: Tensor, schema: Schema) -> Any:
        """Items x (N, D) in the columns and the container that rows were given in."""
        assert isinstance(schema, TableSchema)
        frame = schema.to_frame(x)
        if self.container == "numpy":
            return frame.to_numpy() if self.words else frame.cast(pl.Float64, strict=False).to_numpy()
        if self.container == "polars":
            return frame
        import pandas as pd  # type: ignore[import-untyped, unused-ignore]

        return pd.DataFrame({name: frame[name].to_numpy() for name in frame.columns})


@dataclass(frozen=True)
class Pixels:
    """Pictures, each a row of its pixels, channel by channel and line by line."""

    shape: tuple[int, int, int]
    """(C, H, W)."""
    unit: float = 1.0
    """What one level of brightness counts in the rows."""

    @classmethod
    def of(cls, X: NDArray[Any], shape: tuple[int, ...]) -> Pixels:  # noqa: N803
        """Pictures like those in X (N, C H W), of ``shape`` (H, W) or (C, H, W); ValueError where the numbers do not fit it."""
        full = (1, *shape) if len(shape) == 2 else tuple(shape)
        if len(full) != 3 or any(not isinstance(edge, int | np.integer) or edge < 1 for edge in full) or int(np.prod(full)) != X.shape[1]:
            raise ValueError(f"image_shape={shape} does not fit rows of {X.shape[1]} pixels: give (height, width) or (channels, height, width)")
        return cls((int(full[0]), int(full[1]), int(full[2])))

    def open(self, X: NDArray[Any], validation: float, seed: int) -> tuple[Pixels, Data]:  # noqa: N803
        """The pictures to learn from, and how their rows are read from now on."""
        data = open_data(X.reshape(-1, *self.shape), options=Options(kind="image", validation=validation, test=0.0, seed=seed))
        assert isinstance(data.schema, ImageSchema)
        high = float(X.max())
        unit = 1.0 if data.schema.levels == 0 else high if data.schema.levels == 2 else 1 / LEVELS if high <= 1 else 1.0
        return Pixels(self.shape, unit or 1.0), data

    def items(self, X: NDArray[Any], schema: Schema) -> Items:  # noqa: N803
        """The pictures as a model of ``schema`` knows them; ValueError where they are of other levels than those that it learned from."""
        assert isinstance(schema, ImageSchema)
        pictures = X.reshape(-1, *self.shape)
        if np.isnan(pictures).any():
            raise ValueError("Input X contains NaN, and pictures cannot: fill the pixels in first.")
        if schema.levels == 0:
            return Items(torch.from_numpy(pictures.astype(np.float32)))
        scaled = pictures.astype(np.float64) / self.unit
        levels = np.rint(scaled)
        if (np.abs(levels - scaled) > 1e-3).any() or levels.min() < 0 or levels.max() >= schema.levels:
            raise ValueError(
                f"pixels in {X.min():g} .. {X.max():g} are not of the {schema.levels} levels, {self.unit:g} apart from 0, that the model learned from: scale them as in fit"
            )
        return Items(torch.from_numpy(levels.astype(np.uint8)))

    def back(self, x: Tensor, schema: Schema) -> NDArray[np.float64]:
        """Items x (N, C, H, W) as rows of pixels (N, C H W)."""
        values = schema.to_values(x).double().flatten(1).numpy()
        return np.asarray(values * self.unit, dtype=np.float64)
