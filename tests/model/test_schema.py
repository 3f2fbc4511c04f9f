"""Schema: what a model is conditioned on, and what artifacts say of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from vaeworks.data import Items
from vaeworks.errors import ArtifactError, DataError
from vaeworks.model import ImageSchema, Schema

PLAIN: dict[str, Any] = {"shape": (1, 8, 8), "mode": "L", "levels": 256, "classes": ("cat", "dog", "emu")}
AGES = {**PLAIN, "context": "vector", "columns": ("age", "height"), "column_means": (30.0, 1.7), "column_scales": (10.0, 0.25)}


@pytest.mark.parametrize(("context", "size"), [("none", 0), ("label", 3), ("partial-label", 3), ("vector", 2)])
def test_the_size_of_a_context(context: str, size: int) -> None:
    assert ImageSchema(**{**AGES, "context": context}).context_size == size


def test_labels_become_one_hot_and_unknown_ones_zeros() -> None:
    labels = torch.tensor([2, -1, 0])
    partial = ImageSchema(**PLAIN, context="partial-label")
    assert partial.to_context(labels).tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]  # type: ignore[union-attr]
    assert partial.to_context(None).tolist() == [[0, 0, 0]]  # type: ignore[union-attr]
    assert labels.tolist() == [2, -1, 0]
    full = ImageSchema(**PLAIN, context="label")
    assert full.to_context(labels[[0, 2]]).tolist() == [[0, 0, 1], [1, 0, 0]]  # type: ignore[union-attr]
    with pytest.raises(DataError, match="1 of 3 items have none of its classes"):
        full.to_context(labels)
    with pytest.raises(DataError, match="the items have none"):
        full.to_context(None)
    assert ImageSchema(**PLAIN).to_context(labels) is None


@pytest.mark.parametrize("index", [slice(1, 4), torch.tensor([4, 0, 2])])
def test_items_bring_their_context(index: Any) -> None:
    values, labels = torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 2, -1, 0])
    numbers = torch.arange(10.0).view(5, 2)
    items = Items(values, labels, context=numbers)
    partial = ImageSchema(**PLAIN, context="partial-label")
    batch = items.batch(partial, index)
    assert batch.context.argmax(1).tolist() == labels[index].clamp_min(0).tolist()  # type: ignore[union-attr]
    assert batch.context.sum(1).tolist() == (labels[index] >= 0).float().tolist()  # type: ignore[union-attr]
    hidden = Items(values).batch(partial, index).context
    assert hidden is not None
    assert hidden.shape == (3, 3)
    assert not hidden.any()
    vector = items.batch(ImageSchema(**AGES), index).context
    np.testing.assert_allclose(vector, (numbers[index].numpy() - [30, 1.7]) / [10, 0.25], rtol=1e-6)  # type: ignore[arg-type]
    assert items.batch(ImageSchema(**PLAIN), index).context is None
    assert items[index].context.tolist() == numbers[index].tolist()  # type: ignore[union-attr]


def test_a_wish_names_every_column() -> None:
    schema = ImageSchema(**AGES)
    assert schema.to_vector({"height": "1.95", "age": 40})[0].tolist() == pytest.approx([40, 1.95])
    np.testing.assert_allclose(schema.to_context(vectors=schema.to_vector({"age": "40", "height": 1.95})), [[1, 1]], rtol=1e-5)  # type: ignore[arg-type]
    for given, says in {
        (("age", "40"),): "conditional on age, height, and height is missing: add --given height=NUMBER",
        (): "age, height are missing: add --given age=NUMBER",
        (("age", "4"), ("height", "2"), ("shoe", "9")): "shoe: no such column, this model is conditional on age, height",
        (("age", "old"), ("height", "2")): "age=old is no finite number: give one, such as age=30",
        (("age", "nan"), ("height", "2")): "age=nan is no finite number",
        (("age", "1"), ("height", "1e999")): "height=1e999 is no finite number: give one, such as height=1.7",
    }.items():
        with pytest.raises(DataError, match=says):
            schema.to_vector(dict(given))


def test_items_without_the_columns_are_refused() -> None:
    values = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"conditional on 2 columns \(age, height\), and the items bring none: .*context=\.\.\."):
        Items(values).batch(ImageSchema(**AGES), slice(None))
    with pytest.raises(DataError, match=r"an array of shape \(2, 3\)"):
        Items(values, context=torch.zeros(2, 3)).batch(ImageSchema(**AGES), slice(None))


def test_json_and_back_and_artifacts_of_earlier_versions() -> None:
    schema = ImageSchema(**AGES)
    told = json.loads(json.dumps(schema.to_json()))
    assert Schema.from_json(told) == schema
    earlier = {key: value for key, value in ImageSchema(**PLAIN, context="label").to_json().items() if not key.startswith("column")}
    assert Schema.from_json(earlier) == ImageSchema(**PLAIN, context="label")
    for change in ({"columns": ["age"]}, {"column_means": [1, "two"]}, {"column_scales": 3}, {"context": "sometimes"}, {"columns": None}):
        with pytest.raises(ArtifactError):
            Schema.from_json({**told, **change})
