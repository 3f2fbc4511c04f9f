"""What is missing of items: holes in pictures, said in words, drawn in a file or marked by NaN, and gaps in sounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaeworks.data.arrays import arrange
from vaeworks.data.items import Items
from vaeworks.errors import DataError
from vaeworks.model import AudioSchema, ImageSchema

__all__ = ["MASKS", "gap", "holes", "seen_samples", "without_nan"]

MASKS: Final = ("left", "right", "top", "bottom", "center", "random:0.5")
"""Masks that have a name: the side, or the middle half of either side, that is missing; or a share of the pixels, each by chance."""
_ARRAYS: Final = (".npy", ".npz")


def holes(items: Items, schema: ImageSchema, mask: str | Path | NDArray[Any] | Tensor, seed: int = 0) -> Items:
    """``items`` with what ``mask`` says marked unobserved: a name in ``MASKS``, or a picture, .npy, .npz or array of the size of the items, one for all or one each, zero where missing.

    DataError where it is none of these.
    """
    kept = _mask(mask, schema, len(items), seed)
    if bool(kept.all()):
        raise DataError(f"the mask {_called(mask)} hides nothing: black, False or 0 is what is missing")
    kept = kept.expand(len(items), *schema.shape)
    return replace(items, observed=kept if items.observed is None else items.observed & kept)


def _called(mask: object) -> str:
    return str(mask) if isinstance(mask, str | Path) else "given"


def _mask(mask: str | Path | NDArray[Any] | Tensor, schema: ImageSchema, count: int, seed: int) -> Tensor:
    """(1 or N, C or 1, H, W) bool, True where seen."""
    _, height, width = schema.shape
    if not isinstance(mask, str | Path):
        return _fitting(np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask), schema, count, "the mask")
    name, _, share = str(mask).partition(":")
    row, column = torch.arange(height)[:, None], torch.arange(width)[None]
    sides = {
        "left": column < width // 2,
        "right": column >= width - width // 2,
        "top": row < height // 2,
        "bottom": row >= height - height // 2,
        "center": (row >= height // 4) & (row < height - height // 4) & (column >= width // 4) & (column < width - width // 4),
    }
    if name in sides and not share:
        return ~sides[name].expand(1, 1, height, width)
    if name == "random":
        return _random(share or "0.5", schema, count, seed)
    path = Path(mask)
    if not path.is_file():
        raise DataError(f"the mask {mask} is neither a file nor one of {', '.join(MASKS)}")
    try:
        if path.suffix.lower() in _ARRAYS:
            found: Any = np.load(path, allow_pickle=False)
            if path.suffix.lower() == ".npz":
                found = found[found.files[0]]
        else:
            from PIL import Image

            with Image.open(path) as picture:
                found = np.asarray(picture.convert("L")) >= 128
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"the mask {mask} cannot be read ({error}): give a picture, a .npy or a .npz, or one of {', '.join(MASKS)}") from error
    return _fitting(found, schema, count, f"the mask {mask}")


def _random(share: str, schema: ImageSchema, count: int, seed: int) -> Tensor:
    """Each pixel, with all its channels, missing with probability ``share``."""
    try:
        missing = float(share)
    except ValueError:
        missing = -1.0
    if not 0 < missing <= 1:
        raise DataError(f"the mask random:{share} is no share of the pixels: give one above 0 and at most 1, such as random:0.5")
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, *schema.shape[1:], generator=generator) >= missing


def _fitting(mask: NDArray[Any], schema: ImageSchema, count: int, what: str) -> Tensor:
    """An array of any layout as (1 or N, 1 or C, H, W)."""
    channels, height, width = schema.shape
    layouts = {
        (height, width): lambda m: m[None, None],
        (channels, height, width): lambda m: m[None],
        (height, width, channels): lambda m: np.moveaxis(m, 2, 0)[None],
        (count, height, width): lambda m: m[:, None],
        (count, channels, height, width): lambda m: m,
        (count, height, width, channels): lambda m: np.moveaxis(m, 3, 1),
    }
    if mask.shape not in layouts or mask.dtype.kind not in "buif":
        raise DataError(
            f"{what} has shape {mask.shape} and type {mask.dtype}: give ({height}, {width}) for all of {count} items, or ({count}, {height}, {width}) for each"
        )
    return torch.from_numpy(np.ascontiguousarray(layouts[mask.shape](mask) != 0))


def without_nan(source: Any, schema: ImageSchema) -> tuple[Any, Tensor | None]:
    """An array of pictures, or a .npy of one, whose NaN are missing pixels: the same with zeros there, and where it is seen, (N, *shape); (source, None) where nothing is NaN."""
    array = source
    if isinstance(source, str | Path) and Path(source).suffix.lower() == ".npy" and Path(source).is_file():
        try:
            array = np.load(source, allow_pickle=False)
        except (OSError, ValueError):
            return source, None
    array = array.detach().cpu().numpy() if isinstance(array, Tensor) and array.dtype != torch.bfloat16 else array
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not (missing := np.isnan(array)).any():
        return source, None
    channels, height, width = schema.shape
    one = array.shape in {(channels, height, width), (height, width, channels)} or (channels == 1 and array.shape == (height, width))
    missing = missing[None] if one else missing
    layout = arrange(missing.shape, "the array")
    missing = np.moveaxis(missing, 3, 1) if layout == "nhwc" else missing[:, None] if layout == "nhw" else missing
    if missing.shape[1:] != schema.shape:
        raise DataError(
            f"pictures of shape {missing.shape[1:]} with NaN for what is missing do not fit the model's {schema.shape}: give such pictures"
        )
    middle = schema.low if schema.levels == 0 else 0.0
    return np.where(np.isnan(array), np.asarray(middle, array.dtype), array), torch.from_numpy(~missing)


def seen_samples(items: Items, schema: AudioSchema, start: float, end: float) -> Tensor:
    """(N, 1, T) bool over stored samples, False between ``start`` and ``end`` in seconds."""
    place = torch.arange(schema.samples)
    return ~((place >= start * schema.rate) & (place < end * schema.rate)).expand(len(items), 1, -1)


def gap(items: Items, schema: AudioSchema, start: float, end: float) -> Items:
    """``items`` with what lies between ``start`` and ``end`` in seconds silenced and unobserved, of spectrograms every frame whose window meets it.

    DataError where the gap is empty or where a sound ends within it: how it ends is what tells its length.
    """
    if not 0 <= start < end:
        raise DataError(f"a gap from {start:g} to {end:g} seconds is none: give START..END, such as 0.2..0.3")
    assert items.lengths is not None
    first, last = start * schema.rate, end * schema.rate
    if schema.representation == "mel":
        frame = torch.arange(schema.shape[-1])
        reach = schema.window / 2
        missing = ((frame + 0.5) * schema.hop + reach > first) & ((frame + 0.5) * schema.hop - reach < last)
        ends = -(-items.lengths // schema.hop)
    else:
        missing, ends = ~seen_samples(items, schema, start, end)[0, 0], items.lengths
    short = missing[(ends - 1).clamp(0, len(missing) - 1)] | (ends - 1 >= len(missing))
    if short.any() or not missing.any():
        i = int(short.long().argmax())
        length = float(items.lengths[i]) / schema.rate
        name = f"sound {i}" if items.names is None else items.names[i]
        spare = schema.window / schema.rate if schema.representation == "mel" else 0
        raise DataError(
            f"{name} is {length:.3g} s long, and the gap {start:g}..{end:g} reaches its end: leave something after the gap"
            + (f" ({spare:.3g} s, a window)" if spare else "")
            + ", which tells how long the sound is"
        )
    seen = seen_samples(items, schema, start, end)
    observed = ~missing.expand(len(items), *schema.shape)
    return replace(items, values=items.values.masked_fill(~seen, 0), observed=observed if items.observed is None else items.observed & observed)
