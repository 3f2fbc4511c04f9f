"""The artifact: weights as safetensors, the schema as JSON, the recipe as TOML. Reading it runs no code."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from vaeworks.errors import ArtifactError
from vaeworks.files import read_tensors, replace_file, write_tensors
from vaeworks.model import Schema

__all__ = ["load_artifact", "save_artifact"]

WEIGHTS, SCHEMA, RECIPE = "model.safetensors", "schema.json", "recipe.toml"


def save_artifact(folder: Path, state: dict[str, Tensor], schema: Schema, recipe: str) -> Path:
    """Write the three files into ``folder``; ArtifactError where the disk refuses, with each file either old or new."""
    write_tensors(folder / WEIGHTS, state, {"format": "vaeworks", "version": 1})
    replace_file(folder / SCHEMA, json.dumps(schema.to_json(), indent=2).encode())
    replace_file(folder / RECIPE, recipe.encode())
    return folder


def load_artifact(folder: Path) -> tuple[dict[str, Tensor], Schema, str]:
    """(weights, schema, recipe as TOML) of ``folder``; ArtifactError naming the file that is missing or damaged."""
    if not folder.is_dir():
        raise ArtifactError(f"no run folder {folder}: give the folder that `vae train -o` wrote")
    for name in (WEIGHTS, SCHEMA, RECIPE):
        if not (folder / name).is_file():
            hint = "; training has not finished: go on with `vae train ... --resume`" if (folder / "checkpoint").is_dir() else ""
            raise ArtifactError(f"{folder} is no complete run folder: {name} is missing{hint}")
    state, _ = read_tensors(folder / WEIGHTS)
    try:
        schema = Schema.from_json(json.loads((folder / SCHEMA).read_text("utf-8")))
        return state, schema, (folder / RECIPE).read_text("utf-8")
    except (ValueError, AttributeError) as error:
        raise ArtifactError(f"{folder / SCHEMA} is damaged: {error}") from error
