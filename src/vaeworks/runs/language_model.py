"""The language model that a VAE of text is measured beside: the same decoder without z, trained the same way."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vaeworks.data import Data
from vaeworks.errors import ArtifactError
from vaeworks.files import read_tensors, write_tensors
from vaeworks.model import VAE, Decoder
from vaeworks.networks import DECODER_NETWORKS
from vaeworks.objectives import ELBO
from vaeworks.priors import StandardNormalPrior
from vaeworks.recipes import Recipe, build_trainer
from vaeworks.training import History, Progress

__all__ = ["WEIGHTS", "language_model", "load_language_model", "train_language_model"]

WEIGHTS = "language-model.safetensors"
"""Its file in a run folder; it is trained in the folder ``language-model`` there."""


class _Nothing(nn.Module):
    """x (B, *event) -> q(z | x) over codes of no dimension: every KL is zero, and the ELBO is log p(x)."""

    def forward(self, x: Tensor, observed: Tensor | None = None, context: Tensor | None = None) -> Distribution:
        empty = torch.empty(len(x), 0, device=x.device)
        return Independent(Normal(empty, empty, validate_args=False), 1, validate_args=False)


def language_model(recipe: Recipe, vae: VAE) -> VAE:
    """A model of the data of ``vae``, untrained: a decoder as ``recipe`` describes it whose code has no dimension, so that one sample gives log p(x) exactly."""
    knobs, decoder = dict(recipe["decoder"]), cast(Decoder, vae.decoder)
    shapes = (decoder.context_size,), decoder.likelihood.parameter_shape
    network = DECODER_NETWORKS[knobs.pop("kind")](*shapes, **knobs)
    return VAE(_Nothing(), Decoder(network, copy.deepcopy(decoder.likelihood), context_size=decoder.context_size), StandardNormalPrior(0))


def train_language_model(
    recipe: Recipe,
    vae: VAE,
    data: Data,
    history: History,
    *,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
    max_minutes: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[VAE, History]:
    """The language model trained on ``data`` as ``recipe`` trains, for as many epochs as ``history`` took of ``vae``; its weights into ``folder``, whence an interrupted training goes on."""
    training = recipe["training"]
    steps = max(1, len(data.train) // min(training["batch_size"] * training["accumulate"], len(data.train)))
    plan = {**training, "epochs": max(1, math.ceil(history.steps / steps)), "pretrain": 0.0, "aggressive": 0, "hide": 0.0}
    trainer = build_trainer(replace(recipe, values={**recipe.values, "training": plan}))
    torch.manual_seed(seed)
    model = language_model(recipe, vae)
    done = trainer.fit(
        model, ELBO(), data, folder=None if folder is None else folder / "language-model", device=device, seed=seed, max_minutes=max_minutes,
        resume=True, progress=progress,
    )  # fmt: skip
    if folder is not None:
        write_tensors(folder / WEIGHTS, model.state_dict(), {"steps": done.steps, "seconds": done.seconds})
    return model, done


def load_language_model(folder: Path, recipe: Recipe, vae: VAE) -> VAE | None:
    """The language model beside the run in ``folder``; None where it was not trained. ArtifactError where its file is damaged or of another recipe."""
    if not (folder / WEIGHTS).is_file():
        return None
    model = language_model(recipe, vae)
    state, _ = read_tensors(folder / WEIGHTS)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ArtifactError(
            f"{folder / WEIGHTS} does not fit the recipe beside it ({str(error).splitlines()[0]}): remove it, or train again"
        ) from error
    return model.eval()
