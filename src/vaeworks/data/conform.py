"""Making values agree with what is wanted: another size, a binarisation, or the schema of a trained model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vaeworks.data.arrays import check_shape
from vaeworks.data.levels import bernoulli, requantise
from vaeworks.data.pictures import check_mode, refit, resize_real
from vaeworks.data.raw import Raw
from vaeworks.data.split import changed
from vaeworks.errors import DataError
from vaeworks.model import Binarisation, ImageSchema, Schema

__all__ = ["binarise", "conform", "relabel", "resize"]


def resize(raw: Raw, size: tuple[int, int], seed: int, mode: str | None = None) -> Raw:
    """The items resized to cover (height, width) and cropped at the centre; levels stay what they are."""
    if raw.values.shape[2:] == size and mode in {None, raw.mode}:
        return raw
    note = f"Resized from {raw.values.shape[2]} x {raw.values.shape[3]} to {size[0]} x {size[1]}."
    if raw.levels == 0:
        return changed(raw, resize_real(raw.values, size), 0, seed).note(note)
    pixels = refit(requantise(raw.values, raw.levels, 256), size, mode)
    return changed(raw, requantise(pixels, 256, raw.levels), raw.levels, seed).note(note)


def binarise(raw: Raw, wanted: Binarisation, seed: int) -> Raw:
    """The items with a binarisation: already binary ones stay as they are, a static one is drawn now. DataError where values cannot be binarised."""
    if raw.levels == 2:
        note = f"The values are already binary, so {wanted} binarisation changes nothing." if wanted in {"dynamic", "threshold"} else ""
        return replace(raw, binarisation="static").note(note)
    if wanted == "none":
        return raw
    if raw.levels == 0:
        raise DataError(f"{raw.source} holds real numbers, which cannot be binarised: give 8-bit pixels, such as (255 * x).round().astype('uint8')")
    if raw.values.shape[1] != 1:
        raise DataError(f"{raw.source} has {raw.values.shape[1]} channels, and binarisation needs grey pictures: convert them, or leave it out")
    if wanted == "static":
        raw = changed(raw, bernoulli(raw.values, raw.levels, seed), 2, seed)
        raw = replace(raw, binarisation="static", source=f"{raw.source}:static, a Bernoulli draw of seed {seed}")
        return raw.note(f"Static binarisation: each pixel was drawn once, 1 with probability value / maximum, with seed {seed}.")
    how = "at one half" if wanted == "threshold" else "drawn anew each time a pixel is read, 1 with probability value / maximum"
    return replace(raw, binarisation=wanted, source=f"{raw.source}:{wanted}").note(f"Binarisation: {wanted}, {how}.")


def conform(raw: Raw, schema: ImageSchema, wanted: Binarisation | None, seed: int) -> Raw:
    """The items as the model knows them; DataError where that cannot be.

    Pictures take the model's size and channels, and the nearest of its levels. For a model of static binary data, values with more levels are drawn
    once by the seed. Real numbers must have the model's shape already.
    """
    if (schema.levels == 0) != (raw.levels == 0):
        have, learned = (("real numbers", "pixels"), ("pixels", "real numbers"))[raw.levels > 0]
        raise DataError(f"{raw.source} holds {have}, and the model learned from {learned} ({schema.source}): give {learned}")
    fits = wanted in {None, "none", schema.binarisation} or (wanted == "static" and schema.binarisation != "none")
    if not fits:
        learned = schema.binarisation if schema.binarisation != "none" else "no"
        raise DataError(f"{wanted} binarisation was asked for, and the model learned with {learned} binarisation: leave it out, or train another")
    if raw.levels == 0:
        check_shape(raw, schema)
    elif raw.values.shape[1:] != schema.shape:
        levels = schema.levels if schema.levels == raw.levels else 256
        raw = changed(raw, requantise(raw.values, raw.levels, levels), levels, seed)
        raw = resize(raw, (schema.shape[1], schema.shape[2]), seed, check_mode(schema.mode))
    if raw.levels > 2 and (wanted == "static" or schema.levels == 2):
        raw = changed(raw, bernoulli(raw.values, raw.levels, seed), 2, seed)
    if raw.levels != schema.levels:
        raw = changed(raw, requantise(raw.values, raw.levels, schema.levels), schema.levels, seed)
    return _arrange_columns(relabel(raw, schema), schema)


def relabel(raw: Raw, schema: Schema) -> Raw:
    """Labels as numbers into the model's classes, by name; -1 for a class it does not know."""
    if raw.labels is None or raw.classes == schema.classes:
        return raw
    known = {name: i for i, name in enumerate(schema.classes)}
    table = np.array([*(known.get(name, -1) for name in raw.classes), -1], dtype=np.int64)
    return replace(raw, labels=table[raw.labels], classes=schema.classes) if known else replace(raw, labels=None, classes=())


def _arrange_columns(raw: Raw, schema: ImageSchema) -> Raw:
    """The numbers beside the items in the order of the model's columns, by name; DataError where a model that is conditional on them misses one."""
    if raw.context is None or raw.columns == schema.columns:
        return raw
    missing = [name for name in schema.columns if name not in raw.columns]
    if missing and schema.context == "vector":
        raise DataError(
            f"{raw.source} has the columns {', '.join(raw.columns[:10])}, and the model is conditional on {', '.join(missing[:10])} too: "
            f"give all of {', '.join(schema.columns[:10])}, named by context_names"
        )
    known = () if missing else schema.columns
    context = raw.context[:, [raw.columns.index(name) for name in known]] if known else None
    return replace(raw, context=context, columns=known)
