"""Sources of pictures: built-in sets, folders, arrays and picture files, opened to learn from, or read for a model that has learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaeworks.data.arrays import from_array
from vaeworks.data.builtin import load_builtin, parse
from vaeworks.data.conform import binarise, conform, resize
from vaeworks.data.describe import describe, outside
from vaeworks.data.files import is_array_file, load_array_file
from vaeworks.data.folder import SUFFIXES, is_picture, load_folder, load_picture
from vaeworks.data.gallery import Picture, load_gallery
from vaeworks.data.hub_items import files_of, marked
from vaeworks.data.hub_store import Stored
from vaeworks.data.items import Data, Items
from vaeworks.data.labels import keep_labels
from vaeworks.data.missing import missing
from vaeworks.data.options import Options, check_size
from vaeworks.data.parts import chosen_part, parted
from vaeworks.data.raw import TRAIN, Raw
from vaeworks.data.split import choose, split
from vaeworks.errors import DataError
from vaeworks.model import Binarisation, ImageSchema

__all__ = ["open_images", "read_images"]


def open_images(source: Any, options: Options) -> Data:
    """``open_data`` for pictures."""
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
    return parted(raw, parts, schema, told)


def read_images(source: Any, schema: ImageSchema, options: Options) -> Items:
    """``read_items`` for pictures."""
    raw, wanted = _load(source, options, schema)
    raw = choose(conform(raw, schema, wanted, options.seed), options)
    named = isinstance(source, str) and parse(source) is not None
    return chosen_part(raw, options, "test" if named else "all")


def _load(source: Any, options: Options, like: ImageSchema | None) -> tuple[Raw, Binarisation | None]:
    """What a source of any kind holds, and the binarisation that was asked for (None: none was)."""
    try:
        return _named_or_other(source, options, like)
    except OSError as error:
        raise DataError(f"{error.filename or source} cannot be read: {error.strerror or error}") from error


def _named_or_other(source: Any, options: Options, like: ImageSchema | None) -> tuple[Raw, Binarisation | None]:
    """``_load``, before what the operating system refuses becomes a DataError."""
    if isinstance(source, str) and (builtin := parse(source)) is not None:
        if builtin.binarisation and options.binarisation and builtin.binarisation != options.binarisation:
            raise DataError(f"{source!r} asks for {builtin.binarisation} binarisation and the options for {options.binarisation}: choose one")
        wanted = builtin.binarisation or options.binarisation
        protocol = wanted or (like.binarisation if like is not None else None) or "none"
        shadowed = f"{source} is the built-in set; for the path of that name give ./{source}." if Path(source).exists() else ""
        return load_builtin(builtin.name, protocol, options).note(shadowed), wanted
    return _load_other(source, options, like), options.binarisation


def _load_other(source: Any, options: Options, like: ImageSchema | None) -> Raw:
    if isinstance(source, Stored):
        files = [Picture(name, file) for name, file in files_of(source, options)]
        return marked(load_gallery(files, source.source, like, options), source, options)
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
    return replace(load_gallery(named, "the images", like, replace(options, strict=True)), names=None)


def _load_path(path: Path, given: str, options: Options, like: ImageSchema | None) -> Raw:
    """The folder or file at a path."""
    if path.is_dir():
        return load_folder(path, like, options)
    if not path.is_file():
        raise missing(path, given)
    if is_picture(path):
        return load_picture(path, like, options)
    if is_array_file(path):
        return load_array_file(path, like)
    kinds = f".npy, .npz, idx files, a folder of pictures, or a picture ({', '.join(sorted(SUFFIXES))})"
    raise DataError(f"{given} is of a kind that cannot be read ({path.suffix or 'no suffix'}): give {kinds}")
