"""A run told to trackers that people already use, beside metrics.jsonl and TensorBoard: none of them can stop a training once it has begun."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vaeworks.errors import VaeworksError
from vaeworks.files import replace_file

__all__ = ["TRACKERS", "Tracker", "Tracking", "check_trackers", "flat"]

TRACKERS: Final = ("wandb", "mlflow")
_FILE: Final = "track.json"


class Tracker(ABC):
    """One run at one tracker. Whatever it raises is told once, and it is left alone from then on."""

    identity: str
    """By which the tracker finds the run again."""
    where: str
    """Where people find it."""

    @abstractmethod
    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers of one validation."""

    @abstractmethod
    def finish(self, figures: Mapping[str, float], folder: Path | None, files: Sequence[Path]) -> None:
        """The final figures, and files in ``folder``: pictures, sounds, text, the report."""

    @abstractmethod
    def close(self, *, failed: bool) -> None:
        """End the run."""


def check_trackers(names: Iterable[str]) -> tuple[str, ...]:
    """``names``, each once. VaeworksError for one that is unknown, or whose library is not installed: asked before anything is read or trained."""
    chosen = tuple(dict.fromkeys(names))
    for name in chosen:
        if name not in TRACKERS:
            raise VaeworksError(f"there is no tracker {name!r}: choose of {', '.join(TRACKERS)}; TensorBoard's events are always written")
        if not _installed(name):
            raise VaeworksError(f"tracking with {name} needs the extra {name!r}: pip install 'vaeworks[{name}]'")
    return chosen


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # a module that something else put in its place
        return sys.modules.get(name) is not None


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested tables with dotted keys, as ``--set`` writes them; what is None is left out."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{key}.")
        elif value is not None:
            found[f"{above}{key}"] = list(value) if isinstance(value, tuple) else value
    return found


class Tracking:
    """The trackers of a run, each begun, or gone on with where ``resume``; with ``folder`` None they are not found again.

    ``title`` names the run, ``config`` is its recipe and data. VaeworksError where a tracker cannot begin.
    """

    def __init__(self, names: Sequence[str], *, folder: Path | None, title: str, config: Mapping[str, Any], resume: bool, say: Callable[[str], None]):
        self._say, self._folder = say, folder
        self._file = None if folder is None else folder / _FILE
        self._known: dict[str, dict[str, Any]] = self._read() if resume else {}
        self._live: dict[str, Tracker] = {}
        for name in names:
            room = importlib.import_module(f"vaeworks.training.track_{name}")
            before = self._known.get(name, {}).get("id")
            try:
                self._live[name] = room.begin(folder, title, config, before)
            except Exception as error:  # a tracker's library raises what its server, its file or its login make it raise
                self.close(failed=True)
                raise VaeworksError(f"{name} cannot begin a run ({_said(error)}): {room.CURE}, or leave --track {name} out") from error
            say(f"Told to {name} as well: {self._live[name].where}.")
            self._known[name] = {"id": self._live[name].identity, "step": self._known.get(name, {}).get("step", -1) if before else -1}
        self._write()

    def listen(self, line: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl, passed on to those trackers that have not had it."""
        step = int(line["step"])
        numbers = {name: float(value) for name, value in line.items() if name != "step" and isinstance(value, int | float) and math.isfinite(value)}
        for name in list(self._live):
            if step > self._known[name]["step"] and self._try(name, lambda tracker: tracker.log(step, numbers)):
                self._known[name]["step"] = step
        if self._live:
            self._write()

    def finish(self, figures: Mapping[str, float], patterns: Iterable[str] = ()) -> None:
        """The final figures, and the files of the run's folder that fit ``patterns``."""
        files = [] if self._folder is None else sorted({path for pattern in patterns for path in self._folder.glob(pattern) if path.is_file()})
        for name in list(self._live):
            self._try(name, lambda tracker: tracker.finish(figures, self._folder, files))

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close(failed=kind is not None)

    def close(self, *, failed: bool) -> None:
        """End the run at every tracker."""
        for name in list(self._live):
            self._try(name, lambda tracker: tracker.close(failed=failed))
        self._live.clear()

    def _try(self, name: str, act: Callable[[Tracker], None]) -> bool:
        try:
            act(self._live[name])
        except Exception as error:  # as above
            del self._live[name]
            self._say(f"Warning: {name} failed ({_said(error)}), and is told nothing more; training goes on, and metrics.jsonl has everything.")
            return False
        return True

    def _read(self) -> dict[str, dict[str, Any]]:
        if self._file is None or not self._file.is_file():
            return {}
        try:
            return {
                str(name): {"id": str(facts["id"]), "step": int(facts["step"])} for name, facts in json.loads(self._file.read_text("utf-8")).items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # a tracker's run begins anew

    def _write(self) -> None:
        if self._file is not None and self._known:
            replace_file(self._file, json.dumps(self._known).encode())


def _said(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
