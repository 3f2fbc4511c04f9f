"""The page of a run made anew from its folder, with the data where they can still be read, else with what remains."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vaeworks.errors import ArtifactError
from vaeworks.model import TableSchema
from vaeworks.reporting import Remains, exhibit, save_report
from vaeworks.runs.begun import begun
from vaeworks.runs.doctor import Patient, diagnose, patient_of
from vaeworks.runs.model import Model
from vaeworks.runs.show import exhibits_of, page
from vaeworks.runs.story import Story, story_of

__all__ = ["remake"]

LEFT = ("reconstructions", "columns", "latent")
"""What training leaves of the exhibits that need data, by name on the page, which is the stem of its file."""


def remake(model: Model, run: Path, out: Path, *, say: Callable[[str], None] = lambda _: None, **reading: Any) -> Patient:
    """Write the page of ``model``, that of the folder ``run``, to ``out``; ``reading`` are options that say where the data lie now.

    The data are read again as run.json remembers; where they cannot be, or hold no items, the page says so, keeps the pictures that training left and shows no others that need them.
    ``say`` receives what a reader must know. ArtifactError where ``out`` cannot be written or a file of the run is damaged.
    """
    story, patient = _completed(story_of(run), model, run), patient_of(model, run, **reading)
    figures = _figures(run)
    if patient.held_out is not None and len(patient.held_out):
        warning = (
            ""
            if not patient.changed
            else "The data have changed since the model learned from them: what is shown of held-out items may be of items that it has seen."
        )
        exhibits = exhibits_of(model, patient.held_out, patient.use)
    else:
        warning = (
            f"The data can no longer be read ({patient.absent}). Samples are drawn anew; what needs data is shown as training left it, or not at all."
        )
        exhibits = {"samples": exhibit(model.schema, {"samples": model.sample(64, seed=0)}), **_remains(model, run)}
    if warning:
        say(warning)
    made = page(model, story, figures, exhibits, diagnose(patient), patient.use, warning=warning)
    save_report(replace(made, again=patient.verb("report")), out)
    return patient


def _completed(story: Story, model: Model, run: Path) -> Story:
    """What can be told of a run that no story is told of."""
    if story.notes or story.choices or story.command:
        return story
    schema, facts = model.schema, begun(run)
    shape = "x".join(map(str, schema.shape))
    notes = (f"{schema.source}: {schema.count:,} training items of shape {shape}." + (f" {len(schema.classes)} classes." if schema.classes else ""),)
    choices = (f"Recipe {model.recipe.name!r}, likelihood {model.recipe['likelihood'].get('kind')!r}.",)
    versions = {} if facts is None else {"seed": str(facts.seed), "fingerprint of the training items": facts.data}
    return replace(story, notes=notes, choices=choices, versions=versions)


def _figures(run: Path) -> dict[str, Any]:
    path = run / "figures.json"
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}): make it anew with vae evaluate {run} --json, or remove it") from error
    return found if isinstance(found, dict) else {}


def _remains(model: Model, run: Path) -> dict[str, Any]:
    """What training left of exhibits that need data: pictures as they are, texts and tables as their beginning."""
    found: dict[str, Any] = {}
    for name in LEFT:
        if name == "columns" and not isinstance(model.schema, TableSchema):
            continue
        for path in (run / f"{name}.png", run / name / "sheet.png"):
            if path.is_file():
                found[name] = path.read_bytes()
        for path in (run / f"{name}.txt", run / f"{name}.csv"):
            if path.is_file() and name not in found:
                found[name] = Remains(path.read_text("utf-8", "replace"))
    return found
