"""Over- and underfitting: the bound on items that the model learned from, on new ones, and that of a model which knows nothing of how coordinates belong together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.evaluation import Background, item_batches
from vaeworks.evaluation.backgrounds import Frequencies, Independent
from vaeworks.evaluation.figures import hidden
from vaeworks.model import TextSchema
from vaeworks.objectives import kl_per_dimension
from vaeworks.reporting import Examined, Finding
from vaeworks.runs.doctor.patient import Patient

__all__ = ["generalisation"]

NAME = "learned and new items"
LOST, MUCH = 0.4, 0.6
"""Shares of what the model gains on learned items that it does not keep on new ones: worth knowing, and too much."""
LARGE = 4100
"""Coordinates of an item above which the model that knows only frequencies takes too long to fit."""


def generalisation(patient: Patient) -> Examined:
    """The bound on learned and on new items, and what of it a model without z gives as well."""
    model, learned, new = patient.model, patient.learned, patient.held_out if patient.own is None else patient.own
    if new is None or not len(new):
        return Examined(NAME, patient.unread)
    theirs = bounds(patient, new)
    mean, error = _mean(theirs)
    figures, found = {"held_out": mean}, list[Finding]()
    what = "log p(x | z)" if model.point else "ELBO"
    told = f"{what} of {len(new)} held-out items {mean:.2f} nats"
    if learned is None or not len(learned):
        return Examined(NAME, f"{told}; the learned ones are not at hand.", figures)
    ours = bounds(patient, learned)
    level, own_error = _mean(ours)
    gap, noise = level - mean, math.hypot(error, own_error)
    figures |= {"learned": level, "gap": gap}
    told += f", of {len(learned)} learned ones {level:.2f}"
    gain, plain = None, None if model.point else _plain(patient, learned)
    if plain is not None:
        more, more_error = _mean(ours - plain.log_prob(hidden(learned, model.schema), model.schema, patient.seed))
        gain, figures["independent"] = more, level - more
        told += f"; a model of independent coordinates gives {level - more:.2f}"
        if more < 2 * more_error and not _says_nothing(patient):
            found.append(_under(patient, level, level - more))
    share = gap / gain if gain is not None and gain > 0 else gap / (2 * float(theirs.std())) if len(theirs) > 1 else 0.0
    if gap > 2 * noise and share > LOST:
        found.append(_over(patient, what, level, mean, gain, share))
    return Examined(NAME, f"{told}.", figures, tuple(found))


def _says_nothing(patient: Patient) -> bool:
    """Whether posterior collapse explains all."""
    use = patient.use
    return use is not None and use.total_kl is not None and float(use.total_kl.mean()) < 0.1


def _over(patient: Patient, what: str, ours: float, mean: float, gain: float | None, share: float) -> Finding:
    of = f", {share:.0%} of the {gain:.1f} that the model gains over independent coordinates" if gain is not None else ""
    return Finding(
        "overfitting",
        share > MUCH,
        f"the {what} is {ours:.2f} nats on items that the model learned from and {mean:.2f} on new ones: {ours - mean:.1f} nats are lost{of}.",
        "The model knows its training items better than their kind: scores and reconstructions of new items are worse than those of items that it saw.",
        "More data helps most; else a smaller code and network, or weight decay.",
        (
            *patient.again(f"latent_size={max(2, patient.model.recipe['latent_size'] // 2)}"),
            *patient.again("training.weight_decay=0.1"),
        ),
    )


def _under(patient: Patient, mean: float, floor: float) -> Finding:
    return Finding(
        "underfitting",
        True,
        f"the ELBO of learned items is {mean:.2f} nats, and {floor:.2f} with every coordinate drawn by itself.",
        "The model has not learned how the parts of an item belong together: knowing how often each value occurs does as well.",
        "Train for longer, or with a larger network and another learning rate.",
        (
            *patient.again(f"training.epochs={patient.longer}"),
            *patient.again(f"training.learning_rate={3 * float(patient.model.recipe['training']['learning_rate']):g}"),
        ),
    )


@torch.inference_mode()
def bounds(patient: Patient, items: Items) -> Tensor:
    """The ELBO of every item at one draw of z, KL in closed form where torch knows it; of a plain autoencoder log p(x | z). (N,)."""
    model, parts = patient.model, list[Tensor]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(patient.seed)
        for raw in item_batches(hidden(items, model.schema), model.schema, 250, patient.seed):
            batch = raw.to(model.device)
            trace = model.vae(batch, 1)
            value = trace.log_likelihood(batch)[0]
            if not model.point:
                for level in trace.latents:
                    value = value - kl_per_dimension(level).sum(-1).expand(1, -1)[0]
            parts.append(value.double().cpu())
    return torch.cat(parts)


def _plain(patient: Patient, learned: Items) -> Background | None:
    """A model of independent coordinates under the model's own likelihood, or of tokens by their frequencies; that of the run's calibration where there is one."""
    model = patient.model
    if isinstance(model.schema, TextSchema):
        return Frequencies.fit(learned, model.schema)
    kept = model.calibration.background if model.calibration is not None else None
    if isinstance(kept, Independent):
        return kept
    if model.schema.dimensions > LARGE:
        return None
    return Independent.fit(model.vae, learned, model.schema, patient.seed)


def _mean(values: Tensor) -> tuple[float, float]:
    """The mean, and its standard error; of a single value that is unknown."""
    return float(values.mean()), float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.inf
