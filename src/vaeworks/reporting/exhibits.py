"""Exhibits: items of any kind, in one version or several, as people look at them, in files and on the page."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np
from torch import Tensor

from vaeworks.errors import ArtifactError
from vaeworks.files import replace_file
from vaeworks.model import Schema

__all__ = ["Exhibit", "Remains"]

LINES, LETTERS = 40, 4000
"""What is shown of a text file at most."""

AnySchema = TypeVar("AnySchema", bound=Schema)


class Exhibit(ABC, Generic[AnySchema]):
    """Versions of the same N items by name, x (N, *shape) each: {"samples": x}, or {"original": x, "reconstruction": x}.

    A path that ends in none of ``suffixes`` is a folder. The last version is what a folder or an array of items holds.
    """

    suffixes: ClassVar[tuple[str, ...]]
    """What a file can end in, beside .npy for the stored values; the first is the usual one, "" for a folder."""

    def __init__(self, schema: AnySchema, versions: Mapping[str, Tensor], names: tuple[str, ...] | None = None, *, in_order: bool = False):
        self.schema, self.versions, self.names, self.in_order = schema, dict(versions), names, in_order

    @property
    def last(self) -> Tensor:
        """The version that is written where there is room for one."""
        return list(self.versions.values())[-1]

    def stem(self, i: int) -> str:
        """The name of item i as a file: that of the file it came from, where there is one, and its number."""
        number = f"{i:0{len(str(len(self.last) - 1))}}"
        return f"{Path(self.names[i]).stem}-{number}" if self.names else number

    def write(self, path: Path) -> str:
        """Write to a file of one of ``suffixes``, to .npy or into a folder; returns what was written, for people. ArtifactError where the disk refuses."""
        if path.suffix.lower() == ".npy":
            buffer = io.BytesIO()
            np.save(buffer, self.schema.to_values(self.last).numpy())
            replace_file(path, buffer.getvalue())
            return str(path)
        if path.suffix:
            self.write_file(path)
            return str(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(f"-o {path}: the folder cannot be made ({error.strerror})") from error
        return f"{self.write_folder(path)} in {path}"

    @abstractmethod
    def write_file(self, path: Path) -> None:
        """One file with everything."""

    @abstractmethod
    def write_folder(self, path: Path) -> str:
        """A file for each item; returns how many of what."""

    @abstractmethod
    def html(self, alternative: str, budget: int) -> str:
        """The exhibit on the page, of ``budget`` bytes at most as far as that can be."""


@dataclass(frozen=True)
class Remains:
    """A text file that an exhibit was written to, where the items are no longer at hand."""

    text: str

    def html(self, alternative: str, budget: int) -> str:
        """Its beginning, as it stands."""
        lines = self.text.splitlines()
        shown = "\n".join(lines[:LINES])[: min(LETTERS, budget)]
        more = f'<p class="quiet">and {len(lines) - LINES:,} more lines</p>' if len(lines) > LINES else ""
        return f'<pre tabindex="0" role="region" aria-label="{escape(alternative)}">{escape(shown)}</pre>{more}'
