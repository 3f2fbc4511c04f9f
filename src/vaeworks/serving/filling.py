"""Filling in: what is missing of items on the wire, and the draws of each as they go back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vaeworks.data.holes import gap, seen_samples
from vaeworks.errors import DataError
from vaeworks.model import AudioSchema, ImageSchema, TableSchema, TextSchema
from vaeworks.serving.faults import Refusal
from vaeworks.serving.media import mask_of, picture_urls, sound_urls
from vaeworks.serving.messages import Impute
from vaeworks.serving.rows import rows
from vaeworks.serving.wire import check_texts, items_of, told_of

if TYPE_CHECKING:
    from vaeworks.runs import Imputation, Model
    from vaeworks.runs.filling import Missing

__all__ = ["filled", "missing_of"]


def missing_of(model: Model, asked: Impute) -> list[Missing]:
    """What is missing of each item; Refusal where nothing is, or what says so does not go with the kind of data."""
    from vaeworks.runs.filling import Missing

    schema = model.schema
    for name, value, kind in (("mask", asked.mask, "image"), ("gap", asked.gap, "audio")):
        if value is not None and schema.kind != kind:
            raise Refusal(422, f"this says what is missing of {kind}s, and this is a model of {schema.kind}: leave it out", name)
    try:
        if isinstance(schema, TextSchema):
            whole = _text(model, asked)
        elif isinstance(schema, AudioSchema):
            items = items_of(model, asked.items, asked.given)
            if asked.gap is None:
                raise Refusal(422, "nothing is said to be missing of the sounds: give [start, end] in seconds", "gap")
            whole = Missing(gap(items, schema, *asked.gap), items.values, seen_samples(items, schema, *asked.gap))
        else:
            whole = _seen(model, asked)
    except DataError as error:
        raise Refusal(422, str(error), "gap" if asked.gap is not None else "items") from error
    n = len(whole.items)
    return [
        replace(whole, items=whole.items[i : i + 1], values=whole.values[i : i + 1], kept=whole.kept[i : i + 1], strings=whole.strings[i : i + 1])
        for i in range(n)
    ]


def _seen(model: Model, asked: Impute) -> Missing:
    """Of pictures and rows."""
    from vaeworks.runs.filling import Missing, read_missing

    schema, items = model.schema, items_of(model, asked.items, asked.given)
    if isinstance(schema, ImageSchema):
        if asked.mask is None:
            raise Refusal(422, "nothing is said to be missing of the pictures: give a mask", "mask")
        return read_missing(model, items, mask=mask_of(schema, asked.mask, "mask"))
    if items.observed is None:
        raise Refusal(422, "no cell is null, so that nothing is missing of the rows", "items")
    return Missing(items, items.values, items.observed)


def _text(model: Model, asked: Impute) -> Missing:
    """Of texts, each of which has a gap."""
    from vaeworks.runs.filling import read_missing

    strings = [item for item in asked.items if isinstance(item, str)]
    if len(strings) < len(asked.items):
        raise Refusal(422, "an item of this model of text is a string", "items")
    check_texts(strings, [f"items.{i}" for i in range(len(strings))])
    missing = read_missing(model, strings)
    return replace(missing, items=told_of(model.schema, missing.items, asked.given))


def filled(model: Model, wire: Sequence[Any], found: Sequence[Imputation]) -> list[list[Any]]:
    """The draws of each item, what was there as it was sent."""
    return [_draws(model, item, imputation) for item, imputation in zip(wire, found, strict=True)]


def _draws(model: Model, item: Any, imputation: Imputation) -> list[Any]:
    from vaeworks.runs import filled_waves

    schema = model.schema
    if isinstance(schema, ImageSchema):
        return list(picture_urls(schema, schema.shown(imputation.values[:, 0])))
    if isinstance(schema, AudioSchema):
        return list(sound_urls([one[0] for one in filled_waves(imputation)], schema.rate))
    if isinstance(schema, TextSchema):
        return [strings[0] for strings in imputation.strings]
    assert isinstance(schema, TableSchema)
    seen = dict(zip(schema.coordinate_names, imputation.missing.kept[0].tolist(), strict=True))
    kept = _kept(item, seen)
    return [{**row, **kept} for row in rows(schema.to_frame(imputation.values[:, 0]))]


def _kept(row: Mapping[str, Any], seen: Mapping[str, bool]) -> dict[str, Any]:
    """The cells that were there, those of columns that are not modelled among them."""
    return {name: cell for name, cell in row.items() if seen.get(name, cell is not None)}
