"""What a model stands on: enough data, in range; a likelihood whose scale is within its bounds; enough importance samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.distributions import Factorised
from vaeworks.distributions.columns import Columns
from vaeworks.distributions.tokens import UNKNOWN
from vaeworks.evaluation import item_batches
from vaeworks.evaluation.figures import hidden
from vaeworks.likelihoods.base import ScaledLikelihood
from vaeworks.likelihoods.table import BEND
from vaeworks.model import AudioSchema, ImageSchema, Schema, TableSchema, TextSchema
from vaeworks.reporting import Examined, Finding
from vaeworks.runs.doctor.fit import bounds
from vaeworks.runs.doctor.patient import Patient

__all__ = ["amount", "estimates", "ranges", "scales"]

FEW, SOME = 200, 500
"""Training items below which a model can hardly learn a kind of things, and below which little."""
SMALLEST = -9.2
"""The bound of every learned log scale, in units of x."""
FLAT = 0.02
"""Standard deviation of x in [0, 1] below which a few extreme values have squeezed the others."""
STRAY = 0.02
"""Share of values out of range that is more than chance."""
FOREIGN = 2.0
"""Standard deviations over held-out items between their mean bound and that of other items."""


def amount(patient: Patient) -> Examined:
    """How many items the model learned from, and how many its figures are measured on."""
    name, count = "amount of data", patient.model.schema.count
    held = None if patient.held_out is None else len(patient.held_out)
    told = f"{count:,} training items"
    found = []
    if 0 < count < SOME:
        found.append(
            Finding(
                "few data",
                count < FEW,
                f"{told}.",
                "So few items say little about their kind: a model learns them by heart sooner than what they have in common.",
                "Give more items, or a smaller model.",
                patient.again(f"latent_size={max(2, min(8, patient.model.recipe['latent_size'] // 2))}", "training.weight_decay=0.1"),
            )
        )
    return Examined(name, f"{told}{'' if held is None else f'; {held:,} held-out ones were looked at'}.", {"training": float(count)}, tuple(found))


def estimates(patient: Patient) -> Examined:
    """Whether importance samples suffice: their effective size, from figures.json or measured anew."""
    name, model = "estimates of log p(x)", patient.model
    if model.point:
        return Examined(name, "Not measured: a plain autoencoder gives no log p(x).")
    told_figures = patient.figures.get("figures", {})
    if "effective_sample_size" in told_figures:
        median, samples = float(told_figures["effective_sample_size"]["value"]), int(patient.figures["protocol"]["importance_samples"])
        warned = any("effective sample size" in str(warning) for warning in patient.figures.get("warnings", ()))
        share = None
    elif patient.held_out is not None and len(patient.held_out):
        chosen, samples = patient.held_out[:100], 200
        size = model.log_prob(chosen, samples, seed=patient.seed).effective_sample_size
        median, share = float(size.median()), float((size < 5).double().mean())
        warned = share > 0.1
    else:
        return Examined(name, patient.unread)
    told = f"the effective sample size is {median:.1f} of {samples} importance samples in the median"
    if share is not None:
        told += f", below 5 for {share:.0%} of the items"
    found = []
    if samples >= 50 and (warned or median < 5):
        found.append(
            Finding(
                "few importance samples",
                False,
                f"{told}.",
                "For some items a handful of samples decide the estimate, so their log p(x) is likely told too low. The model itself is none the worse.",
                "Measure with more samples, or by annealing, which needs no good encoder.",
                (patient.verb("evaluate", f"--samples {10 * samples}"), patient.verb("evaluate", "--annealed 1000")),
            )
        )
    return Examined(name, f"{told[:1].upper() + told[1:]}.", {"effective_sample_size": median, "importance_samples": float(samples)}, tuple(found))


@torch.inference_mode()
def scales(patient: Patient) -> Examined:
    """Whether the likelihood's scale has reached its smallest value, where a density grows without limit."""
    name, model = "scale of the likelihood", patient.model
    decoder: Any = model.vae.decoder
    likelihood, kind = decoder.likelihood, model.recipe["likelihood"].get("kind", "")
    found: list[tuple[str, float]] = []  # (what, share at its bound)
    least = math.inf
    if isinstance(likelihood, ScaledLikelihood):
        log_scale = likelihood.log_scale
        least = float(log_scale.min())
        found.append(("its scale", float((log_scale < SMALLEST + 0.01).double().mean())))
        if isinstance(variance := getattr(likelihood, "variance", None), Tensor) and model.recipe["likelihood"].get("scale_kind") == "optimal":
            least = 0.5 * math.log(max(float(variance), 1e-300))
            found = [("its variance", float(float(variance) < 1.1e-8))]
    for part in likelihood.modules():
        own = getattr(part, "tenth_of_log_scale", None)
        if isinstance(own, Tensor) and part is not likelihood:
            least = min(least, float(10 * own.min()))
            found.append(("its scale", float((10 * own < SMALLEST + 0.01).double().mean())))
    if (drawn := _each_scale(patient)) is not None:
        low, share = drawn
        least = min(least, low)
        found.append(("its scale", share))
    if not found:
        return Examined(name, f"The likelihood {kind!r} has no scale.")
    told = f"the smallest scale is {math.exp(least):.2g}, in units of x"
    worst = max(share for _, share in found)
    problems = (
        Finding(
            "scale at its bound",
            True,
            f"{told}, and {worst:.0%} of what has a scale is at the smallest that is allowed.",
            "Some values repeat so exactly that their density can grow without limit: log p(x) then says how far the model dares to go, and not how good it is.",
            "Tell such values as levels and not as real numbers, or hold the scale fixed.",
            (*patient.again("likelihood.scale_kind=fixed", "likelihood.scale=0.05"), *patient.again("likelihood.scale_kind=column")),
        ),
    )
    return Examined(name, f"{told[:1].upper() + told[1:]}.", {"log_scale": least}, problems if worst > 0.05 else ())


