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
from vaeworks.reporting import Report, grid, latent_map, pairs, save_png, save_report
from vaeworks.runs.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["map_of", "originals_of", "show"]

SHOWN = 10
"""Originals and reconstructions in a picture."""
MAPPED = 5000
"""Held-out items in the latent map at most."""


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
    """samples.png, reconstructions.png, latent.png and report.html into ``folder``."""
    samples = model.sample(64, seed=0)
    shown = held_out[: 2 * SHOWN]
    originals = originals_of(model, shown)
    mapped = held_out[:MAPPED]
    pictures: dict[str, Any] = {
        "samples": grid(model.schema, samples),
        "reconstructions": pairs(model.schema, originals, model.reconstruct(shown)),
        "latent": map_of(model, mapped),
    }
    for name, picture in pictures.items():
        save_png(picture, folder / f"{name}.png")
    save_report(
        Report(
            title=f"{model.schema.source}: {model.recipe.name}",
            notes=notes,
            choices=choices,
            lines=lines,
            best_step=best_step,
            figures=figures,
            images=pictures,
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


def originals_of(model: Model, items: Items) -> Tensor:
    """x of ``items``, in [0, 1], as the model saw them."""
    return model.schema.to_x(items.values, torch.Generator().manual_seed(0))
