"""The language model beside a VAE of text: a probability of strings, trained like the VAE, kept beside it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vaeworks.data import Data, Items
from vaeworks.data.tokens import learn
from vaeworks.errors import ArtifactError
from vaeworks.evaluation import log_prob
from vaeworks.model import VAE, TextSchema
from vaeworks.networks import DECODER_NETWORKS
from vaeworks.recipes import Recipe, build_objective, build_trainer, build_vae, parse_recipe
from vaeworks.runs.language_model import WEIGHTS, language_model, load_language_model, train_language_model
from vaeworks.trace import Batch

RECIPE = """
latent_size = 2
encoder = { kind = "gru", width = 8 }
decoder = { kind = "gru", width = 8, word_dropout = 0.2 }
likelihood = { kind = "tokens" }
training = { epochs = 2, batch_size = 8, pretrain = 0.5, aggressive = 2, precision = "float32" }
"""


def small(decoder: str = "gru") -> tuple[Recipe, TextSchema]:
    tokenizer, vocabulary = learn("characters", ["ab"], 0)
    overrides = [] if decoder == "gru" else [f"decoder.kind={decoder}", "decoder.width=8"]
    return parse_recipe(RECIPE, "small", overrides), TextSchema((4,), vocabulary, tokenizer)


@pytest.mark.parametrize("decoder", ["gru", "lstm", "transformer", "parallel"])
def test_it_is_a_probability_of_strings(exact: None, decoder: str) -> None:
    """One sample of a code of no dimension gives log p(x) itself: over all strings it sums to one."""
    recipe, schema = small(decoder)
    model = language_model(recipe, build_vae(recipe, schema)).eval()
    strings = [[*text, 1, *[0] * (3 - n)] for n in range(4) for text in itertools.product(range(2, schema.vocabulary), repeat=n)]
    found = log_prob(model, Batch(torch.tensor(strings)), 1)
    assert len(strings) == 40
    assert float(found.value.exp().sum()) == pytest.approx(1)
    assert torch.equal(found.value, found.elbo)
    assert not any(name.startswith("encoder") for name in model.state_dict())
    assert model.generate(5).sample().shape == (5, 4)


def data_of(schema: TextSchema) -> Data:
    values, lengths = schema.encode(["ab", "a", "abb", "b"] * 5)
    items = Items(values, lengths=lengths)
    return Data(replace(schema, count=len(items)), items, items[:4], items[:4])


def test_it_is_trained_as_long_and_kept(tmp_path: Path) -> None:
    recipe, schema = small()
    data = data_of(schema)
    vae = build_vae(recipe, schema)
    history = build_trainer(recipe).fit(vae, build_objective(recipe), data)
    assert load_language_model(tmp_path, recipe, vae) is None
    model, done = train_language_model(recipe, vae, data, history, folder=tmp_path)
    assert done.steps == history.steps == 4

    def p(of: VAE) -> torch.Tensor:
        return log_prob(of, data.test.batches(schema, 4), 1).value

    loaded = load_language_model(tmp_path, recipe, vae)
    assert loaded is not None
    assert torch.equal(p(loaded), p(model))
    again, _ = train_language_model(recipe, vae, data, history, folder=tmp_path)  # its checkpoint says that nothing is left to do
    assert torch.equal(p(again), p(model))
    assert DECODER_NETWORKS["gru"] is type(loaded.decoder.network)


def test_one_of_another_recipe_is_refused(tmp_path: Path) -> None:
    recipe, schema = small()
    vae, data = build_vae(recipe, schema), data_of(schema)
    train_language_model(recipe, vae, data, build_trainer(recipe).fit(vae, build_objective(recipe), data), folder=tmp_path)
    wider = parse_recipe(RECIPE, "wider", ["decoder.width=9"])
    with pytest.raises(ArtifactError, match=r"language-model\.safetensors does not fit the recipe"):
        load_language_model(tmp_path, wider, build_vae(wider, schema))
    (tmp_path / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="damaged"):
        load_language_model(tmp_path, recipe, vae)
