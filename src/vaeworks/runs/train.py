"""From a source of data to a run folder: look, choose, train, measure, show."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vaeworks.data import Data, Items, Options, Source, open_data
from vaeworks.errors import ArtifactError
from vaeworks.evaluation import Figures
from vaeworks.files import replace_file
from vaeworks.model import Schema
from vaeworks.recipes import Recipe, build_objective, build_trainer, build_vae, choose_likelihood, choose_recipe, load_recipe, parse_recipe
from vaeworks.runs.model import Model
from vaeworks.runs.show import show
from vaeworks.training import History, Progress, choose_device

__all__ = ["Run", "evaluation_budget", "plan_recipe", "train", "train_run"]


@dataclass(frozen=True)
class Run:
    """A finished training: the model and what is known of it."""

    model: Model
    data: Data
    history: History
    figures: Figures
    folder: Path | None
    choices: tuple[str, ...]
    """What was chosen and why, a sentence each."""


def train(source: Source, *, out: str | Path | None = None, recipe: str | None = None, **settings: Any) -> Model:
    """Train on ``source`` and return the Model; with ``out``, leave a run folder there. ``settings`` are those of ``train_run``.

    model = vaeworks.train("photos/", out="runs/photos")
    """
    return train_run(source, out=out, recipe=recipe, **settings).model


def train_run(
    source: Source,
    *,
    out: str | Path | None = None,
    recipe: str | None = None,
    overrides: Iterable[str] = (),
    options: Options | None = None,
    max_minutes: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    seed: int = 0,
    device: str = "auto",
    checkpoint_seconds: float = 30.0,
    say: Callable[[str], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
    command: str = "",
) -> Run:
    """Look at ``source``, choose a recipe unless one is named, train, evaluate on held-out items, and fill the run folder ``out``.

    ``resume`` goes on with the run in ``out`` as it was begun; ``overwrite`` replaces it. ``say`` receives each sentence about what was found and chosen.
    Raises DataError, RecipeError, TrainingError; ArtifactError where ``out`` already holds a run.
    """
    say = say or (lambda sentence: None)
    folder = None if out is None else Path(out)
    chosen_device = choose_device(device)
    data = open_data(source, options=options or Options(seed=seed))
    for note in data.notes:
        say(note)
    made, choices = plan_recipe(data.schema, recipe, overrides)
    fingerprint = _fingerprint(data.train)
    if folder is not None:
        made, seed = _begin(folder, made, data.schema, seed, fingerprint, resume, overwrite, named=recipe is not None or bool(list(overrides)))
    for choice in choices:
        say(choice)
    torch.manual_seed(seed)
    vae, objective, trainer = build_vae(made, data.schema), build_objective(made), build_trainer(made)
    size = sum(p.numel() for p in vae.parameters())
    say(f"Training {size:,} parameters on {chosen_device} ({torch.get_num_threads()} threads), seed {seed}.")
    history = trainer.fit(
        vae,
        objective,
        data,
        folder=folder,
        device=chosen_device,
        seed=seed,
        max_minutes=max_minutes,
        resume=resume,
        checkpoint_seconds=checkpoint_seconds,
        progress=progress,
    )
    say(_ending(history))
    model = Model(vae, data.schema, made, device=chosen_device)
    held_out = data.test if len(data.test) else data.validation if len(data.validation) else data.train
    items, samples = evaluation_budget(held_out, data.schema)
    figures = model.evaluate(items, samples, seed=seed)
    run = Run(model, data, history, figures, folder, choices)
    if folder is not None:
        model.save(folder)
        replace_file(folder / "figures.json", json.dumps(figures.to_json(), indent=2).encode())
        show(run.model, folder, held_out, data.notes, choices, history.lines, history.best_step, figures, command or _command(source, folder, made))
    return run


def plan_recipe(schema: Schema, name: str | None, overrides: Iterable[str] = ()) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with its likelihood filled in, and a sentence for each choice."""
    why = "as asked"
    if name is None:
        name, why = choose_recipe(schema)
    recipe = load_recipe(name, overrides)
    choices = [f"Recipe {recipe.name!r}: {why}."]
    if recipe["likelihood"]:
        choices.append(f"Likelihood {recipe['likelihood']['kind']!r}: the recipe's own.")
    else:
        kind, reason = choose_likelihood(schema)
        recipe = recipe.with_likelihood(kind)
        choices.append(f"Likelihood {kind!r}: {reason}.")
    return recipe, tuple(choices)


