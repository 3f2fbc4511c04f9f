"""Over- and underfitting: the bound on items that the model learned from, on new ones, and that of a model which knows nothing of how coordinates belong together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.evaluation import item_batches
from vaeworks.evaluation.figures import hidden
from vaeworks.evaluation.importance import log_prob
from vaeworks.reporting import Examined, Finding
from vaeworks.runs.doctor.patient import Patient
from vaeworks.runs.doctor.plain import plain_log_prob
from vaeworks.runs.model import Model
from vaeworks.trace import Batch

__all__ = ["bounds", "generalisation"]

NAME = "learned and new items"
LOST, MUCH = 0.4, 0.6
"""Shares of what the model gains on learned items that it does not keep on new ones: worth knowing, and too much."""
SPENT = 4e6
"""Coordinates decoded for a bound."""


def generalisation(patient: Patient) -> Examined:
    """The bound on learned and on new items, and what of it a model without z gives as well."""
    model, learned, new = patient.model, patient.learned, patient.held_out if patient.own is None else patient.own
    if new is None or not len(new):
        return Examined(NAME, patient.unread)
    theirs = bounds(patient, new)
    mean, error = _mean(theirs)
    figures, found = {"held_out": mean}, list[Finding]()
    what = "log p(x | z)" if model.point else "the bound on log p(x)"
    told = f"{what} of {len(new)} held-out items {mean:.2f} nats"
    if learned is None or not len(learned):
        return Examined(NAME, f"{told[:1].upper() + told[1:]}; the learned ones are not at hand.", figures)
    ours = bounds(patient, learned)
    level, own_error = _mean(ours)
    gap, noise = level - mean, math.hypot(error, own_error)
    figures |= {"learned": level, "gap": gap}
    told += f", of {len(learned)} learned ones {level:.2f}"
    gain, plain = None, None if model.point else plain_log_prob(model, learned, patient.seed)
    if plain is not None:
        more, more_error = _mean(ours - plain)
        gain, figures["independent"] = more, level - more
        told += f"; a model of independent coordinates gives {level - more:.2f}"
        if more < 2 * more_error and not _says_nothing(patient):
            found.append(_under(patient, level, level - more))
    share = gap / gain if gain is not None and gain > 0 else gap / (2 * float(theirs.std())) if len(theirs) > 1 else 0.0
    if gap > 2 * noise and share > LOST:
        found.append(_over(patient, what, level, mean, gain, share))
    return Examined(NAME, f"{told[:1].upper() + told[1:]}.", figures, tuple(found))


def _says_nothing(patient: Patient) -> bool:
    """Whether posterior collapse explains all."""
    use = patient.use
    return use is not None and use.total_kl is not None and float(use.total_kl.mean()) < 0.1


def _over(patient: Patient, what: str, ours: float, mean: float, gain: float | None, share: float) -> Finding:
    of = f", {share:.0%} of the {gain:.1f} that the model gains over independent coordinates" if gain is not None else ""
    return Finding(
        "overfitting",
        share > MUCH,
        f"{what} is {ours:.2f} nats on items that the model learned from and {mean:.2f} on new ones: {ours - mean:.1f} nats are lost{of}.",
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
        f"the bound on log p(x) of learned items is {mean:.2f} nats, and {floor:.2f} with every coordinate drawn by itself.",
        "The model has not learned how the parts of an item belong together: knowing how often each value occurs does as well.",
        "Train for longer, or with a larger network and another learning rate.",
        (
            *patient.again(f"training.epochs={patient.longer}"),
            *patient.again(f"training.learning_rate={3 * float(patient.model.recipe['training']['learning_rate']):g}"),
        ),
    )


def bounds(patient: Patient, items: Items) -> Tensor:
    """Of every item a bound on log p(x), from as many importance samples as cost little: 1, the ELBO, of large items, up to 20 of small ones; of a plain autoencoder log p(x | z). (N,)."""
    model = patient.model
    batches = item_batches(hidden(items, model.schema), model.schema, 250, patient.seed)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(patient.seed)
        if model.point:
            return torch.cat([_rebuilt(model, batch.to(model.device)) for batch in batches]).double().cpu()
        samples = int(min(20, max(1, SPENT / (math.prod(model.schema.input_shape) * len(items)))))
        found = log_prob(model.vae, (batch.to(model.device) for batch in batches), samples)
        return (found.value if samples > 1 else found.elbo).double().cpu()


def _rebuilt(model: Model, batch: Batch) -> Tensor:
    likelihood: Tensor = model.vae(batch, 1).log_likelihood(batch)[0]
    return likelihood


def _mean(values: Tensor) -> tuple[float, float]:
    """The mean, and its standard error; of a single value that is unknown."""
    return float(values.mean()), float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.inf
