"""The wire: items as JSON carries them, to what a model reads, and back. Nothing on it is ever taken for a path or a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.data.lines import is_unicode
from vaeworks.errors import VaeworksError
from vaeworks.model import AudioSchema, ImageSchema, Schema, TableSchema, TextSchema
from vaeworks.serving.faults import Refusal
from vaeworks.serving.media import check_servable, heard, picture_urls, seen, sound_urls
from vaeworks.serving.rows import row_items, rows

if TYPE_CHECKING:
    from vaeworks.runs import Model

__all__ = ["bearable", "check_servable", "check_texts", "context_of", "items_of", "told_of", "wire_of"]

WireItem = str | Mapping[str, Any]
"""A data URL of a picture or a sound, a text, or a row by column."""
_FAR = 1e6
"""Standard deviations from the mean of training."""


def items_of(model: Model, wire: Sequence[WireItem], given: Sequence[Any] | None = None, *, names: Sequence[str] | None = None) -> Items:
    """Items as the model reads them, with what a conditional model is told of each; Refusal (422) where one cannot be read, by its name, items.0 ... unless ``names`` say."""
    schema = model.schema
    names = names or [f"items.{i}" for i in range(len(wire))]
    wanted, noun = (Mapping, "an object, column: value") if isinstance(schema, TableSchema) else (str, "a string")
    for item, name in zip(wire, names, strict=True):
        if not isinstance(item, wanted):
            raise Refusal(422, f"an item of this model of {schema.kind} is {noun}", name)
    return told_of(schema, _read(schema, list(wire), names), given)


def _read(schema: Schema, wire: list[Any], names: Sequence[str]) -> Items:
    if isinstance(schema, ImageSchema):
        return seen(schema, wire, names)
    if isinstance(schema, AudioSchema):
        return heard(schema, wire, names)
    if isinstance(schema, TableSchema):
        return row_items(schema, wire, names)
    assert isinstance(schema, TextSchema)
    check_texts(wire, names)
    tokens, most = schema.tokens(wire), schema.shape[0] - 1
    for own, name in zip(tokens, names, strict=True):
        if len(own) > most:
            raise Refusal(422, f"the text has {len(own)} {schema.unit}, and this model reads at most {most}: shorten it", name)
    values, lengths = schema.encode(wire, tokens)
    return Items(values, lengths=lengths)


def check_texts(wire: Sequence[str], names: Sequence[str]) -> None:
    """Refusal where a text is empty, or no Unicode."""
    for text, name in zip(wire, names, strict=True):
        if not text.strip() or not is_unicode(text):
            raise Refusal(422, "the text is empty, or half of a surrogate pair makes it no Unicode", name)


def told_of(schema: Schema, items: Items, given: Sequence[Any] | None) -> Items:
    """``items`` with the labels, or the numbers, that ``given`` tells of each; Refusal where the model needs them and they are not there, or knows none."""
    if given is None:
        if schema.context in {"label", "vector"}:
            what = f"its label, one of {', '.join(schema.classes[:20])}" if schema.context == "label" else ", ".join(schema.columns[:20])
            raise Refusal(422, f"this model is conditional: tell of each item {what}", "given")
        return items
    if len(given) != len(items):
        raise Refusal(422, f"{len(given)} are given for {len(items)} items: give one for each", "given")
    if schema.context == "none":
        if any(one is not None for one in given):
            raise Refusal(422, "this model is conditional on nothing: leave it out", "given")
        return items
    if schema.context == "vector":
        items = replace(items, context=torch.cat([_numbers(schema, one, f"given.{i}") for i, one in enumerate(given)]))
        bearable(items.conditions(schema))
        return items
    return replace(items, labels=torch.tensor([_class(schema, one, f"given.{i}") for i, one in enumerate(given)]))


def _class(schema: Schema, told: Any, name: str) -> int:
    """The number of a label, -1 where a model that can do without is not told one."""
    label = told.get("label") if isinstance(told, Mapping) and set(told) == {"label"} else told
    if label is None and schema.context == "partial-label":
        return -1
    if isinstance(label, Mapping) or str(label) not in schema.classes:
        raise Refusal(422, f"this is no class of the model: choose one of {', '.join(schema.classes[:20])}", name)
    return schema.classes.index(str(label))


def _numbers(schema: Schema, told: Any, name: str) -> Tensor:
    """The numbers by which a model is conditional, (1, C)."""
    if not isinstance(told, Mapping):
        raise Refusal(422, f"give the numbers {', '.join(schema.columns[:20])} by name", name)
    try:
        numbers = schema.to_vector(told).to(torch.float32)
    except VaeworksError as error:
        raise Refusal(422, str(error), name) from error
    return numbers


def bearable(context: Tensor | None, name: str = "given") -> Tensor | None:
    """A context whose numbers a network can compute with; Refusal for others."""
    if context is not None and not bool((context.abs() <= _FAR).all()):
        raise Refusal(422, "a number is too far from all that training had", name)
    return context


def context_of(model: Model, n: int, given: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> Tensor | None:
    """The context (n, C) of n codes, for all or of each; None where the model needs none and nothing is given. Refusal where it does not fit."""
    if isinstance(given, Sequence) and len(given) != n:
        raise Refusal(422, f"{len(given)} are given for {n} codes: give one for all, or one for each", "given")
    if given is None and model.schema.context not in {"label", "vector"}:
        return None
    if given is None:
        can = f"label, one of {', '.join(model.schema.classes[:20])}" if model.schema.context == "label" else ", ".join(model.schema.columns[:20])
        raise Refusal(422, f"this model is conditional: give {can}", "given")
    try:
        contexts = [model.context(1, one) for one in given] if isinstance(given, Sequence) else [model.context(n, given)]
    except (VaeworksError, TypeError) as error:
        raise Refusal(422, str(error), "given") from error
    known = [c for c in contexts if c is not None]
    return bearable(torch.cat(known)) if known else None


def wire_of(model: Model, x: Tensor) -> list[Any]:
    """x (N, *shape) as N items on the wire: PNG and WAV as data URLs, strings, rows as objects."""
    schema = model.schema
    if isinstance(schema, ImageSchema):
        return picture_urls(schema, x)
    if isinstance(schema, AudioSchema):
        return sound_urls(schema.to_raw(x), schema.rate)
    if isinstance(schema, TableSchema):
        return rows(schema.to_frame(x))
    return schema.to_raw(x)
