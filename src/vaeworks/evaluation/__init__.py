"""Estimators: what a trained model is worth, in nats and bits, with the errors that belong to each figure."""

from vaeworks.evaluation.annealed import Annealed, Sandwich, annealed_log_prob, bidirectional
from vaeworks.evaluation.figures import ACTIVE_VARIANCE, Figure, Figures, evaluate, posterior_means
from vaeworks.evaluation.importance import LogProb, log_prob
from vaeworks.evaluation.information import Information, information, jackknife

__all__ = [
    "ACTIVE_VARIANCE",
    "Annealed",
    "Figure",
    "Figures",
    "Information",
    "LogProb",
    "Sandwich",
    "annealed_log_prob",
    "bidirectional",
    "evaluate",
    "information",
    "jackknife",
    "log_prob",
    "posterior_means",
]
