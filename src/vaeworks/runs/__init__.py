"""Runs: from data to a folder that holds a trained model and what is known of it, and back to a Model."""

from vaeworks.runs.begun import Begun, begun, data_of, held_out_of
from vaeworks.runs.budget import evaluation_budget
from vaeworks.runs.calibration import ScoreCalibration, calibrate, recalibrate
from vaeworks.runs.compare import Comparison, compare_recipes, compare_runs, show_comparison
from vaeworks.runs.display import Display
from vaeworks.runs.exporting import Exported, export_model
from vaeworks.runs.filling import Imputation, filled_waves
from vaeworks.runs.fit_prior import KINDS, FittedPrior, fit_prior
from vaeworks.runs.language_model import load_language_model, train_language_model
from vaeworks.runs.model import Model, load
from vaeworks.runs.scores import Attribution, Scores
from vaeworks.runs.show import originals_of
from vaeworks.runs.table_filling import filled_frame
from vaeworks.runs.train import Run, plan_recipe, train, train_run

__all__ = [
    "KINDS",
    "Attribution",
    "Begun",
    "Comparison",
    "Display",
    "Exported",
    "FittedPrior",
    "Imputation",
    "Model",
    "Run",
    "ScoreCalibration",
    "Scores",
    "begun",
    "calibrate",
    "compare_recipes",
    "compare_runs",
    "data_of",
    "evaluation_budget",
    "export_model",
    "filled_frame",
    "filled_waves",
    "fit_prior",
    "held_out_of",
    "load",
    "load_language_model",
    "originals_of",
    "plan_recipe",
    "recalibrate",
    "show_comparison",
    "train",
    "train_language_model",
    "train_run",
]
