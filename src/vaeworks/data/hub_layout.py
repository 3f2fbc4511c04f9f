"""What to take of a data set's columns: the one of pictures or sounds, or those of text and numbers, and the one with the label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vaeworks.data.options import Options
from vaeworks.errors import DataError

__all__ = ["Layout", "layout_of"]

_MEDIA: Final = {"Image": "image", "Audio": "audio"}
_THINGS: Final = {"image": "pictures", "audio": "sounds"}
_SAID: Final = ("label", "labels")
_BYTES: Final = ("binary", "large_binary", "binary_view", "null")


@dataclass(frozen=True)
class Layout:
    """What is taken of each row."""

    kind: str
    """``image``, ``audio``, or ``flat``: text or a table, as the cells tell."""
    media: str | None
    """The column of pictures or sounds."""
    cells: Mapping[str, tuple[str, ...]]
    """The columns of strings, numbers and classes, each with the keys that lead to it."""
    classes: Mapping[str, tuple[str, ...]]
    """The names of the classes in those columns that have some."""
    label: str | None
    """The column with the label, where nobody says."""
    aside: tuple[str, ...]
    """Columns that are left out."""


def layout_of(features: Mapping[str, Any], options: Options, what: str) -> Layout:
    """What ``options`` take of columns with these ``features`` of the library ``datasets``. DataError where they hold nothing of use, or it is not plain what to take."""
    leaves = dict(_leaves(features))
    held = {name: type(feature).__name__ for name, (_, feature) in leaves.items()}
    cells = {name: keys for name, (keys, feature) in leaves.items() if held[name] == "ClassLabel" or _is_plain(feature)}
    for asked, option in ((options.column, "--column"), (options.label, "--label")):
        if asked is not None and asked not in leaves:
            raise DataError(f"{what} has no column {asked!r}, as {option} asks for: choose one of {', '.join(list(leaves)[:20])}")
    if options.label is not None and options.label not in cells:
        raise DataError(
            f"{what}: column {options.label!r}, {held[options.label]}, holds no labels: choose one of {', '.join(list(cells)[:20]) or 'none'}"
        )
    media = {name: _MEDIA[kind] for name, kind in held.items() if kind in _MEDIA and len(leaves[name][0]) == 1}
    kind, column = _chosen(media, cells, options, what, held)
    classes = {name: tuple(map(str, leaves[name][1].names)) for name in cells if held[name] == "ClassLabel"}
    told = [name for name in cells if name.lower() in _SAID and (name in classes or kind != "flat")] + list(classes)
    aside = tuple(name for name in leaves if name not in cells and name != column)
    return Layout(kind, column, cells, classes, told[0] if told else None, aside)


def _leaves(features: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[tuple[str, ...], Any]]]:
    """Every column, those inside others as ``outer.inner``, with the keys that lead to it."""
    for name, feature in features.items():
        keys = (*above, name)
        if isinstance(feature, dict):
            yield from _leaves(feature, keys)
        elif type(feature).__name__ == "Translation":
            for language in feature.languages:
                yield ".".join((*keys, language)), ((*keys, language), str)
        else:
            yield ".".join(keys), (keys, feature)


def _is_plain(feature: Any) -> bool:
    return feature is str or (type(feature).__name__ == "Value" and feature.dtype not in _BYTES)


def _chosen(media: dict[str, str], cells: Mapping[str, Any], options: Options, what: str, held: dict[str, str]) -> tuple[str, str | None]:
    """The kind, and the column of pictures or sounds."""
    having = ", ".join(f"{name} ({kind})" for name, kind in list(held.items())[:20]) or "none"
    if options.kind in {"text", "table"} or (options.kind is None and (not media or options.column in cells)):
        if not cells:
            raise DataError(
                f"{what} has no column of pictures, sounds, strings or numbers, but {having}: choose another data set, or give it as arrays"
            )
        return "flat", None
    kind = options.kind or media[options.column or next(iter(media))]
    names = [name for name, own in media.items() if own == kind and options.column in {None, name}]
    if not names:
        lacking = f"column {options.column!r} holds no {_THINGS[kind]}" if options.column else f"there is no column of {_THINGS[kind]}"
        raise DataError(f"{what}: {lacking}; it has {having}: choose another column or data set, or leave --kind out")
    if len(names) > 1:
        raise DataError(f"{what} has several columns of {_THINGS[kind]} ({', '.join(names)}): say which with --column {names[0]}")
    return kind, names[0]
