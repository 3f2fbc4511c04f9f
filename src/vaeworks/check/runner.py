"""The registry of checks, and the loop that runs them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from vaeworks.check.annealed import check_annealed
from vaeworks.check.bounds import check_bounds
from vaeworks.check.calibration import check_calibration
from vaeworks.check.divergences import check_divergences
from vaeworks.check.estimators import check_estimators
from vaeworks.check.flows import check_flows
from vaeworks.check.gradients import check_gradients
from vaeworks.check.importance import check_importance
from vaeworks.check.normalisation import check_normalisation
from vaeworks.check.objectives import check_objectives
from vaeworks.check.probabilistic_pca import check_probabilistic_pca
from vaeworks.check.result import CheckResult, Setting
from vaeworks.check.sequences import check_sequences

__all__ = ["CHECKS", "run_checks"]

Check = Callable[[Setting], Iterator[CheckResult]]

CHECKS: dict[str, Check] = {
    "normalisation": check_normalisation,
    "divergences": check_divergences,
    "flows": check_flows,
    "objectives": check_objectives,
    "gradients": check_gradients,
    "gradient estimators": check_estimators,
    "importance sampling": check_importance,
    "annealed importance sampling": check_annealed,
    "bounds": check_bounds,
    "calibration": check_calibration,
    "sequences": check_sequences,
    "probabilistic PCA": check_probabilistic_pca,
}
"""Topic -> generator of results."""


def run_checks(device: str | torch.device = "cpu", progress: Callable[[str], None] | None = None, seed: int = 0) -> list[CheckResult]:
    """Runs every check on ``device``; a check that raises is a check that failed, and the others still run.

    progress: called with each topic's name before it starts.
    seed: of all random numbers; torch's streams on the CPU and on CUDA are left as they were.
    """
    setting = Setting.on(device)
    forked = [setting.device] if setting.device.type == "cuda" else []
    results: list[CheckResult] = []
    for topic, check in CHECKS.items():
        if progress is not None:
            progress(topic)
        with torch.random.fork_rng(forked):
            torch.manual_seed(seed)
            results += _run(topic, check, setting)
    return results


def _run(topic: str, check: Check, setting: Setting) -> Iterator[CheckResult]:
    """The topic's results, each with the time it took."""
    start = time.perf_counter()
    try:
        for result in check(setting):
            yield replace(result, seconds=time.perf_counter() - start)
            start = time.perf_counter()
    except Exception as error:  # whatever is wrong on this machine is what the user asked to be told
        seconds = time.perf_counter() - start
        yield CheckResult(topic, f"stopped by {type(error).__name__}: {error}", math.nan, math.nan, 0.0, passed=False, seconds=seconds)
