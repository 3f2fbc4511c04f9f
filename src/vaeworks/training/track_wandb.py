"""Weights & Biases."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vaeworks.training.tracking import Tracker

__all__ = ["CURE", "WandbTracker", "begin"]

CURE: Final = "log in with `wandb login`, or set WANDB_MODE=offline"
_PATIENCE: Final = 60
"""Seconds that the end of a run waits for what is not uploaded yet; it stays on the disk, and `wandb sync` sends it."""


def begin(folder: Path | None, title: str, config: Mapping[str, Any], identity: str | None) -> WandbTracker:
    """A new run, or the one of ``identity``; WANDB_PROJECT, WANDB_DIR, WANDB_MODE ... are heeded, and what is kept on this machine lies in the run's folder."""
    wandb: Any = importlib.import_module("wandb")
    wanted: dict[str, Any] = {"console": "off"}  # the terminal has a progress bar of ours
    known = getattr(wandb.Settings, "model_fields", {})
    wanted |= {name: value for name, value in {"finish_timeout": _PATIENCE, "silent": True}.items() if name in known}
    place = os.environ.get("WANDB_DIR") or (None if folder is None else str(folder))
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "vaeworks"), name=title, dir=place, config=dict(config), id=identity, resume="allow" if identity else None,
        settings=wandb.Settings(**wanted),
    )  # fmt: skip
    run.define_metric("step")
    run.define_metric("*", step_metric="step")
    return WandbTracker(wandb, run)


class WandbTracker(Tracker):
    """A run of Weights & Biases."""

    def __init__(self, library: Any, run: Any):
        self._library, self._run, self.identity = library, run, str(run.id)
        self.where = str(run.dir if run.offline else run.url)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({"step": step, **numbers})

    def finish(self, figures: Mapping[str, float], folder: Path | None, files: Sequence[Path]) -> None:
        pictures = [path for path in files if path.suffix == ".png"]
        if folder is not None:
            self._run.log({path.relative_to(folder).with_suffix("").as_posix(): self._library.Image(str(path)) for path in pictures})
            kept = self._library.Artifact(f"run-{self.identity}", type="run")
            for path in files:
                kept.add_file(str(path), name=path.relative_to(folder).as_posix())
            self._run.log_artifact(kept)
        self._run.summary.update(dict(figures))

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))
