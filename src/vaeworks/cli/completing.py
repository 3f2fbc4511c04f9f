"""What the shell offers while a command is typed: found without importing anything heavy, for it is asked at every press of the key."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

__all__ = ["data_sources", "recipe_names", "run_folders", "set_keys", "trackers"]

_BUILTIN: Final = (
    "digits", "mnist", "mnist-binarized", "mnist-binarized:dynamic", "mnist-binarized:static", "fashion-mnist", "kmnist", "cifar10", "sprites", "hf://",
)  # fmt: skip
_HOME: Final = Path(__file__).parents[1]
_LOOKED_AT: Final = 2000
"""Entries of a folder, at most, among which runs are looked for."""
_MARKS: Final = ("run.json", "model.safetensors", "recipe.toml")


def _beginning(found: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in found if name.startswith(incomplete)]


def data_sources(incomplete: str) -> list[str]:
    """Built-in sets; where none fits, the shell offers paths."""
    return _beginning(_BUILTIN, incomplete)


def recipe_names(incomplete: str) -> list[str]:
    """The built-in recipes."""
    return _beginning(sorted(path.stem for path in (_HOME / "recipes" / "library").glob("*.toml")), incomplete)


def trackers(incomplete: str) -> list[str]:
    """Trackers that a training can be told to."""
    return _beginning(("mlflow", "wandb"), incomplete)


def set_keys(incomplete: str) -> list[tuple[str, str]]:
    """The knobs of recipes, ``objective.beta=``, with the parts that have them; after ``kind=`` the parts themselves."""
    lines = (line.split("\t") for line in (Path(__file__).parent / "knobs.txt").read_text("utf-8").splitlines())
    told = [(key, ", ".join(parts.split())) for key, parts in lines]
    if "=" in incomplete:
        key, _, begun = incomplete.partition("=")
        return [
            (f"{key}={part}", "")
            for own, parts in told
            if own == key and key.endswith(".kind")
            for part in parts.split(", ")
            if part.startswith(begun)
        ]
    return [(f"{key}=", parts) for key, parts in told if key.startswith(incomplete)]


def run_folders(incomplete: str) -> list[str]:
    """Run folders beside what is typed, and in runs/ where nothing is."""
    typed = Path(incomplete)
    above = typed if incomplete.endswith("/") else typed.parent
    places = [above] if incomplete else [Path(), Path("runs")]
    found: list[str] = []
    for place in places:
        try:
            entries = sorted(islice(place.expanduser().iterdir(), _LOOKED_AT))
        except OSError:
            continue
        found += [str(place / entry.name) for entry in entries if any((entry / mark).is_file() for mark in _MARKS)]
    if not incomplete.startswith("runs") and "/" not in incomplete:
        found += [name for name in (run_folders("runs/") if incomplete else []) if Path(name).name.startswith(incomplete)]
        return [name for name in found if name.startswith(incomplete) or name.startswith("runs")]
    return _beginning(found, incomplete.removeprefix("./"))
