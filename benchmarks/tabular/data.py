"""The tables of the comparisons, read alike for all contestants, and their splits."""

__all__ = ["TABLES", "Table", "split"]

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl


@dataclass(frozen=True)
class Table:
    """A file, and what is known of it: every contestant is told which columns are categories."""

    file: str
    target: str
    categories: tuple[str, ...]
    separator: str = ","
    marks_missing: bool = False
    """Whether `?` marks what is not known: a category to all, as in the papers."""

    def read(self, folder: Path) -> pl.DataFrame:
        """All rows; strings without the spaces around them; empty cells are null."""
        frame = pl.read_csv(folder / self.file, separator=self.separator, infer_schema_length=None)
        return frame.with_columns(pl.col(pl.String).str.strip_chars())

    def kinds(self, frame: pl.DataFrame) -> dict[str, str]:
        """The kind of each column, "number" or "category"."""
        return {name: "category" if name in self.categories else "number" for name in frame.columns}


TABLES = {
    "adult": Table(
        "adult.csv",
        "income",
        ("workclass", "education", "marital-status", "occupation", "relationship", "race", "sex", "native-country", "income"),
        marks_missing=True,
    ),
    "housing": Table("california_housing.csv", "median_house_value", ("ocean_proximity",)),
    "wine": Table("winequality-red.csv", "quality", (), ";"),
}


def split(rows: int, seed: int, share: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the first ``share`` of a permutation of the rows, and of the others."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(rows)
    cut = round(share * rows)
    return order[:cut], order[cut:]
