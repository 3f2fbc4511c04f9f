"""The two verbs of this room: open a source to learn from, and read items for a model that has learned."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import torch
from numpy.typing import NDArray

from vaeworks.data.arrays import from_array
from vaeworks.data.builtin import NAMES, load_builtin, parse
from vaeworks.data.conform import binarise, conform, resize
from vaeworks.data.describe import describe, outside
from vaeworks.data.files import is_array_file, load_array_file
from vaeworks.data.folder import SUFFIXES, is_picture, load_folder, load_picture
from vaeworks.data.gallery import Picture, load_gallery
from vaeworks.data.items import Data, Items
from vaeworks.data.labels import keep_labels
from vaeworks.data.options import Options, check_size
from vaeworks.data.raw import TEST, TRAIN, VALIDATION, Raw
from vaeworks.data.split import choose, split
from vaeworks.errors import DataError
from vaeworks.model.schema import Binarisation, Schema

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Source", "open_data", "read_items"]

Source = Union[str, Path, NDArray[Any], torch.Tensor, "Image", Sequence["Image"], Sequence[NDArray[Any]]]
_PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


def open_data(source: Source, *, options: Options | None = None) -> Data:
    """Look at a source, describe it in a Schema, and split its items into training, validation and test.

    ``source`` is a built-in name (``digits``, ``mnist``, ``mnist-binarized:dynamic`` ...), a folder of pictures, a .npy, .npz or idx file, an array
    or tensor (N, H, W), (N, H, W, C) or (N, C, H, W), or a sequence of PIL images. DataError where it cannot be read or learned from.

    >>> data = open_data("digits", options=Options(seed=1))
    >>> data.schema.shape, data.schema.levels, len(data.train), len(data.validation), len(data.test)
    ((1, 8, 8), 17, 1437, 180, 180)
    """
    options = options or Options()
    raw, wanted = _load(source, options, None)
    if options.size is not None:
        raw = resize(raw, options.target(), options.seed)
    height, width = raw.values.shape[2:]
    check_size(height, width, what=f"every item of {raw.source}")
    raw = choose(binarise(raw, wanted or "none", options.seed), options)
    parts, told = split(raw, options)
    raw = keep_labels(raw, parts, options)
    schema = describe(raw, parts == TRAIN)
    told.append(outside(raw, parts > TRAIN, schema))
    items = {name: _items(raw, np.flatnonzero(parts == part)) for name, part in _PARTS.items()}
    return Data(schema, items["train"], items["validation"], items["test"], raw.note(*told).notes)


def read_items(source: Source, schema: Schema, *, options: Options | None = None) -> Items:
    """Items from a source, in the shape, channels and levels that a trained model knows; labels are numbers into ``schema.classes``.

    A built-in set gives ``options.split``, its test items by default; anything else gives all its items, or ``options.split`` of them. The split is
    the one ``open_data`` makes with the same options. DataError where the items cannot be made to conform.
    """
    options = options or Options()
    raw, wanted = _load(source, options, schema)
    raw = choose(conform(raw, schema, wanted, options.seed), options)
    named = isinstance(source, str) and parse(source) is not None
    part = options.split or ("test" if named else "all")
    index = np.arange(len(raw)) if part == "all" else np.flatnonzero(split(raw, options)[0] == _PARTS[part])
    return _items(raw, index)


def _items(raw: Raw, index: NDArray[Any]) -> Items:
    """The items at ``index``, copied."""
    chosen = raw.take(index)
    labels, context, factors = (None if array is None else torch.from_numpy(array) for array in (chosen.labels, chosen.context, chosen.factors))
    return Items(torch.from_numpy(chosen.values), labels, chosen.names, context=context, factors=factors, factor_names=chosen.factor_names)


def _load(source: Source, options: Options, like: Schema | None) -> tuple[Raw, Binarisation | None]:
    """What a source of any kind holds, and the binarisation that was asked for (None: none was)."""
    try:
        return _named_or_other(source, options, like)
    except OSError as error:
        raise DataError(f"{error.filename or source} cannot be read: {error.strerror or error}") from error


def _named_or_other(source: Source, options: Options, like: Schema | None) -> tuple[Raw, Binarisation | None]:
    """``_load``, before what the operating system refuses becomes a DataError."""
    if isinstance(source, str) and (builtin := parse(source)) is not None:
        if builtin.binarisation and options.binarisation and builtin.binarisation != options.binarisation:
            raise DataError(f"{source!r} asks for {builtin.binarisation} binarisation and the options for {options.binarisation}: choose one")
        wanted = builtin.binarisation or options.binarisation
        protocol = wanted or (like.binarisation if like is not None else None) or "none"
        shadowed = f"{source} is the built-in set; for the path of that name give ./{source}." if Path(source).exists() else ""
        return load_builtin(builtin.name, protocol, options).note(shadowed), wanted
    return _load_other(source, options, like), options.binarisation


def _load_other(source: Source, options: Options, like: Schema | None) -> Raw:
    if isinstance(source, (str, Path)):
        return _load_path(Path(source).expanduser(), str(source), options, like)
    if isinstance(source, torch.Tensor):
        if source.layout != torch.strided or source.is_quantized:
            raise DataError(f"the tensor is {source.layout} and {source.dtype}: give a plain one, x.to_dense() or x.dequantize()")
        tensor = source.detach().float() if source.dtype == torch.bfloat16 else source.detach()
        return from_array(tensor.resolve_conj().resolve_neg().cpu().numpy(), "the tensor", like)
    if isinstance(source, np.ma.MaskedArray):
        raise DataError("the array is masked, and what its mask hides would be read: fill it first, with x.filled(0)")
    if isinstance(source, np.ndarray):
        return from_array(source, "the array", like)
    from PIL.Image import Image

    pictures = [source] if isinstance(source, Image) else source
    if not isinstance(pictures, Sequence) or not all(isinstance(p, (Image, np.ndarray)) for p in pictures):
        kinds = sorted({type(p).__name__ for p in pictures})[:3] if isinstance(pictures, Sequence) else [type(pictures).__name__]
        raise DataError(f"the source is of type {type(source).__name__} ({', '.join(kinds)}): give a name, a path, an array, a tensor or PIL images")
    if not pictures:
        raise DataError("the source is an empty sequence: give some pictures")
    if isinstance(pictures[0], np.ndarray):
        arrays = [np.asarray(p) for p in pictures]
        shapes = {a.shape for a in arrays}
        if len(shapes) > 1:
            raise DataError(f"the arrays have different shapes, {sorted(shapes)[:3]}: make them agree, or give PIL images, which are resized")
        return from_array(np.stack(arrays), "the arrays", like)
    named = [Picture(f"image {i}", p) for i, p in enumerate(pictures) if isinstance(p, Image)]
    if len(named) < len(pictures):
        raise DataError("the source mixes PIL images and arrays: give one or the other")
    return replace(load_gallery(named, "the images", like, replace(options, strict=True))[0], names=None)


def _load_path(path: Path, given: str, options: Options, like: Schema | None) -> Raw:
    """The folder or file at a path."""
    if path.is_dir():
        return load_folder(path, like, options)
    if not path.is_file():
        raise _missing(path, given)
    if is_picture(path):
        return load_picture(path, like, options)
    if is_array_file(path):
        return load_array_file(path, like)
    kinds = f".npy, .npz, idx files, a folder of pictures, or a picture ({', '.join(sorted(SUFFIXES))})"
    raise DataError(f"{given} is of a kind that cannot be read ({path.suffix or 'no suffix'}): give {kinds}")


def _missing(path: Path, given: str) -> DataError:
    """The error for a path at which there is nothing, with what may have been meant."""
    if "://" in given:
        return DataError(f"{given} is an address, and data are read from this machine: download it first and give its path")
    close = difflib.get_close_matches(given.lower().partition(":")[0], NAMES, n=2, cutoff=0.6)
    try:
        beside = [p.name for p in path.parent.iterdir()]
        close += [str(path.with_name(name)) for name in difflib.get_close_matches(path.name, beside, n=2, cutoff=0.75)]
    except OSError:
        pass
    meant = f"did you mean {' or '.join(close)}?" if close else f"give a path that exists, or one of {', '.join(NAMES)}"
    return DataError(f"{given} is neither a built-in data set nor a path that exists: {meant}")
