"""The record of a run: a line of JSON per validation, and TensorBoard events beside it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vaeworks.errors import ArtifactError
from vaeworks.files import replace_file

__all__ = ["Record"]


class Record:
    """metrics.jsonl and TensorBoard events in ``folder``, kept in step with the checkpoint: on resuming, lines past it are dropped.

    With ``folder`` None, the record lives in memory alone. ``listen`` is called with each line, those that were kept first.
    """

    def __init__(self, folder: Path | None, *, kept: int = 0, listen: Callable[[Mapping[str, Any]], None] | None = None):
        self.lines: list[dict[str, Any]] = []
        self._file, self._writer, self._listen = None, None, listen or (lambda _: None)
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        if kept and path.is_file():
            try:
                self.lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()[:kept]]
            except ValueError as error:
                raise ArtifactError(f"{path} is damaged ({error}): restore it, or train without --resume") from error
        replace_file(path, "".join(json.dumps(line) + "\n" for line in self.lines).encode())  # killed here, nothing is lost
        self._file = path.open("a", encoding="utf-8")
        self._writer = _writer(folder, self.lines[-1]["step"] + 1 if self.lines else 0)
        for line in self.lines:
            self._listen(line)

    def add(self, line: dict[str, Any]) -> None:
        """Append one line: a ``step`` and named numbers."""
        self.lines.append(line)
        try:
            if self._file is not None:
                self._file.write(json.dumps(line) + "\n")
                self._file.flush()
            if self._writer is not None:
                for name, value in line.items():
                    if name != "step" and isinstance(value, int | float):
                        self._writer.add_scalar(name, value, line["step"])
        except OSError as error:
            raise ArtifactError(f"cannot write metrics of step {line['step']}: {error.strerror}; the last checkpoint is unchanged") from error
        self._listen(line)

    def close(self) -> None:
        """Close the files: every line was flushed, or its failure told."""
        for file in (self._file, self._writer):
            with contextlib.suppress(OSError):
                if file is not None:
                    file.close()


def _writer(folder: Path, purge_step: int) -> Any:
    """A TensorBoard writer, or None where tensorboard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=purge_step or None)
