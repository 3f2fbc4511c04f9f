"""Runs: from data to a folder that holds a trained model and what is known of it, and back to a Model."""

from vaeworks.runs.compare import Comparison, compare_recipes, compare_runs, show_comparison
from vaeworks.runs.model import Model, load
from vaeworks.runs.show import originals_of
from vaeworks.runs.train import Run, evaluation_budget, plan_recipe, train, train_run

__all__ = [
    "Comparison",
    "Model",
    "Run",
    "compare_recipes",
    "compare_runs",
    "evaluation_budget",
    "load",
    "originals_of",
    "plan_recipe",
    "show_comparison",
    "train",
    "train_run",
]
