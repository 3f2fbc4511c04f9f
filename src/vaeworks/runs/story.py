"""story.json: what is told of a run beside its numbers, so that its page can be made again."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaeworks.errors import ArtifactError
from vaeworks.files import replace_file

__all__ = ["FILE", "Story", "story_of"]

FILE = "story.json"


@dataclass(frozen=True)
class Story:
    """How a run came about and went."""

    notes: tuple[str, ...] = ()
    """What the data were, a sentence each."""
    choices: tuple[str, ...] = ()
    """What was chosen and why, a sentence each."""
    command: str = ""
    """The command that made the run."""
    best_step: int | None = None
    """The step whose weights were kept."""
    ending: str = ""
    """How training ended, a sentence."""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    lines: tuple[dict[str, Any], ...] = ()
    """Those of metrics.jsonl, which has them."""

    def write(self, folder: Path) -> None:
        """Into ``folder``, atomically."""
        told = {name: value for name, value in dataclasses.asdict(self).items() if name != "lines"}
        replace_file(folder / FILE, json.dumps(told, indent=2).encode("utf-8", "backslashreplace"))


def story_of(folder: Path) -> Story:
    """What the run in ``folder`` tells of itself; of one that an earlier version left the lines, and the best step that they show. ArtifactError where a file is damaged."""
    lines = _lines(folder / "metrics.jsonl")
    path = folder / FILE
    if not path.is_file():
        return Story(best_step=_best(lines), lines=lines)
    try:
        told = json.loads(path.read_text("utf-8"))
        best = told.get("best_step")
        return Story(
            tuple(map(str, told["notes"])), tuple(map(str, told["choices"])), str(told["command"]), _best(lines) if best is None else int(best),
            str(told.get("ending", "")), {str(name): str(version) for name, version in told.get("versions", {}).items()}, lines,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}): remove it, and what it told is left out") from error


def _lines(path: Path) -> tuple[dict[str, Any], ...]:
    if not path.is_file():
        return ()
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}): restore it, or remove it and do without learning curves") from error
    return tuple(line for line in lines if isinstance(line, dict) and isinstance(line.get("step"), int))


def _best(lines: tuple[dict[str, Any], ...]) -> int | None:
    """The step of the lowest loss on validation items."""
    scored = [(line["validation_loss"], line["step"]) for line in lines if math.isfinite(line.get("validation_loss", math.nan))]
    return min(scored)[1] if scored else None
