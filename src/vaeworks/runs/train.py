"""From a source of data to a run folder: look, choose, train, measure, show."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from vaeworks.data import Data, Items, Options, Source, open_data
from vaeworks.errors import ArtifactError, RecipeError, VaeworksError
from vaeworks.evaluation import Figures
from vaeworks.files import replace_file
from vaeworks.model import Schema
from vaeworks.recipes import (
    Recipe,
    build_objective,
    build_trainer,
    build_vae,
    choose_likelihood,
    choose_recipe,
    conditioned,
    load_recipe,
    parse_recipe,
)
from vaeworks.runs.begun import Begun, begun, fingerprint
from vaeworks.runs.budget import evaluation_budget
from vaeworks.runs.calibration import FILE as CALIBRATION
from vaeworks.runs.calibration import calibrate, save_calibration
from vaeworks.runs.doctor import Patient, diagnose
from vaeworks.runs.language_model import load_language_model, train_language_model
from vaeworks.runs.model import Model
from vaeworks.runs.show import show
from vaeworks.runs.story import FILE as STORY
from vaeworks.runs.story import Story
from vaeworks.training import History, Progress, Tracking, check_trackers, choose_device, threads_for

__all__ = ["Run", "plan_recipe", "train", "train_run"]

CHECKPOINT = "checkpoint/state.safetensors"
VAES_SHARE = 0.6
"""Of the minutes of a training whose language model is trained as well."""
TEMPORARY = (".*.tmp", "checkpoint/.*.tmp")
"""Files whose writing was killed."""
STALE = (
    CHECKPOINT, STORY, "recipe.toml", "model.safetensors", "metrics.jsonl", "figures.json", "report.html", "latent.png", "columns.png", CALIBRATION,
    "samples.png", "samples.txt", "samples.csv", "samples/*.wav", "samples/sheet.png",
    "reconstructions.png", "reconstructions.txt", "reconstructions.csv", "reconstructions/*.wav", "reconstructions/sheet.png",
    "language-model.safetensors", "language-model/checkpoint/state.safetensors", "language-model/metrics.jsonl", "language-model/tensorboard/events.out.tfevents.*",
    "tensorboard/events.out.tfevents.*", "track.json",
)  # fmt: skip
"""What an earlier run in the folder left, and a new one replaces."""
TRACKED = (
    "samples.*",
    "reconstructions.*",
    "samples/*",
    "reconstructions/*",
    "latent.png",
    "columns.png",
    "report.html",
    "recipe.toml",
    "figures.json",
)
"""Files of a finished run that trackers receive."""


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
    language_model: bool = True,
    track: Iterable[str] = (),
    say: Callable[[str], None] | None = None,
    progress: Callable[[Progress], None] | None = None,
    command: str = "",
) -> Run:
    """Look at ``source``, choose a recipe unless one is named, train, evaluate on held-out items, and fill the run folder ``out``.

    ``resume`` goes on with the run in ``out`` as it was begun; ``overwrite`` replaces it. Beside a model of text the same decoder is trained without z, to measure against, unless
    ``language_model`` is False; ``max_minutes`` are then shared by the two. ``track`` names trackers, ``wandb`` or ``mlflow``, that are told what metrics.jsonl is, and in the
    end the figures and the pictures. ``say`` receives each sentence about what was found and chosen.
    Raises DataError, RecipeError, TrainingError; ArtifactError where ``out`` already holds a run.
    """
    say, track = say or (lambda _: None), check_trackers(track)
    folder = None if out is None else Path(out)
    chosen_device = choose_device(device)
    options, overrides = options or Options(seed=seed), list(overrides)
    data = open_data(source, options=options)
    for note in data.notes:
        say(note)
    made, choices = plan_recipe(data.schema, recipe, overrides)
    facts = Begun.of(seed, fingerprint(data.train), source, options)
    stored = _resumed(folder, facts, made if recipe is not None or overrides else None) if folder is not None and resume else None
    if stored is not None:
        made, seed = stored
        choices = (f"Recipe {made.name!r}, seed {seed}: as the run in {folder} was begun.",)
    data = replace(data, schema=conditioned(made, data.schema))
    torch.manual_seed(seed)
    vae, objective, trainer = build_vae(made, data.schema), build_objective(made), build_trainer(made)
    if folder is not None and stored is None:  # only now that the recipe is known to fit the data
        _begin(folder, made, data.schema, facts, overwrite=overwrite)
    for choice in choices:
        say(choice)
    size = sum(p.numel() for p in vae.parameters())
    threads = threads_for(vae, min(trainer.batch_size * trainer.accumulate, len(data.train)), chosen_device)
    say(f"Training {size:,} parameters on {chosen_device} ({threads} thread{'s' * (threads > 1)}), seed {seed}.")
    beside = language_model and data.schema.kind == "text"
    shares = (None, None) if max_minutes is None else (max_minutes * (VAES_SHARE if beside else 1), max_minutes * (1 - VAES_SHARE))
    with _tracking(track, folder, made, data.schema, seed, resume=stored is not None, say=say) as tracking:
        try:
            history = trainer.fit(
                vae,
                objective,
                data,
                folder=folder,
                device=chosen_device,
                seed=seed,
                max_minutes=shares[0],
                resume=resume,
                checkpoint_seconds=checkpoint_seconds,
                progress=progress,
                listen=tracking.listen,
            )
        except (ValueError, NotImplementedError) as error:  # an objective that has met what it cannot weigh
            raise RecipeError(f"this combination of parts cannot be trained: {error}") from error
        say(_ending(history))
        plain = None
        if beside:
            say("Training the same decoder without z: the language model to measure against.")
            plain = (load_language_model(folder, made, vae) if folder is not None else None) or train_language_model(
                made, vae, data, history, folder=folder, device=chosen_device, seed=seed, max_minutes=shares[1], progress=progress
            )[0].eval()
        model = Model(vae, data.schema, made, device=chosen_device, language_model=plain)
        if folder is not None:
            model.home = model.save(folder)
        run, held_out = _measured(model, data, history, folder, choices, seed)
        if folder is not None:
            told = Story(data.notes, choices, command or _command(source, folder, made), history.best_step, _ending(history), _versions(seed, facts))
            _leave(run, folder, held_out, replace(told, lines=tuple(history.lines)), source, seed)
        tracking.finish({name: figure.value for name, figure in run.figures.figures.items()}, TRACKED)
    return run


def _tracking(
    names: tuple[str, ...], folder: Path | None, recipe: Recipe, schema: Schema, seed: int, *, resume: bool, say: Callable[[str], None]
) -> Tracking:
    """The trackers of a run, told its recipe and data; where one cannot begin, neither has the run in ``folder``."""
    config = {**recipe.values, "seed": seed, "source": schema.source, "items": schema.count, "shape": "x".join(map(str, schema.shape))}
    title = folder.name if folder is not None else f"{schema.source} {recipe.name}"
    try:
        return Tracking(names, folder=folder, title=title, config=config, resume=resume, say=say)
    except VaeworksError:
        if folder is not None and not resume:
            _remove(folder, "recipe.toml")
        raise


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


def _resumed(folder: Path, facts: Begun, named: Recipe | None) -> tuple[Recipe, int] | None:
    """The recipe and seed of the run to go on with in ``folder``; None where none got as far as to have a recipe."""
    before = begun(folder)
    if before is None or not ((folder / "recipe.toml").is_file() or (folder / CHECKPOINT).is_file()):
        return None
    try:
        stored = parse_recipe((folder / "recipe.toml").read_text("utf-8"), str(folder / "recipe.toml"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder}: the run cannot be resumed, its recipe.toml is damaged ({error}); train without --resume") from error
    if before.data != facts.data:
        raise ArtifactError(
            f"{folder} was begun on other training items (or with another --seed or --size): resume with the same data, or choose another -o"
        )
    if (kept := before.options.get("labels")) != facts.options.get("labels"):
        raise ArtifactError(
            f"{folder} was begun with {'all labels' if kept is None else f'--labels {kept}'}: resume {'without --labels' if kept is None else 'with the same'}, or choose another -o"
        )
    if named is not None and stored.values != named.values:
        raise ArtifactError(f"{folder} was begun with another recipe: leave --recipe, --set and --epochs out to resume it, or choose another -o")
    _remove(folder, *TEMPORARY)
    return stored, before.seed


def _begin(folder: Path, recipe: Recipe, schema: Schema, facts: Begun, *, overwrite: bool) -> None:
    """Start a run in ``folder``. run.json is written first, so that a run killed while it begins is known as one."""
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder} is a file: choose a folder with -o")
    known = (folder / "run.json").is_file()
    if ((known and (folder / "recipe.toml").is_file()) or (folder / "model.safetensors").is_file()) and not overwrite:
        raise ArtifactError(f"{folder} already holds a run: go on with --resume, replace it with --overwrite, or choose another -o")
    if not known and folder.is_dir() and any(not path.match(TEMPORARY[0]) for path in folder.iterdir()):
        raise ArtifactError(f"{folder} is not empty and holds no run: choose another -o, so that nothing of yours is mixed up")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove(folder, *STALE, *TEMPORARY)
    except OSError as error:
        raise ArtifactError(f"cannot begin a run in {folder}: {error.strerror}") from error
    facts.write(folder)
    replace_file(folder / "schema.json", json.dumps(schema.to_json(), indent=2).encode())
    replace_file(folder / "recipe.toml", recipe.to_toml().encode())


def _remove(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _ending(history: History) -> str:
    how = {
        "finished": "finished",
        "early": "stopped early: no better bound on validation items for a while",
        "interrupted": "stopped by you",
        "time": "stopped: the time is up",
    }[history.ended]
    skipped = f"; {history.skipped} steps skipped for not being finite" if history.skipped else ""
    return f"Training {how} after {history.steps} steps and {history.seconds:.0f} s; the weights of step {history.best_step} are kept{skipped}."


def _measured(model: Model, data: Data, history: History, folder: Path | None, choices: tuple[str, ...], seed: int) -> tuple[Run, Items]:
    """The run with its figures on held-out items, by which scores are calibrated too; and those items, all of them."""
    held_out = data.test if len(data.test) else data.validation if len(data.validation) else data.train
    items, samples = evaluation_budget(held_out, data.schema)
    found = None if model.point else model.log_prob(items, samples, seed=seed, terms=items.lengths is None)
    if found is not None and held_out is not data.train:
        model.calibration = calibrate(model, items, samples, seed=seed, train=data.train, found=found)
    return Run(model, data, history, model.evaluate(items, samples, seed=seed, found=found), folder, choices), held_out


def _leave(run: Run, folder: Path, held_out: Items, told: Story, source: Source, seed: int) -> None:
    """Everything in the folder that is made once the model is trained."""
    model, figures = run.model, run.figures
    if model.calibration is not None:
        save_calibration(folder, model.calibration)
    replace_file(folder / "figures.json", json.dumps(figures.to_json(), indent=2).encode())
    told.write(folder)
    patient = Patient.after(model, folder, told, figures, run.data.train, held_out, str(source) if isinstance(source, str | Path) else "", seed)
    show(model, folder, held_out, told, figures, diagnose(patient), patient.use)


def _versions(seed: int, facts: Begun) -> dict[str, str]:
    """What a run depends on beside its recipe."""
    return {
        "vaeworks": metadata.version("vaeworks"),
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "seed": str(seed),
        "fingerprint of the training items": facts.data,
    }


def _command(source: Source, folder: Path, recipe: Recipe) -> str:
    return f"vae train {shlex.quote(str(source))} -o {shlex.quote(str(folder))} --recipe {recipe.name}" if isinstance(source, str | Path) else ""
