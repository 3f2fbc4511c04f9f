"""MLflow."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vaeworks.training.tracking import Tracker, flat

__all__ = ["CURE", "MlflowTracker", "begin"]

CURE: Final = "set MLFLOW_TRACKING_URI to a server or a database that can be reached"
_PATIENCE: Final = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""How long a server that is gone may hold up a training, where nobody said; MLflow's own patience is minutes for each line."""
_AT_ONCE: Final = 100


def begin(_: Path | None, title: str, config: Mapping[str, Any], identity: str | None) -> MlflowTracker:
    """A new run, or the one of ``identity``, at MLFLOW_TRACKING_URI in MLFLOW_EXPERIMENT_NAME, "vaeworks" where nobody says."""
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    mlflow: Any = importlib.import_module("mlflow")
    entities: Any = importlib.import_module("mlflow.entities")
    client = mlflow.MlflowClient()
    if identity is not None:
        client.update_run(identity, status="RUNNING")
        return MlflowTracker(client, entities, identity)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "vaeworks")
    experiment = client.get_experiment_by_name(name)
    number = client.create_experiment(name) if experiment is None else experiment.experiment_id
    tracker = MlflowTracker(client, entities, client.create_run(number, run_name=title).info.run_id)
    told = [entities.Param(key, str(value)[:500]) for key, value in flat(config).items()]
    for start in range(0, len(told), _AT_ONCE):
        client.log_batch(tracker.identity, params=told[start : start + _AT_ONCE])
    return tracker


class MlflowTracker(Tracker):
    """A run of MLflow, by its client, which leaves the run that a program of the user's may have begun alone."""

    def __init__(self, client: Any, entities: Any, identity: str):
        self._client, self._entities, self.identity = client, entities, identity
        self.where = f"{client.tracking_uri}, run {identity}"

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(self.identity, metrics=[self._entities.Metric(name, value, now, step) for name, value in numbers.items()])

    def finish(self, figures: Mapping[str, float], folder: Path | None, files: Sequence[Path]) -> None:
        for name, value in figures.items():
            self._client.log_metric(self.identity, f"final {name}", value)
        for path in files:
            inside = None if folder is None else path.parent.relative_to(folder).as_posix()
            self._client.log_artifact(self.identity, str(path), None if inside in {None, "."} else inside)

    def close(self, *, failed: bool) -> None:
        self._client.set_terminated(self.identity, "FAILED" if failed else "FINISHED")
