"""How training went, from the lines of metrics.jsonl: cut short, past its best, unstable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from vaeworks.reporting import Examined, Finding
from vaeworks.runs.doctor.patient import Patient

__all__ = ["course"]

NAME = "course of training"
FEW_STEPS = 600
"""A training that ends below so many steps at its best has hardly begun: plans are of 1000 at least."""
LATE, STILL = 0.2, 0.05
"""The last share of training, and the share of all that the bound gained which is too much to be gained there."""
PAST = 0.6
"""A best step before this share of training has a long way of learning by heart behind it."""
QUANTITIES = {"validation_elbo": "bound", "validation_log_likelihood": "log-likelihood"}

Curve = Sequence[tuple[int, float]]


def course(patient: Patient) -> Examined:
    """Whether training was cut short while it improved, or went on past its best, or met steps that were not finite."""
    lines = patient.lines
    if not lines:
        return Examined(NAME, "Not measured: the run has no metrics.jsonl.")
    key = next((key for key in QUANTITIES if any(_finite(line.get(key)) for line in lines)), None)
    if key is None:
        return Examined(NAME, f"Not measured: none of the {len(lines)} validations is finite.", findings=(_broken(patient, len(lines), len(lines)),))
    curve = [(int(line["step"]), float(line[key])) for line in lines if _finite(line.get(key))]
    steps, epochs = curve[-1][0], float(lines[-1].get("epoch", 0))
    best_step = patient.best_step if patient.best_step is not None else max(curve, key=lambda point: point[1])[0]
    best = _at(curve, best_step)
    found = [_broken(patient, len(lines) - len(curve), len(lines))] if len(curve) < len(lines) else []
    gained = curve[-1][1] - _at(curve, (1 - LATE) * steps)
    whole = curve[-1][1] - curve[0][1]
    told = f"{steps:,} steps, {epochs:g} epochs; the {QUANTITIES[key]} on validation items was best at step {best_step:,}, {best:.2f} nats."
    still = best_step == steps and (steps < FEW_STEPS or (len(curve) >= 5 and whole > 0 and gained > STILL * whole and gained > 0.05))
    if still:
        found.append(_unfinished(patient, curve, steps, epochs, gained, whole))
    lost = best - curve[-1][1]
    if not still and best_step <= PAST * steps and lost > max(0.1, 0.02 * abs(best)):
        found.append(
            Finding(
                "past its best",
                False,
                f"the {QUANTITIES[key]} on validation items was best at step {best_step:,} of {steps:,}, and {lost:.2f} nats lower at the end.",
                "From then on the model learned its training items by heart. The weights of the best step were kept, so nothing is lost, and training longer will not help.",
                "More data helps most; else a smaller network, or weight decay.",
                patient.again("training.weight_decay=0.1"),
            )
        )
    return Examined(NAME, told, {"steps": steps, "epochs": epochs, "best_step": best_step, "best": best, "late_gain": gained}, tuple(found))


def _unfinished(patient: Patient, curve: Curve, steps: int, epochs: float, gained: float, whole: float) -> Finding:
    if len(curve) >= 5:
        measured = f"{gained:.2f} of the {whole:.2f} nats that validation items gained came in the last {LATE:.0%} of {steps:,} steps."
    elif len(curve) > 1:
        measured = f"{steps:,} steps, {epochs:g} epochs; validation items gained {whole:.2f} nats between steps {curve[0][0]:,} and {steps:,}, and the last step was the best."
    else:
        measured = f"{steps:,} steps, {epochs:g} epochs, and a single look at validation items."
    return Finding(
        "stopped while improving",
        True,
        measured,
        "Training ended before the model had learned what it can: its figures and its samples would be better after more of it.",
        f"Train for longer, such as {patient.longer:,} epochs.",
        patient.again(f"training.epochs={patient.longer}"),
    )


def _broken(patient: Patient, bad: int, count: int) -> Finding:
    rate = float(patient.model.recipe["training"].get("learning_rate") or 1e-3)
    return Finding(
        "not finite",
        True,
        f"{bad} of {count} validations were not finite.",
        "Training went astray: weights or data became too large for the numbers that a computer has.",
        "Lower the learning rate, and look for extreme values in the data.",
        patient.again(f"training.learning_rate={rate / 10:g}"),
    )


def _at(curve: Curve, step: float) -> float:
    """The value at ``step``, between the two validations around it."""
    before = next((point for point in reversed(curve) if point[0] <= step), curve[0])
    after = next((point for point in curve if point[0] >= step), curve[-1])
    if after[0] <= before[0]:
        return before[1]
    return before[1] + (after[1] - before[1]) * (step - before[0]) / (after[0] - before[0])


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
