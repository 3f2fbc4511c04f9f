"""The two verbs of this room: open a source to learn from, and read items for a model that has learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Union

import torch
from numpy.typing import NDArray

from vaeworks.data.builtin import parse
from vaeworks.data.folder import is_picture
from vaeworks.data.hub_store import Stored, held
from vaeworks.data.images import open_images, read_images
from vaeworks.data.items import Data, Items
from vaeworks.data.options import Kind, Options
from vaeworks.data.sounds import is_sound, open_sounds, read_sounds
from vaeworks.data.tables import is_table, open_tables, read_tables
from vaeworks.data.texts import is_text, open_texts, read_texts
from vaeworks.errors import DataError
from vaeworks.model import Schema

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["HubSet", "Source", "kind_of", "open_data", "read_items"]


class HubSet(Protocol):
    """What ``datasets.Dataset`` and ``IterableDataset`` have in common."""

    @property
    def features(self) -> Any: ...

    @property
    def split(self) -> Any: ...


Source = Union[str, Path, NDArray[Any], torch.Tensor, "Image", Sequence["Image"], Sequence[NDArray[Any]], Sequence[str], HubSet, Mapping[str, HubSet]]
_KINDS: dict[Kind, tuple[Callable[[Any, Options], Data], Callable[[Any, Any, Options], Items]]] = {
    "image": (open_images, read_images),
    "text": (open_texts, read_texts),
    "audio": (open_sounds, read_sounds),
    "table": (open_tables, read_tables),
}
_LOOKED_AT = 10_000
"""Files of a folder that its kind is told by."""
_MIXED = 0.2
"""A folder with a larger share of files of another kind is not taken for granted."""


def open_data(source: Source, *, options: Options | None = None) -> Data:
    """Look at a source, describe it in a Schema, and split its items into training, validation and test.

    ``source`` is a built-in name (``digits``, ``mnist``, ``mnist-binarized:dynamic`` ...), a folder of pictures or of sounds, a file of text or of a table, a .npy, .npz or idx file,
    an array or tensor of pictures (N, H, W), (N, H, W, C) or (N, C, H, W) or of rows (N, D), a data frame, or a sequence of PIL images, of strings or of dictionaries;
    or, with the extra ``datasets``, ``hf://org/name[/config][@revision][:split]``, ``hf://`` and a folder, or a Dataset, IterableDataset or dictionary of them.
    DataError where it cannot be read or learned from.

    >>> data = open_data("digits", options=Options(seed=1))
    >>> data.schema.shape, len(data.train), len(data.validation), len(data.test)
    ((1, 8, 8), 1437, 180, 180)
    """
    with held(source, options or Options()) as (found, reading):
        return _KINDS[kind_of(found, reading)][0](found, reading)


def read_items(source: Source, schema: Schema, *, options: Options | None = None) -> Items:
    """Items from a source, in the form that a trained model knows; labels are numbers into ``schema.classes``.

    A built-in set gives ``options.split``, its test items by default; anything else gives all its items, or ``options.split`` of them. The split is
    the one ``open_data`` makes with the same options. DataError where the items cannot be made to conform.
    """
    kind: Any = schema.kind
    with held(source, replace(options or Options(), kind=kind)) as (found, reading):
        return _KINDS[kind][1](found, schema, reading)


def kind_of(source: Source | Stored, options: Options) -> Kind:
    """What a source holds, as ``options.kind`` or its files say; DataError where a folder's files do not agree."""
    if options.kind is not None:
        return options.kind
    if isinstance(source, str) and parse(source) is not None:
        return "image"
    if is_table(source, options):
        return "table"
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        return _kind_of_folder(path) if path.is_dir() else _kind_of_file(path) or "image"
    if isinstance(source, Stored):
        return "image" if source.kind == "image" else "audio" if source.kind == "audio" else "text"
    return "text" if isinstance(source, Sequence) and len(source) and all(isinstance(item, str) for item in source) else "image"


def _kind_of_file(path: Path) -> Kind | None:
    return "text" if is_text(path) else "audio" if is_sound(path) else "image" if is_picture(path) else None


def _kind_of_folder(root: Path) -> Kind:
    """The kind of nearly all of a folder's files; text beside pictures or sounds is taken for notes about them."""
    found: Counter[Kind] = Counter()
    for number, path in enumerate(root.rglob("*")):
        kind = _kind_of_file(path) if number < _LOOKED_AT else None
        if kind is not None and not path.name.startswith(".") and path.is_file():
            found[kind] += 1
    if len(found) > 1:
        del found["text"]
    if not found:
        return "image"
    kind, most = found.most_common(1)[0]
    if found.total() - most > _MIXED * found.total():
        held = ", ".join(f"{count} of {name}" for name, count in found.most_common())
        raise DataError(f"{root} holds files of more than one kind ({held}): say which to learn from with --kind {kind}")
    return kind
