"""The pictures and the page that a finished run leaves."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.evaluation import Figures
from vaeworks.model import TableSchema
from vaeworks.reporting import Report, column_charts, exhibit, latent_map, save_png, save_report
from vaeworks.runs.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["columns_of", "map_of", "originals_of", "show"]

SHOWN = 10
"""Originals and reconstructions in a picture."""
MAPPED = 5000
"""Held-out items in the latent map at most."""
CHARTED = 5000
"""Rows that the charts of columns count."""


def show(
    model: Model,
    folder: Path,
    held_out: Items,
    notes: tuple[str, ...],
    choices: tuple[str, ...],
    lines: list[dict[str, Any]],
    best_step: int,
    figures: Figures,
    command: str,
) -> None:
    """Samples and reconstructions, as items of their kind are written, latent.png and report.html into ``folder``."""
    shown, schema = held_out[: 2 * SHOWN], model.schema
    exhibits: dict[str, Any] = {
        "samples": exhibit(schema, {"samples": model.sample(64, seed=0)}),
        "reconstructions": exhibit(schema, {"original": originals_of(model, shown), "reconstruction": model.reconstruct(shown)}),
    }
    for name, items in exhibits.items():
        items.write(folder / f"{name}{items.suffixes[0]}")
    if isinstance(schema, TableSchema):
        exhibits["columns"] = columns_of(model, schema, held_out)
        save_png(exhibits["columns"], folder / "columns.png")
    exhibits["latent"] = map_of(model, held_out[:MAPPED])
    save_png(exhibits["latent"], folder / "latent.png")
    save_report(
        Report(
            title=f"{model.schema.source}: {model.recipe.name}",
            notes=notes,
            choices=choices,
            lines=lines,
            best_step=best_step,
            figures=figures,
            exhibits=exhibits,
            recipe_toml=model.recipe.to_toml(),
            command=command,
            versions={"vaeworks": metadata.version("vaeworks"), "torch": torch.__version__, "Python": platform.python_version()},
        ),
        folder / "report.html",
    )


def map_of(model: Model, items: Items) -> Figure:
    """The latent map of ``items``."""
    normal = model.recipe["prior"]["kind"] == "standard-normal" and model.recipe["posterior"]["kind"] != "point"

    def decode(z: Tensor) -> Tensor:
        """A conditional model's map shows its first class."""
        return model.decode(z, model.context(len(z), {"label": model.schema.classes[0]} if model.schema.context == "label" else None))

    return latent_map(model.encode(items), items.labels, model.schema.classes, decode, model.schema, normal_prior=normal)


def columns_of(model: Model, schema: TableSchema, items: Items) -> Figure:
    """The columns of ``items`` beside those of as many samples."""
    mixed = items[torch.randperm(len(items), generator=torch.Generator().manual_seed(0))[:CHARTED]]
    real, drawn = originals_of(model, mixed), model.sample(CHARTED, seed=0)
    return column_charts(schema.to_frame(real), schema.to_frame(drawn))


def originals_of(model: Model, items: Items) -> Tensor:
    """x of ``items``, as the model saw them; what lies beyond an item's end is NaN where x is real."""
    batch = items.batch(model.schema, slice(None), torch.Generator().manual_seed(0))
    beyond = batch.observed is not None and batch.x.is_floating_point()
    return batch.x.masked_fill(~batch.observed, torch.nan) if beyond and batch.observed is not None else batch.x
