"""Recipes: named TOML files, read, overridden, checked and written."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from vaeworks.errors import RecipeError
from vaeworks.recipes.knobs import AXES, RecipeModel

__all__ = ["Recipe", "check_recipe", "load_recipe", "measured", "parse_override", "parse_recipe", "recipe_names"]


@dataclass(frozen=True)
class Recipe:
    """A checked recipe: which part stands on each axis, with every knob resolved."""

    values: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.values["name"])

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def to_toml(self) -> str:
        """The complete recipe; ``load_recipe`` reads it back to the same values."""
        return tomli_w.dumps(_without_none(self.values))

    def with_likelihood(self, kind: str) -> Recipe:
        """The same recipe with the likelihood filled in, where it had left it to the data."""
        return self if self.values["likelihood"] else check_recipe({**_without_none(self.values), "likelihood": {"kind": kind}})


def recipe_names() -> list[str]:
    """Names of the built-in recipes."""
    return sorted(f.name.removesuffix(".toml") for f in files("vaeworks.recipes").joinpath("library").iterdir() if f.name.endswith(".toml"))


def measured() -> dict[str, Any]:
    """What ``benchmarks/recipes.py`` measured: ``protocol``, a sentence, and ``figures``, by recipe name a dictionary of value, standard_error (or None), unit and meaning."""
    found: dict[str, Any] = json.loads(files("vaeworks.recipes").joinpath("library", "measured.json").read_text("utf-8"))
    return found


def load_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """A built-in recipe by name, or a TOML file by path, with ``overrides`` such as ``objective.beta=4`` applied; RecipeError where anything is unknown or out of range."""
    if name in recipe_names():
        text = _library_text(name)
    elif name.endswith(".toml") and Path(name).is_file():
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"recipe {name} cannot be read as text: {error}") from error
    else:
        close = difflib.get_close_matches(name, recipe_names(), 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise RecipeError(f"no recipe {name!r}: {hint}the built-in ones are {', '.join(recipe_names())}; a file must exist and end in .toml")
    return parse_recipe(text, name, overrides)


def _library_text(name: str) -> str:
    return files("vaeworks.recipes").joinpath("library", f"{name}.toml").read_text("utf-8")


def _library(name: str) -> dict[str, Any]:
    """A built-in recipe as it is written, with that of its base below it."""
    values = tomllib.loads(_library_text(name))
    base = values.pop("base", None)
    return values if base is None else _over(_library(base), values)


def _over(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """``values`` laid over ``base``: knob by knob where a section keeps its kind, as a whole where it does not."""
    merged = dict(base)
    for key, value in values.items():
        below = base.get(key)
        same = isinstance(value, dict) and isinstance(below, dict) and value.get("kind", below.get("kind")) == below.get("kind")
        merged[key] = {**below, **value} if same and isinstance(below, dict) else value
    return merged


def parse_recipe(text: str, origin: str, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe written in ``text``; ``origin`` names it in errors. ``base`` names a built-in recipe that it changes."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {origin} is not valid TOML: {error}") from error
    base = values.pop("base", None)
    if base is not None:
        if base not in recipe_names():
            raise RecipeError(f"recipe {origin}: base = {base!r} is no built-in recipe; those are {', '.join(recipe_names())}")
        values = _over(_library(base), values)
    values.setdefault("name", Path(origin).stem)
    for override in overrides:
        _apply(values, *parse_override(override))
    return check_recipe(values)


def parse_override(text: str) -> tuple[list[str], Any]:
    """``objective.beta=4`` -> (["objective", "beta"], 4): the value is read as TOML, and as a string where it is no TOML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {text!r} is not of the form key=value, for example --set objective.beta=4")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    return key.strip().split("."), parsed["value"] if set(parsed) == {"value"} else value.strip()


def _apply(values: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, last = path
    for parent in parents:
        child = values.setdefault(parent, {})
        if not isinstance(child, dict):
            raise RecipeError(f"--set {'.'.join(path)}: {parent!r} is a value, not a section")
        values = child
    if last == "kind" and values.get("kind") != value:
        values.clear()  # the old part's knobs do not fit the new part
    values[last] = value


def check_recipe(values: dict[str, Any]) -> Recipe:
    """``values`` checked against the constructors' signatures, with every default filled in."""
    values = {
        key: value if not isinstance(value, dict) or "kind" in value or key == "training" else {**_default_kind(key), **value}
        for key, value in values.items()
    }
    try:
        return Recipe(RecipeModel.model_validate(values).model_dump())
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(values, e) for e in error.errors())) from error


def _default_kind(axis: str) -> dict[str, str]:
    from vaeworks.recipes.knobs import DEFAULTS

    return {"kind": DEFAULTS[axis]} if axis in DEFAULTS else {}


def _explain(values: dict[str, Any], error: Any) -> str:
    """One sentence for one pydantic error: the key, the value, and what would be right."""
    location = [str(part) for part in error["loc"]]
    axis = location[0]
    # pydantic puts the union's tag into the location: objective.elbo.beta is objective.beta to people
    path = ".".join(part for i, part in enumerate(location) if not (i > 0 and part in _kinds(location[i - 1])))
    value = error["input"]
    if error["type"] == "extra_forbidden":
        section = values.get(axis) if len(location) > 1 else values
        known = _known(axis, section) if len(location) > 1 else list(RecipeModel.model_fields)
        close = difflib.get_close_matches(location[-1], known, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"unknown recipe key {path!r}: {hint}valid keys here are {', '.join(known)}"
    lone = error["type"] == "literal_error" and location[-1] == "kind"  # an axis on which one part stands has no union
    if lone or error["type"] == "union_tag_invalid":
        kinds = _kinds(location[-2] if lone else location[-1])
        tag = value.get("kind") if isinstance(value, dict) else value
        close = difflib.get_close_matches(str(tag), kinds, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{path if lone else f'{path}.kind'} = {tag!r} is unknown: {hint}choose one of {', '.join(kinds)}"
    if error["type"] in {"missing", "union_tag_not_found"}:
        kinds = _kinds(location[-1])
        return f"the recipe lacks {path!r}" + (f": give {path}.kind, one of {', '.join(kinds)}" if kinds else "")
    return f"{path} = {value!r}: {error['msg'][0].lower() + error['msg'][1:]}"


def _kinds(axis: str) -> list[str]:
    from vaeworks.objectives import SCHEDULES

    return list(SCHEDULES) if axis == "schedule" else list(AXES.get(axis, ()))


def _known(axis: str, section: Any) -> list[str]:
    from vaeworks.recipes.knobs import knobs
    from vaeworks.training import Trainer

    if axis == "training":
        return list(knobs(Trainer))
    kind = section.get("kind") if isinstance(section, dict) else None
    part = AXES.get(axis, {}).get(str(kind))
    return ["kind", *(knobs(part) if part else ())]


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return list(map(_without_none, value)) if isinstance(value, list | tuple) else value
