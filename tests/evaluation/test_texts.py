"""The figures of text against counts made by hand and probabilities known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vaeworks.data import Items
from vaeworks.data.tokens import learn
from vaeworks.evaluation import information, log_prob
from vaeworks.evaluation.texts import beside_language_model, ratio, text_figures
from vaeworks.likelihoods import TokenLikelihood
from vaeworks.model import VAE, Decoder, Encoder, TextSchema
from vaeworks.networks import GRUEncoder, ParallelDecoder
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import StandardNormalPrior
from vaeworks.runs.language_model import _Nothing

TEXTS = ["ab cd", "e", "abc de a"]


def schema_of(texts: list[str], length: int) -> TextSchema:
    tokenizer, vocabulary = learn("characters", texts, 0)
    return TextSchema((length,), vocabulary, tokenizer)


def items_of(texts: list[str], schema: TextSchema) -> Items:
    values, lengths = schema.encode(texts)
    return Items(values, lengths=lengths)


def model_of(schema: TextSchema, size: int = 2) -> VAE:
    """Every token but PAD as probable as any other, whatever z."""
    likelihood, posterior = TokenLikelihood(schema.shape, schema.vocabulary), DiagonalNormalPosterior(size)
    network = ParallelDecoder((size,), likelihood.parameter_shape, width=8, layers=1)
    for parameter in network.head.parameters():
        nn.init.zeros_(parameter)
    encoder = Encoder(GRUEncoder(schema.input_shape, posterior.parameter_shape, width=4), posterior) if size else _Nothing()
    return VAE(encoder, Decoder(network, likelihood), StandardNormalPrior(size)).eval()


def test_perplexities_by_hand(exact: None) -> None:
    schema = schema_of(TEXTS, 10)
    log_px = torch.tensor([-7.0, -2.0, -12.0])
    found = text_figures(model_of(schema), items_of(TEXTS, schema), schema, log_px)
    figures = {name: figure.value for name, figure in found.figures.items()}
    assert figures["perplexity_per_token"] == pytest.approx(math.exp(21 / (6 + 2 + 9)))
    assert figures["perplexity_per_word"] == pytest.approx(math.exp(21 / (3 + 2 + 4)))
    assert figures["bits_per_character"] == pytest.approx(21 / math.log(2) / (5 + 1 + 8))


def test_a_uniform_model_is_as_perplexed_as_it_has_tokens(exact: None) -> None:
    """p(x) = (V - 1)^-tokens, so that a language model of the kind costs as much, item by item."""
    schema = schema_of(TEXTS, 10)
    items, vae = items_of(TEXTS, schema), model_of(schema)
    log_px = log_prob(vae, items.batches(schema, 2), 3000).value
    other = log_px - torch.tensor([1.0, 2.0, 3.0])
    found = {name: figure.value for name, figure in text_figures(vae, items, schema, log_px).figures.items()}
    assert found["perplexity_per_token"] == pytest.approx(schema.vocabulary - 1, rel=0.02)
    plain = beside_language_model(model_of(schema, 0), items, schema, other).figures
    assert plain["language_model_perplexity_per_token"].value == pytest.approx(schema.vocabulary - 1)
    assert plain["language_model_log_px"].value == pytest.approx(-17 / 3 * math.log(schema.vocabulary - 1))
    assert plain["over_language_model"].value == pytest.approx(2, abs=0.2)
    assert plain["over_language_model_percent"].value == pytest.approx(600 / 17 / math.log(schema.vocabulary - 1), rel=0.1)


def test_codes_that_tell_nothing_are_told(exact: None) -> None:
    schema = schema_of([*TEXTS, "\ufffd"], 10)
    items, vae = items_of([*TEXTS, "z"], schema), model_of(schema)
    figures = text_figures(vae, items, schema, -torch.ones(4))
    truth = information(vae, items, schema)
    assert figures.figures["mutual_information"].value == truth.mutual_information
    nn.init.zeros_(vae.encoder.network.head.weight)
    figures = text_figures(vae, items, schema, -torch.ones(4))
    assert figures.figures["mutual_information"].value == pytest.approx(0, abs=1e-12)
    unknown, collapse = figures.warnings
    assert unknown.startswith(f"{1 / 19:.1%} of the tokens are unknown")
    assert "posterior collapse: the codes tell 0.00 nats" in collapse
    assert "--recipe text" in collapse


def test_the_error_of_a_ratio_is_the_jackknife_s(exact: None) -> None:
    counts = torch.randint(2, 30, (400,)).double()
    values = 2 * counts + 3 * torch.randn(400)
    found, error = ratio(values, counts)
    without = torch.stack([ratio(values[keep], counts[keep])[0] * torch.ones(()) for keep in ~torch.eye(400, dtype=torch.bool)])
    jackknife = ((without - without.mean()).square().sum() * 399 / 400).sqrt()
    assert found == pytest.approx(float(values.sum() / counts.sum()))
    assert error == pytest.approx(float(jackknife), rel=0.02)
    assert ratio(values[:1], counts[:1])[1] is None
