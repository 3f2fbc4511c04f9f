"""From a model to a folder that others can use: graphs checked against torch, or the artifact itself, with a model card."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vaeworks.errors import ArtifactError, VaeworksError
from vaeworks.export import GRAPHS, Format, bundle
from vaeworks.runs.card import card_files

if TYPE_CHECKING:
    from vaeworks.runs.model import Model

__all__ = ["Exported", "export_model", "replaced_folder"]


@dataclass(frozen=True)
class Exported:
    """What was exported, and how well it agrees."""

    folder: Path
    files: tuple[str, ...]
    differences: dict[str, float]
    """Of each graph the greatest difference from torch, relative where numbers are above 1; empty for safetensors, which are the weights themselves."""


def export_model(
    model: Model,
    out: str | Path,
    *,
    format: Format = "onnx",
    only: Iterable[str] = (),
    license: str | None = None,
    run: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Exported:
    """Write ``model`` into the new folder ``out``: ``onnx`` or ``torch`` graphs (encoder, decoder, sampler, or those in ``only``), or ``safetensors``, with a model card.

    Every graph is compared with the model on batches of 1, 2 and 7 first. ``run``: the run folder whose figures and samples the card shows; None: the one that the model was loaded from.
    ArtifactError where a part cannot be exported, or does not agree to 1e-4; nothing is written then, and what ``out`` held is as it was.
    """
    chosen = tuple(only) or GRAPHS
    if unknown := [name for name in chosen if name not in GRAPHS]:
        raise VaeworksError(f"only={', '.join(unknown)}: no such graph; choose among {', '.join(GRAPHS)}")
    target = _free(Path(out), overwrite)
    card = card_files(model, license=license, run=run, graphs="" if format == "safetensors" else format)
    differences: dict[str, float] = {}
    if format == "safetensors":
        files = dict(card)
    else:
        device = model.device
        model.vae.to("cpu")  # a graph is written where its constants are
        try:
            facts = {"model": _card_name(model), "latent_size": model.vae.latents.code_size, "recipe": model.recipe.name}
            graphs, differences = bundle(model.vae, model.schema, format, only=chosen, facts=facts, progress=progress)
        finally:
            model.vae.to(device)
        files = {**card, **graphs}
    with replaced_folder(target, files) as folder:
        if format == "safetensors":
            model.save(folder)
    return Exported(target, tuple(sorted(path.name for path in target.iterdir())), differences)


def _card_name(model: Model) -> str:
    """What people call the model."""
    return f"{model.schema.source}: {model.recipe.name}" if model.schema.source else model.recipe.name


def _free(target: Path, overwrite: bool) -> Path:
    """``target`` where a folder can be put there."""
    if target.exists() and not target.is_dir():
        raise ArtifactError(f"{target} is a file: choose a folder with -o")
    if target.is_dir() and any(target.iterdir()):
        if not overwrite:
            raise ArtifactError(f"{target} is not empty: choose another -o, or replace an earlier export with --overwrite")
        if not ((target / "export.json").is_file() or (target / "README.md").is_file()) or (target / "run.json").is_file():
            raise ArtifactError(f"{target} holds no export, and is not overwritten: choose another -o")
    return target


class replaced_folder:  # noqa: N801 (a context manager)
    """A folder filled aside, which takes the place of ``target`` at once when all has gone well; else nothing is left of it."""

    def __init__(self, target: Path, files: dict[str, bytes]):
        self.target, self.files = target, files

    def __enter__(self) -> Path:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.aside = Path(tempfile.mkdtemp(prefix=f".{self.target.name}.", suffix=".tmp", dir=self.target.parent))
            self.aside.chmod(0o777 & ~_umask())
            for name, content in self.files.items():
                (self.aside / name).write_bytes(content)
        except OSError as error:
            if hasattr(self, "aside"):
                shutil.rmtree(self.aside, ignore_errors=True)
            raise ArtifactError(f"cannot write {self.target}: {error.strerror}") from error
        return self.aside

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self.aside, ignore_errors=True)
            return
        old = self.aside.with_suffix(".old")
        try:
            if self.target.is_dir():
                self.target.rename(old)
            self.aside.rename(self.target)
        except OSError as error:
            shutil.rmtree(self.aside, ignore_errors=True)
            raise ArtifactError(f"cannot write {self.target}: {error.strerror}") from error
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
