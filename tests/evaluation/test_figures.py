"""The figures of a model: each against numpy, with the protocol it names."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import nn

from vaeworks.data import Items, Options, open_data
from vaeworks.evaluation import ACTIVE_VARIANCE, evaluate, log_prob, posterior_means
from vaeworks.latents import FlatLatents
from vaeworks.model import VAE
from vaeworks.recipes import build_vae, choose_likelihood, load_recipe
from vaeworks.trace import Batch, Latent

SMALL = ["encoder.hidden=[8]", "decoder.hidden=[8]", "latent_size=4"]


def setting(binarise: Any = "none", recipe: str = "mlp", overrides: tuple[str, ...] = ()) -> tuple[VAE, Any, Items]:
    data = open_data("digits", options=Options(limit=200, binarisation=binarise))
    torch.manual_seed(0)
    made = load_recipe(recipe, [*SMALL, *overrides]).with_likelihood(choose_likelihood(data.schema)[0])
    vae = build_vae(made, data.schema)
    with torch.no_grad():
        for p in vae.parameters():  # a network that was never trained says the same of every item
            p.add_(0.3 * torch.randn_like(p))
    return vae, data.schema, data.test


def quiet(vae: VAE, x: torch.Tensor, spread: dict[int, float]) -> None:
    """The posterior means of those latent dimensions spread by so much over x, in standard deviations."""
    *_, last = (module for module in vae.encoder.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        now = vae.encoder(x).mean.std(0)
        for dimension, wanted in spread.items():
            last.weight[dimension] *= wanted / now[dimension]


def wide(vae: VAE) -> None:
    """q(z | x) = N(0, 1.3^2) whatever x: poor, but it covers all that the prior does."""
    *_, last = (module for module in vae.encoder.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, math.log(1.3)]).repeat_interleave(len(last.bias) // 2))


def test_figures_by_hand() -> None:
    vae, schema, items = setting("threshold")
    x = (items.values.numpy() >= 8.5).astype(float)
    quiet(vae, torch.from_numpy(x).float(), {1: 0.0, 3: 0.09})  # 0.09^2 < 0.01: too little to count
    figures = evaluate(vae, items, schema, samples=50, seed=3)
    with torch.no_grad():
        q = vae.encoder(torch.from_numpy(x).float())
        mean, scale = q.mean.double().numpy(), q.stddev.double().numpy()
    kl = 0.5 * (mean**2 + scale**2 - 1) - np.log(scale)
    values = {name: figure.value for name, figure in figures.figures.items()}
    assert values["kl"] == pytest.approx(kl.sum(1).mean(), rel=1e-5)
    assert figures.figures["kl"].standard_error == pytest.approx(kl.sum(1).std(ddof=1) / math.sqrt(len(x)), rel=1e-4)
    assert figures.protocol["kl_per_dimension"] == pytest.approx(kl.mean(0), abs=1e-4)
    assert values["active_units"] == (mean.var(0, ddof=1) > ACTIVE_VARIANCE).sum() == 2
    assert values["elbo"] == pytest.approx(values["log_likelihood"] - values["kl"], abs=1e-3)
    assert values["bits_per_dim"] == pytest.approx(-values["log_px"] / 64 / math.log(2))
    error = figures.figures["log_px"].standard_error
    assert error is not None
    assert figures.figures["bits_per_dim"].standard_error == pytest.approx(error / 64 / math.log(2))
    assert values["elbo"] < values["log_px"] < 0
    assert figures.protocol["items"] == len(items) == 20
    assert (figures.protocol["importance_samples"], figures.protocol["seed"], figures.protocol["binarisation"]) == (50, 3, "threshold")


def test_log_px_by_quadrature() -> None:
    """One latent dimension, summed over a fine grid: no sampling, no library."""
    vae, schema, items = setting("threshold", overrides=("latent_size=1",))
    wide(vae)
    items = items[:10]
    x = (items.values.numpy() >= 8.5).astype(float).reshape(10, -1)
    z = np.linspace(-12, 12, 20001)
    with torch.no_grad():
        logits = vae.decoder.network(torch.from_numpy(z[:, None]).float()).double().numpy().reshape(len(z), -1)  # type: ignore[operator, union-attr]
    log_joint = x @ logits.T - np.logaddexp(0, logits).sum(1) + scipy.stats.norm.logpdf(z)
    exact = scipy.special.logsumexp(log_joint, axis=1) + math.log(z[1] - z[0])
    torch.manual_seed(0)
    result = log_prob(vae, items.batch(schema, slice(None)), 4000)
    assert result.effective_sample_size.min() > 30
    assert np.abs((result.value.numpy() - exact) / result.standard_error.numpy()).max() < 5


@pytest.mark.parametrize("binarise", ["none", "dynamic"])
def test_the_same_seed_gives_the_same_figures(binarise: str) -> None:
    vae, schema, items = setting(binarise)
    first, again, other = (evaluate(vae, items, schema, samples=20, seed=seed).to_json() for seed in (1, 1, 2))
    assert first == again
    assert first["figures"]["log_px"] != other["figures"]["log_px"]
    means, again = (posterior_means(vae, items, schema, seed=1) for _ in range(2))
    assert torch.equal(means, again)
    in_sevens = posterior_means(vae, items, schema, seed=1, batch_size=7)  # a matrix product of seven rows may add up in another order
    assert torch.allclose(means, in_sevens, rtol=1e-5, atol=1e-5)
    drawn_otherwise = posterior_means(vae, items, schema, seed=2)
    assert torch.allclose(means, drawn_otherwise, rtol=0.1, atol=0.1) == (binarise == "none")


@pytest.mark.parametrize("samples", [1, 2, 60])
def test_figures_are_json_that_every_reader_takes(samples: int) -> None:
    """No NaN and no Infinity, which JSON does not have."""
    vae, schema, items = setting()
    for some in (items, items[:1]):
        told = evaluate(vae, some, schema, samples=samples).to_json()
        assert json.loads(json.dumps(told, allow_nan=False)) == told
        assert ("monte_carlo_error" in told["figures"]) == (samples > 1)


def test_the_monte_carlo_error_is_that_of_the_mean() -> None:
    vae, schema, items = setting("threshold", overrides=("latent_size=2",))
    wide(vae)
    runs = [evaluate(vae, items, schema, samples=400, seed=seed).figures for seed in range(40)]
    spread = np.std([run["log_px"].value for run in runs], ddof=1)
    stated = np.mean([run["monte_carlo_error"].value for run in runs])
    assert 0.6 < spread / stated < 1.6


def test_a_density_has_no_bits_per_dimension() -> None:
    data = open_data(np.random.default_rng(0).normal(size=(60, 8, 8)).astype("float32"))
    made = load_recipe("mlp", SMALL).with_likelihood(choose_likelihood(data.schema)[0])
    figures = evaluate(build_vae(made, data.schema), data.test, data.schema, samples=5)
    assert "bits_per_dim" not in figures.figures
    assert "density" in figures.protocol


def test_a_poor_proposal_is_warned_of() -> None:
    vae, schema, items = setting()
    *_, last = (module for module in vae.encoder.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        last.bias[:4] += 20
    assert any("effective sample size" in warning for warning in evaluate(vae, items, schema, samples=60).warnings)


def test_an_autoencoder_gives_no_bound_anywhere() -> None:
    vae, schema, items = setting(recipe="autoencoder")
    told: list[int] = []
    figures = evaluate(vae, items, schema, samples=60, progress=told.append)
    assert set(figures.figures) == {"log_likelihood", "active_units"}
    assert "not log p(x)" in figures.figures["log_likelihood"].meaning
    assert figures.protocol["importance_samples"] == 0
    assert sum(told) == len(items)
    batch = items.batch(schema, slice(None))
    with pytest.raises(NotImplementedError):
        log_prob(vae, batch, 5)


class Guessing(FlatLatents):
    """Latents that infer a label of two from the first pixel, and remember the contexts that they were shown."""

    def __init__(self, latent_size: int):
        super().__init__(latent_size)
        self.shown: list[torch.Tensor | None] = []

    def infer(self, parts: Any, batch: Batch, k: int) -> tuple[Latent, ...]:
        self.shown.append(batch.context)
        return super().infer(parts, dataclasses.replace(batch, context=None), k)

    def classify(self, parts: Any, batch: Batch) -> torch.Tensor:
        self.shown.append(batch.context)
        bright = (batch.x[:, 0, 0, 0] > 0.5).float()
        return torch.stack([0.9 - 0.8 * bright, 0.1 + 0.8 * bright], 1)


def test_labels_that_the_model_infers_are_hidden_from_it_and_compared_with_what_it_says() -> None:
    vae, schema, items = setting("threshold")
    vae.latents = Guessing(4)
    schema = dataclasses.replace(schema, context="partial-label", classes=("dark", "bright"))
    values = torch.zeros(40, 1, 8, 8, dtype=torch.uint8)
    values[:15] = 16
    labels = torch.arange(40) % 3 - 1
    found = evaluate(vae, Items(values, labels), schema, samples=3).figures["accuracy"]
    right = [label == int(i < 15) for i, label in enumerate(labels.tolist()) if label >= 0]
    assert found.value == pytest.approx(np.mean(right))
    assert found.standard_error == pytest.approx(np.std(right, ddof=1) / math.sqrt(len(right)))
    assert f"{len(right)} items" in found.meaning
    assert vae.latents.shown
    assert all(context is not None and not context.any() for context in vae.latents.shown)
    assert "accuracy" not in evaluate(vae, Items(values), schema, samples=3).figures
    vae.latents = FlatLatents(4)
    assert "accuracy" not in evaluate(vae, items, dataclasses.replace(schema, context="none"), samples=3).figures