def _each_scale(patient: Patient) -> tuple[float, float] | None:
    """Where every coordinate of an item has a scale of its own: the least log scale over held-out items, and the share at its bound."""
    knobs = patient.model.recipe["likelihood"]
    likelihood: Any = patient.model.vae.decoder.likelihood
    if not (knobs.get("scale_kind") in {"pixel", "row"} or knobs.get("per_pixel")) or patient.held_out is None or not len(patient.held_out):
        return None
    batch = next(item_batches(hidden(patient.held_out[:50], patient.model.schema), patient.model.schema, 50, patient.seed)).to(patient.model.device)
    p = patient.model.vae(batch, 1).x
    base = p.base if isinstance(p, Factorised) else None
    if isinstance(base, Columns):  # of a table: columns of numbers, each about the start of its own
        starts = [(group, part) for (_, group), part in zip(base.groups, likelihood.parts, strict=True) if hasattr(group, "log_scale")]
        above = torch.cat([(group.log_scale - part.log_scale).flatten() for group, part in starts]) if starts else None
        return (
            None
            if above is None
            else (float(torch.cat([g.log_scale.flatten() for g, _ in starts]).min()), float((above < -BEND + 0.05).double().mean()))
        )
    scale = getattr(base, "log_scale", None)
    if scale is None and isinstance(getattr(base, "scale", None), Tensor):
        scale = base.scale.log()  # type: ignore[union-attr]
    if not isinstance(scale, Tensor):
        return None
    bound = float(likelihood.log_scale.min()) - (6 if knobs.get("scale_kind") == "pixel" else 5)
    return float(scale.min()), float((scale < bound + 0.05).double().mean())


