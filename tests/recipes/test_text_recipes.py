"""Every recipe for text builds and trains on strings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vaeworks.data import Data, Items
from vaeworks.data.tokens import learn
from vaeworks.errors import RecipeError
from vaeworks.evaluation import log_prob
from vaeworks.model import TextSchema
from vaeworks.recipes import build_objective, build_trainer, build_vae, choose_likelihood, load_recipe, recipe_names

NAMES = [name for name in recipe_names() if name.startswith("text")]


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_for_text_trains_on_strings(name: str) -> None:
    strings = ["one", "two", "three", "four", "five", "six"] * 10
    tokenizer, vocabulary = learn("characters", strings, 0)
    schema = TextSchema((7,), vocabulary, tokenizer, count=60)
    values, lengths = schema.encode(strings)
    items = Items(values, lengths=lengths)
    narrow = ["encoder.hidden=[8]", "decoder.hidden=[8]"] if name == "text-parallel" else ["encoder.width=8", "decoder.width=8"]
    small = ["training.epochs=2", "training.batch_size=16", *narrow]
    recipe = load_recipe(name, small).with_likelihood(choose_likelihood(schema)[0])
    torch.manual_seed(0)
    vae = build_vae(recipe, schema)
    before = [p.clone() for p in vae.parameters()]
    history = build_trainer(recipe).fit(vae, build_objective(recipe), Data(schema, items, items[:6], items[:6]))
    assert (history.steps, history.skipped) == (6, 0)
    assert all(np.isfinite(v) for line in history.lines for v in line.values())
    assert all(not torch.equal(a, b) for a, b in zip(before, vae.parameters(), strict=True) if b.numel() > 1)
    assert log_prob(vae, items[:6].batches(schema, 6), 4).value.isfinite().all()
    assert vae.generate(2).sample().shape == (2, 7)


@pytest.mark.parametrize("wish", ["prior.kind=vamp", "latents.kind=two-level", "latents.kind=riemannian"])
def test_parts_that_encode_numbers_are_refused_where_tokens_are_read(wish: str) -> None:
    tokenizer, vocabulary = learn("characters", ["one", "two"], 0)
    with pytest.raises(RecipeError, match=r"encoder.kind = 'gru' reads tokens: use .*, or encoder.kind = 'mlp'"):
        build_vae(load_recipe("text", [wish]), TextSchema((4,), vocabulary, tokenizer))
