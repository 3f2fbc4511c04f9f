"""Patient: a model with all that is at hand to examine it, and the commands that would train it again."""

from __future__ import annotations

import functools
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vaeworks.data import Items
from vaeworks.errors import DataError, VaeworksError
from vaeworks.evaluation import Figures
from vaeworks.evaluation.latent_use import LatentUse, latent_use
from vaeworks.recipes import build_objective, build_trainer, parse_recipe
from vaeworks.runs.begun import begun, fingerprint, held_out_of
from vaeworks.runs.model import Model
from vaeworks.runs.story import Story, story_of

__all__ = ["Patient", "patient_of", "read_held_out"]

ITEMS = 1000
"""Items that are looked at, learned and held out."""
ENOUGH = 1200
"""Steps of a training that is long enough to learn something."""
DROPPED = {"-o": 1, "--out": 1, "--recipe": 1, "--set": 1, "--epochs": 1, "--resume": 0, "--overwrite": 0, "--json": 0}
"""Options of the command that made a run which one that trains it again says otherwise, and how many words follow each."""


@dataclass(frozen=True)
class Patient:
    """A model and what is known of it."""

    model: Model
    held_out: Items | None
    """Items that it has not learned from; None where they cannot be read."""
    learned: Items | None = None
    """Some that it has."""
    own: Items | None = None
    """Where ``held_out`` are other data than the run's: its own held-out items."""
    lines: Sequence[Mapping[str, Any]] = ()
    """Lines of metrics.jsonl."""
    best_step: int | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What figures.json holds."""
    run: Path = Path("RUN")
    command: str = ""
    """The command that made the run."""
    data: str = ""
    """What it learned from, for commands."""
    absent: str = ""
    """Why there are no held-out items."""
    changed: bool = False
    """Whether the items that it learned from are no longer what they were."""
    notes: Sequence[str] = ()
    """What was noticed while items were read."""
    seed: int = 0

    @classmethod
    def after(cls, model: Model, run: Path, story: Story, figures: Figures, learned: Items, held_out: Items, data: str, seed: int) -> Patient:
        """One that has just been trained."""
        return cls(
            model,
            _some(held_out),
            _some(learned),
            lines=story.lines,
            best_step=story.best_step,
            figures=figures.to_json(),
            run=run,
            command=story.command,
            data=data,
            seed=seed,
        )

    @functools.cached_property
    def use(self) -> LatentUse | None:
        """What the latents of held-out items are used for; None without items."""
        if self.held_out is None or not len(self.held_out):
            return None
        return latent_use(self.model.vae, self.held_out, self.model.schema, seed=self.seed, device=self.model.device)

    @property
    def unread(self) -> str:
        """Why something that needs items was not measured."""
        return f"Not measured: {self.absent or 'there are no held-out items'}."

    @property
    def longer(self) -> int:
        """Epochs of a training three times as long, and of ENOUGH steps at least."""
        last = self.lines[-1] if self.lines else {}
        epochs, steps = float(last.get("epoch") or 30), float(last.get("step") or 1000)
        return max(math.ceil(3 * epochs), math.ceil(ENOUGH * epochs / steps))

    def again(self, *settings: str, more: str = "") -> tuple[str, ...]:
        """The command that trains the run again with ``settings``; none where the recipe does not allow them."""
        try:
            recipe = parse_recipe(self.model.recipe.to_toml(), self.model.recipe.name, settings)
            build_objective(recipe), build_trainer(recipe)
        except VaeworksError:
            return ()
        words = _kept(shlex.split(self.command)) if self.command.startswith("vae train ") else ["vae", "train", self.data or "DATA"]
        words += ["--recipe", str(self.run / "recipe.toml"), *(word for one in settings for word in ("--set", one))]
        new = self.run.with_name(f"{self.run.name}-2")
        return (f"{shlex.join(words)}{more} -o {shlex.quote(str(new))}",)

    def verb(self, name: str, rest: str = "") -> str:
        """``vae NAME RUN REST``."""
        return f"vae {name} {shlex.quote(str(self.run))}{f' {rest}' if rest else ''}"


def _kept(words: list[str]) -> list[str]:
    kept, skip = [], 0
    for word in words:
        name, equals, _ = word.partition("=")
        if skip:
            skip -= 1
        elif name in DROPPED:
            skip = 0 if equals else DROPPED[name]
        elif word.startswith("-o") and not word.startswith("--"):
            continue
        else:
            kept.append(word)
    return kept


def patient_of(model: Model, run: Path, data: str | None = None, seed: int = 0, **reading: Any) -> Patient:
    """The model in the folder ``run`` with what lies beside it, and with ``data``, or else what the run remembers of its own; ``reading`` are options that say how it is read."""
    held_out, learned, own, absent, changed, notes = None, None, None, "", False, list[str]()
    story = story_of(run)
    found = held_out_of(run)
    if data is not None:
        from vaeworks.data import Options

        held_out = model.items(data, Options(say=notes.append, seed=seed, **reading))
    elif found is None:
        absent = "it is not known what the run learned from"
    if found is not None:
        source, options = found
        given = {name: value for name, value in reading.items() if name == "data_dir" and value is not None}
        try:
            whole = model.items(source, replace(options, split="train", **given))
            facts = begun(run)
            learned, changed = _some(whole), facts is not None and fingerprint(whole) != facts.data
            own = _some(read_held_out(model, source, replace(options, **given)))
        except DataError as error:
            absent = str(error)
    figures = run / "figures.json"
    return Patient(
        model,
        own if data is None or held_out is None else _some(held_out),
        learned,
        None if data is None else own,
        story.lines,
        story.best_step,
        json.loads(figures.read_text("utf-8")) if figures.is_file() and data is None else {},
        run,
        story.command,
        found[0] if found is not None else model.schema.source,
        absent,
        changed,
        tuple(notes),
        seed,
    )


def read_held_out(model: Model, source: str, options: Any) -> Items:
    """The test items of ``source``; the validation items where there are none, or the learned ones where nothing was held out."""
    for split in ("test", "validation", "train"):
        items = model.items(source, replace(options, split=split))
        if len(items):
            return items
    raise DataError(f"{source} holds no items")


def _some(items: Items) -> Items:
    import torch

    return items if len(items) <= ITEMS else items[torch.linspace(0, len(items) - 1, ITEMS).round().long()]
