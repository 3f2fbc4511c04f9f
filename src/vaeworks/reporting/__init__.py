"""Reporting: items as people look at them, the latent map, and the page that tells how a run went."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vaeworks.model import Schema
from vaeworks.reporting.column_charts import column_charts
from vaeworks.reporting.exhibits import Exhibit, Remains
from vaeworks.reporting.findings import Diagnosis, Examined, Finding
from vaeworks.reporting.frames import Rows, write_frame
from vaeworks.reporting.heatmaps import heat_map_sheet
from vaeworks.reporting.latent_map import latent_map, quantile_grid
from vaeworks.reporting.pictures import Pictures, grid, png, rows, save_png
from vaeworks.reporting.report import Report, render, save_report
from vaeworks.reporting.sections import Dimensions
from vaeworks.reporting.sounds import Sounds
from vaeworks.reporting.texts import Texts

__all__ = [
    "EXHIBITS", "Diagnosis", "Dimensions", "Examined", "Exhibit", "Finding", "Pictures", "Remains", "Report", "Rows", "Sounds", "Texts", "column_charts",
    "exhibit", "grid", "heat_map_sheet", "latent_map", "png", "quantile_grid", "render", "rows", "save_png", "save_report", "write_frame",
]  # fmt: skip

EXHIBITS: dict[str, type[Exhibit[Any]]] = {"image": Pictures, "text": Texts, "audio": Sounds, "table": Rows}
"""How items of each kind are shown."""


def exhibit(schema: Schema, versions: Mapping[str, Tensor], names: tuple[str, ...] | None = None, *, in_order: bool = False) -> Exhibit[Any]:
    """Versions of the same items by name, x (N, *shape) each, as their kind is shown; ``in_order`` where they are a path."""
    return EXHIBITS[schema.kind](schema, versions, names, in_order=in_order)