def ranges(patient: Patient) -> Examined:
    """Whether items lie where the training items did, and whether a few extremes have squeezed the rest."""
    name, schema, items = "range of the data", patient.model.schema, patient.held_out
    found = list(_squeezed(schema))
    for note in patient.notes:
        found.append(
            Finding(
                "data unlike the schema", False, note, "Some of it is none that the model knows, and was left out or changed.", "Look at these items."
            )
        )
    if items is None or not len(items):
        return Examined(name, patient.unread, findings=tuple(found))
    share, what, cure = _stray(items, schema)
    figures = {"out_of_range": share}
    told = f"{share:.2%} of {what}"
    if share > STRAY:
        found.append(
            Finding(
                "data out of range",
                True,
                f"{told}.",
                "The model has seen nothing like that in training: what it says of such items, or draws in their place, is a guess.",
                cure,
            )
        )
    if patient.own is not None and len(patient.own) > 1 and not patient.model.point:
        ours, theirs = bounds(patient, patient.own), bounds(patient, items)
        far = float((ours.mean() - theirs.mean()) / ours.std().clamp_min(1e-9))
        figures["foreign"] = far
        told += f"; their bound on log p(x) is {float(theirs.mean()):.2f} nats, that of the run's own held-out items {float(ours.mean()):.2f}"
        if far > FOREIGN:
            found.append(
                Finding(
                    "data of another kind",
                    True,
                    f"the bound on log p(x) of these items is {float(theirs.mean()):.2f} nats, that of the run's own held-out items {float(ours.mean()):.2f}: {far:.1f} times their spread.",
                    "These items are not like those that the model learned from.",
                    "Score them one by one to see which, or train on data that hold their kind.",
                    (patient.verb("score", "DATA -o scores.parquet --fdr 0.05"),),
                )
            )
    return Examined(name, f"{told[:1].upper() + told[1:]}.", figures, tuple(found))


def _squeezed(schema: Schema) -> tuple[Finding, ...]:
    """Real pictures are scaled by their least and greatest value: one that is far out leaves the rest no room."""
    if not (isinstance(schema, ImageSchema) and schema.levels == 0 and schema.std < FLAT):
        return ()
    return (
        Finding(
            "extreme values",
            True,
            f"the training values lie in {schema.low:g} .. {schema.high:g}, and scaled to 0 .. 1 have a standard deviation of {schema.std:.2g}.",
            "A few extreme values have squeezed all others together, so that the model sees hardly any difference between items.",
            "Cut or transform the extremes before training: np.clip(x, *np.quantile(x, [0.001, 0.999])).",
        ),
    )


def _stray(items: Items, schema: Schema) -> tuple[float, str, str]:
    """The share of values out of the range of training, of what, and what mends it."""
    if isinstance(schema, TextSchema):
        tokens = items.values
        own = tokens > 0
        return (
            float(((tokens == UNKNOWN) & own).sum() / own.sum().clamp_min(1)),
            "tokens are unknown to the model",
            "Train on text with these characters, or with --tokenizer bytes.",
        )
    if isinstance(schema, AudioSchema):
        loud = items.values.abs() >= 32760
        here = items.values != 0
        return float(loud.sum() / here.sum().clamp_min(1)), "samples are clipped", "Record with less gain, or leave these sounds out."
    if isinstance(schema, TableSchema):
        raw = schema.raw(schema.to_x(items.values))
        seen = np.ones(raw.shape, bool) if items.observed is None else items.observed.cpu().numpy()
        numbers = [j for j, m in enumerate(schema.margins) if m.kind not in {"categorical", "boolean"} and m.high > m.low]
        beyond = np.zeros(raw.shape, bool)
        for j in numbers:
            m = schema.margins[j]
            room = 0.1 * (m.high - m.low)
            beyond[:, j] = (raw[:, j] < m.low - room) | (raw[:, j] > m.high + room)
        beyond &= seen
        worst = [schema.modelled[j].name for j in sorted(numbers, key=lambda j: -beyond[:, j].mean())[:3] if beyond[:, j].any()]
        of = f" ({', '.join(worst)})" if worst else ""
        total = max(1, int(seen[:, numbers].sum())) if numbers else 1
        return float(beyond.sum() / total), f"numbers lie beyond those of training{of}", "Check their units, or train on rows that hold such values."
    if isinstance(schema, ImageSchema) and schema.levels == 0:
        x = schema.to_x(items.values)
        return (
            float(((x < -0.02) | (x > 1.02)).double().mean()),
            f"values lie outside {schema.low:g} .. {schema.high:g}",
            "Check their units, or train on data that hold such values.",
        )
    return 0.0, "values lie outside the levels of training", ""
