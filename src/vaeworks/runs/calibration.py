"""calibration.safetensors: what held-out items score under the model of a run, so that a score of another item can be told as a p-value."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.errors import ArtifactError, DataError
from vaeworks.evaluation import Background, LogProb, Reference, fit_background, restore_background
from vaeworks.evaluation.figures import hidden
from vaeworks.evaluation.measures import log_measure
from vaeworks.files import read_tensors, write_tensors
from vaeworks.model import VAE, TableSchema
from vaeworks.runs.begun import held_out_of
from vaeworks.runs.budget import evaluation_budget

if TYPE_CHECKING:
    from vaeworks.runs.model import Model

__all__ = ["FILE", "ScoreCalibration", "calibrate", "load_calibration", "recalibrate", "save_calibration", "weights_of"]

FILE = "calibration.safetensors"


@dataclass(frozen=True)
class ScoreCalibration:
    """Scores of held-out items, and what they were measured with."""

    reference: Reference
    background: Background | None
    """None where what the model learned from was needed for it and not known."""
    seed: int
    weights: str
    """A hash of the weights that gave the scores: under others they tell nothing."""

    def fault(self, vae: VAE, samples: int) -> str:
        """Why items scored by ``vae`` with ``samples`` importance samples cannot be compared with these, as a clause; nothing where they can."""
        if self.reference.samples != samples:
            return f"held-out items were scored with {self.reference.samples} importance samples, and these with {samples}"
        return "" if self.weights == weights_of(vae) else "held-out items were scored by a model of other weights"


def calibrate(
    model: Model,
    items: Items,
    samples: int,
    *,
    seed: int = 0,
    train: Items | None = None,
    background: Background | None = None,
    found: LogProb | None = None,
    progress: Callable[[int], None] | None = None,
) -> ScoreCalibration:
    """The calibration by ``items``, which the model must not have learned from. ``background``, unless given, is fitted to ``train``, what it did learn from; ``found`` is
    what ``model.log_prob`` made of the items with the same samples and seed, where it is known already."""
    found = model.log_prob(items, samples, seed=seed, terms=items.lengths is None, progress=progress) if found is None else found
    background = fit_background(model.vae, train, model.schema, seed=seed) if background is None else background
    measure = log_measure(model.vae, items, model.schema, seed) if isinstance(model.schema, TableSchema) else None
    terms = None if found.terms is None else found.terms.cpu() if measure is None else found.terms.cpu() - measure
    reference = Reference(
        found.value.double().cpu(),
        samples,
        None if background is None else background.log_prob(hidden(items, model.schema), model.schema, seed),
        None if measure is None else measure.sum(-1),
        None if terms is None else _mean_terms(terms, items),
    )
    return ScoreCalibration(reference, background, seed, weights_of(model.vae))


def _mean_terms(terms: Tensor, items: Items) -> Tensor:
    """The mean over the items that observe a coordinate, 0 where none does: (*event)."""
    count = torch.full_like(terms[0], len(items)) if items.observed is None else items.observed.cpu().sum(0)
    return terms.double().sum(0).div(count.clamp_min(1)).float()


def save_calibration(folder: Path, calibration: ScoreCalibration) -> None:
    """Into ``folder``, atomically."""
    reference, background = calibration.reference, calibration.background
    held = {"log_px": reference.log_px, "background": reference.background, "measure": reference.measure, "mean_terms": reference.mean_terms}
    state = {} if background is None else {f"background.{name}": t for name, t in background.state().items()}
    facts = {
        "samples": reference.samples,
        "seed": calibration.seed,
        "items": len(reference),
        "weights": calibration.weights,
        "background": None if background is None else background.kind,
    }
    write_tensors(folder / FILE, {name: t for name, t in held.items() if t is not None} | state, facts)


def load_calibration(folder: Path, vae: VAE) -> ScoreCalibration | None:
    """The calibration in ``folder``, of ``vae``; None where there is none. ArtifactError where the file is damaged."""
    path = folder / FILE
    if not path.is_file():
        return None
    tensors, facts = read_tensors(path)
    state = {name.removeprefix("background."): tensors[name] for name in tensors if name.startswith("background.")}
    try:
        kind = facts["background"]
        reference = Reference(tensors["log_px"], int(facts["samples"]), tensors.get("background"), tensors.get("measure"), tensors.get("mean_terms"))
        seed, weights = int(facts["seed"]), str(facts["weights"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged (no {error}): remove it, and scores are calibrated anew") from error
    return ScoreCalibration(reference, None if kind is None else restore_background(kind, state, vae), seed, weights)


def recalibrate(
    folder: Path, model: Model, samples: int, *, seed: int = 0, progress: Callable[[int], None] | None = None, **reading: Any
) -> tuple[ScoreCalibration | None, str]:
    """A calibration with ``samples`` by the held-out items of what the run in ``folder`` learned from, ``reading`` being options that say where it lies now; or None, and why."""
    found = held_out_of(folder)
    if found is None:
        return None, "it is not known what the run learned from, so there are no held-out items to compare with"
    source, options = found
    options = replace(options, **reading)
    held_out, why = None, ""
    for split in ("test", "validation"):
        try:
            held_out = model.items(source, replace(options, split=split))
        except DataError as error:
            why = why or str(error)
        if held_out is not None and len(held_out):
            break
    if held_out is None or not len(held_out):
        return None, f"the held-out items of the run cannot be read ({why or 'there are none'})"
    kept = model.calibration.background if model.calibration is not None and model.calibration.weights == weights_of(model.vae) else None
    try:
        train = None if kept is not None else model.items(source, replace(options, split="train"))
    except DataError:
        train = None
    items, _ = evaluation_budget(held_out, model.schema)
    return calibrate(model, items, samples, seed=seed, train=train, background=kept, progress=progress), ""


def weights_of(vae: VAE) -> str:
    """A hash of the weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in vae.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