def evaluation_budget(items: Items, schema: Schema) -> tuple[Items, int]:
    """Held-out items (at most 1000) and importance samples (50 to 1000) that take about as long for any size of item."""
    items = items[:1000] if len(items) > 1000 else items
    return items, int(min(1000, max(50, 2e8 / (schema.dimensions * len(items)))))


def _begin(
    folder: Path, recipe: Recipe, schema: Schema, seed: int, fingerprint: str, resume: bool, overwrite: bool, *, named: bool
) -> tuple[Recipe, int]:
    """Start a run in ``folder``, or find the one to go on with; returns its recipe and seed."""
    facts_file = folder / "run.json"
    if facts_file.is_file() and resume:
        try:
            facts = json.loads(facts_file.read_text("utf-8"))
            stored = parse_recipe((folder / "recipe.toml").read_text("utf-8"), str(folder / "recipe.toml"))
            begun_with, begun_seed = facts["data"], int(facts["seed"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder}: the run cannot be resumed, its run.json or recipe.toml is damaged ({error}); train without --resume") from error
        if begun_with != fingerprint:
            raise ArtifactError(f"{folder} was begun on other training items (or with another --seed or --size): resume with the same data, or choose another -o")
        if named and stored.values != recipe.values:
            raise ArtifactError(f"{folder} was begun with another recipe: leave --recipe, --set and --epochs out to resume it, or choose another -o")
        return stored, begun_seed
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder} is a file: choose a folder with -o")
    if (facts_file.is_file() or (folder / "model.safetensors").is_file()) and not overwrite:
        raise ArtifactError(f"{folder} already holds a run: go on with --resume, replace it with --overwrite, or choose another -o")
    if folder.is_dir() and any(folder.iterdir()) and not facts_file.is_file():
        raise ArtifactError(f"{folder} is not empty and holds no run: choose another -o, so that nothing of yours is mixed up")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot create {folder}: {error.strerror}") from error
    for stale in ("checkpoint/state.safetensors", "model.safetensors"):
        (folder / stale).unlink(missing_ok=True)
    replace_file(folder / "recipe.toml", recipe.to_toml().encode())
    replace_file(folder / "schema.json", json.dumps(schema.to_json(), indent=2).encode())
    replace_file(facts_file, json.dumps({"seed": seed, "data": fingerprint}).encode())
    return recipe, seed


def _fingerprint(items: Items) -> str:
    """A hash of the training items, in order."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(str(tuple(items.values.shape)).encode())
    digest.update(memoryview(items.values.contiguous().numpy()).cast("B"))
    return digest.hexdigest()


def _ending(history: History) -> str:
    how = {
        "finished": "finished",
        "early": "stopped early: no better bound on validation items for a while",
        "interrupted": "stopped by you",
        "time": "stopped: the time is up",
    }[history.ended]
    skipped = f"; {history.skipped} steps skipped for not being finite" if history.skipped else ""
    return f"Training {how} after {history.steps} steps and {history.seconds:.0f} s; the weights of step {history.best_step} are kept{skipped}."


def _command(source: Source, folder: Path, recipe: Recipe) -> str:
    return f"vae train {shlex.quote(str(source))} -o {shlex.quote(str(folder))} --recipe {recipe.name}" if isinstance(source, str | Path) else ""
