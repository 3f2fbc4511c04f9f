"""Estimators: what a trained model is worth, in nats and bits, with the errors that belong to each figure."""

from vaeworks.evaluation.figures import ACTIVE_VARIANCE, Figure, Figures, evaluate, posterior_means
from vaeworks.evaluation.importance import LogProb, log_prob

__all__ = ["ACTIVE_VARIANCE", "Figure", "Figures", "LogProb", "evaluate", "log_prob", "posterior_means"]
