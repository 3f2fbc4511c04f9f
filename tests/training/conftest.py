"""A small training run in memory, every part of it in reach."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vaeworks.data import Data, Options, open_data
from vaeworks.recipes import build_objective, build_vae, choose_likelihood, conditioned, load_recipe
from vaeworks.training.loop import Loop
from vaeworks.training.trainer import Trainer

SMALL = ["encoder.hidden=[16]", "decoder.hidden=[16]", "latent_size=3"]


@functools.cache
def digits(binarise: Any, items: int, labels: int | None) -> Data:
    return open_data("digits", options=Options(limit=items, binarisation=binarise, labels=labels))


@pytest.fixture
def make_loop() -> Callable[..., Loop]:
    def make(
        binarise: str = "none",
        *,
        recipe: str = "mlp",
        items: int = 100,
        seed: int = 0,
        folder: Path | None = None,
        validate_every: int | None = None,
        progress: Any = None,
        overrides: tuple[str, ...] = (),
        labels: int | None = None,
        **knobs: Any,
    ) -> Loop:
        data = digits(binarise, items, labels)
        torch.manual_seed(seed)
        made = load_recipe(recipe, [*SMALL, *overrides]).with_likelihood(choose_likelihood(data.schema)[0])
        data = replace(data, schema=conditioned(made, data.schema))
        trainer = Trainer(**{"epochs": 8, "batch_size": 16, "precision": "float32", "compile": "off", "patience": 1.0, **knobs})
        vae, objective = build_vae(made, data.schema), build_objective(made)
        loop = Loop(trainer, vae, objective, data, folder=folder, device=torch.device("cpu"), seed=seed, progress=progress)
        if validate_every is not None:
            loop.validate_every = validate_every
        return loop

    return make


@pytest.fixture
def go() -> Callable[..., Any]:
    """Runs a loop; no checkpoints but the last one."""

    def run(loop: Loop, *, resume: bool = False, max_minutes: float | None = None, checkpoint_seconds: float = 1e9) -> Any:
        return loop.run(resume=resume, max_minutes=max_minutes, checkpoint_seconds=checkpoint_seconds)

    return run
