"""The pictures and the page that a finished run leaves."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.evaluation import Figures
from vaeworks.evaluation.latent_use import LatentUse
from vaeworks.model import TableSchema
from vaeworks.reporting import Diagnosis, Dimensions, Report, column_charts, exhibit, latent_map, save_png, save_report
from vaeworks.runs.model import Model
from vaeworks.runs.paths import interpolations, traversals
from vaeworks.runs.story import Story

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["columns_of", "exhibits_of", "map_of", "originals_of", "page", "show"]

SHOWN = 10
"""Originals and reconstructions in a picture."""
MAPPED = 5000
"""Held-out items in the latent map at most."""
CHARTED = 5000
"""Rows that the charts of columns count."""


def show(model: Model, folder: Path, held_out: Items, story: Story, figures: Figures, diagnosis: Diagnosis, use: LatentUse | None) -> None:
    """Samples and reconstructions, as items of their kind are written, latent.png and report.html into ``folder``."""
    exhibits = exhibits_of(model, held_out, use)
    for name in ("samples", "reconstructions"):
        exhibits[name].write(folder / f"{name}{exhibits[name].suffixes[0]}")
    for name in ("columns", "latent"):
        if name in exhibits:
            save_png(exhibits[name], folder / f"{name}.png")
    made = page(model, story, figures, exhibits, diagnosis, use)
    save_report(replace(made, again=f"vae report {shlex.quote(str(folder))}"), folder / "report.html")


def page(
    model: Model,
    story: Story,
    figures: Figures | Mapping[str, Any],
    exhibits: Mapping[str, Any],
    diagnosis: Diagnosis | None,
    use: LatentUse | None,
    *,
    warning: str = "",
) -> Report:
    """What the page of a run tells; ``warning`` stands at its top."""
    dimensions = None
    if use is not None:
        first = use.classes
        dimensions = Dimensions(use.activity[first:].tolist(), None if use.kl is None else use.kl[first:].tolist(), first)
    return Report(
        title=f"{model.schema.source}: {model.recipe.name}",
        warning=warning,
        notes=story.notes,
        choices=(*story.choices, *((story.ending,) if story.ending else ())),
        lines=story.lines,
        best_step=story.best_step,
        figures=figures,
        exhibits=exhibits,
        diagnosis=diagnosis,
        dimensions=dimensions,
        recipe_toml=model.recipe.to_toml(),
        command=story.command,
        versions=story.versions,
    )


def exhibits_of(model: Model, held_out: Items, use: LatentUse | None) -> dict[str, Any]:
    """What the page shows, by name and in order."""
    shown, schema = held_out[: 2 * SHOWN], model.schema
    exhibits: dict[str, Any] = {
        "samples": exhibit(schema, {"samples": model.sample(64, seed=0)}),
        "reconstructions": exhibit(schema, {"original": originals_of(model, shown), "reconstruction": model.reconstruct(shown)}),
    }
    if isinstance(schema, TableSchema):
        exhibits["columns"] = columns_of(model, schema, held_out)
    exhibits["traversals"] = None if use is None else traversals(model, use)
    exhibits["interpolation"] = interpolations(model, held_out)
    exhibits["latent"] = map_of(model, held_out[:MAPPED])
    return {name: shown for name, shown in exhibits.items() if shown is not None}


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
