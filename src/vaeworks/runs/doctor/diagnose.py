"""Every check in turn."""

from __future__ import annotations

from collections.abc import Callable

from vaeworks.reporting import Diagnosis, Examined
from vaeworks.runs.doctor.codes import collapse, decoder_use, mixture, prior_match, sample_scores
from vaeworks.runs.doctor.course import course
from vaeworks.runs.doctor.fit import generalisation
from vaeworks.runs.doctor.material import amount, estimates, ranges, scales
from vaeworks.runs.doctor.patient import Patient

__all__ = ["CHECKS", "diagnose"]

CHECKS: dict[str, Callable[[Patient], Examined]] = {
    "course of training": course,
    "learned and new items": generalisation,
    "latent dimensions": collapse,
    "decoder": decoder_use,
    "prior": prior_match,
    "mixture of the prior": mixture,
    "samples": sample_scores,
    "scale of the likelihood": scales,
    "amount of data": amount,
    "range of the data": ranges,
    "estimates of log p(x)": estimates,
}
"""What is looked at, by name."""


def diagnose(patient: Patient) -> Diagnosis:
    """Look at everything that the model, its run folder and the items at hand allow; the same patient has the same diagnosis."""
    return Diagnosis(tuple(check(patient) for check in CHECKS.values()))
