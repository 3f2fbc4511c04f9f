"""The table of recipes, from the recipes' own summaries and what was measured of them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["expand", "library", "table"]

FOLDER = Path(__file__).parents[2] / "src" / "vaeworks" / "recipes" / "library"
MARK = re.compile(r"^<!-- recipes: (\w+) -->$", re.M)


def library() -> dict[str, dict[str, Any]]:
    """Every recipe as it is written, and of its base what kind of data it is for."""
    written = {path.stem: tomllib.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.toml"))}

    def data(recipe: dict[str, Any]) -> str:
        return recipe.get("data") or (data(written[recipe["base"]]) if "base" in recipe else "image")

    return {name: recipe | {"data": data(recipe)} for name, recipe in written.items()}


def table(kind: str) -> str:
    """The recipes for one kind of data, as Markdown, the measured ones first, best first."""
    figures = json.loads((FOLDER / "measured.json").read_text("utf-8"))["figures"]
    chosen = {name: recipe for name, recipe in library().items() if recipe["data"] == kind}
    rows = ["| recipe | what it is | measured | minutes | paper |", "|---|---|---|---|---|"]
    for name in sorted(chosen, key=lambda n: _order(figures.get(n))):
        figure = figures.get(name)
        rows.append(f"| `{name}` | {chosen[name]['summary']} | {_told(figure)} | {_minutes(figure)} | {_linked(chosen[name].get('paper', ''))} |")
    return "\n".join(rows)


def _order(figure: dict[str, Any] | None) -> tuple[str, float]:
    if figure is None:
        return "~", 0.0
    return "" if figure["meaning"] == "log p(x)" else figure["meaning"], figure["value"] * (1 if figure["unit"] == "squared error" else -1)


def _told(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return ""
    error = f" ± {figure['standard_error']:.2g}" if figure["standard_error"] is not None else ""
    return f"{figure['value']:.4g}{error} {figure['unit']}, {figure['meaning']}".replace("|", "\\|")


def _minutes(figure: dict[str, Any] | None) -> str:
    return "" if figure is None or figure.get("cpu_minutes") is None else f"{figure['cpu_minutes']:.2g}"


def _linked(paper: str) -> str:
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", paper)


def expand(markdown: str) -> str:
    """The page with its tables in place, and the sentence that tells how they were measured."""
    protocol = json.loads((FOLDER / "measured.json").read_text("utf-8"))["protocol"]
    return MARK.sub(lambda match: table(match[1]), markdown).replace("<!-- recipes protocol -->", protocol)
