"""bfloat16 rounds the products of networks and nothing else: on every kind of part, on any machine."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaeworks.data import Data, Items, Options, open_data
from vaeworks.data.tokens import learn
from vaeworks.model import TextSchema
from vaeworks.networks import MLP, ConvEncoder, GRUEncoder, ParallelDecoder
from vaeworks.recipes import build_objective, build_vae, choose_likelihood, conditioned, load_recipe
from vaeworks.training import Trainer
from vaeworks.training.hardware import cpu_multiplies_bf16
from vaeworks.training.loop import Loop
from vaeworks.training.precision import bf16_pays, networks_in_bfloat16, networks_of, rounding

CPU = torch.device("cpu")

THIN = ("encoder.hidden=[16]", "decoder.hidden=[16]")
CHANNELS = (*THIN, "encoder.channels=[4,4]", "decoder.channels=[4,4]")
NARROW = ("encoder.width=16", "decoder.width=16")
RECIPES: dict[str, tuple[str, ...]] = {
    "mlp": THIN,
    "conv": CHANNELS,
    "resnet-realnvp": CHANNELS,
    "mlp prior.kind=spline objective.kind=iwae": THIN,
    "iaf-vae": THIN,
    "planar-vae": THIN,
    "poincare-vae": THIN,
    "spherical-vae": THIN,
    "hamiltonian-vae": THIN,
    "riemannian-vae": (*THIN, "latents.step_size=0.001"),
    "two-stage-vae": THIN,
    "hvae-vamp": THIN,
    "m2": THIN,
    "vae-gan": THIN,
    "text": NARROW,
    "text encoder.kind=lstm decoder.kind=lstm": NARROW,
    "text-transformer": NARROW,
    "text-parallel": THIN,
    "sound-mel": CHANNELS,
    "sound-wave": CHANNELS,
}
"""Recipe, with what is changed about it, and what makes its networks small."""


@functools.cache
def data(kind: Any) -> Data:
    if kind == "text":
        strings = ["one", "two", "three", "four", "five", "six"] * 10
        tokenizer, vocabulary = learn("characters", strings, 0)
        schema = TextSchema((7,), vocabulary, tokenizer, count=60)
        values, lengths = schema.encode(strings)
        items = Items(values, lengths=lengths)
        return Data(schema, items, items[:6], items[:6])
    if kind in {"mel", "wave"}:
        time = np.arange(1600) / 8000
        waves = [(0.5 * np.sin(2 * np.pi * hertz * time)).astype("float32") for hertz in np.linspace(200, 2000, 40)]
        return open_data(waves, options=Options(kind="audio", rate=8000, representation=kind))
    return open_data("digits", options=Options(limit=60))


def loop_of(name: str, precision: str, **knobs: Any) -> Loop:
    """A training run of the recipe ``name``, the same but for its precision."""
    recipe, *changes = name.split()
    made = load_recipe(recipe, [*changes, *RECIPES.get(name, RECIPES[recipe]), "latent_size=3"])
    shown = data(recipe.removeprefix("sound-") if made["data"] == "audio" else made["data"])
    made = made if made["likelihood"] else made.with_likelihood(choose_likelihood(shown.schema)[0])
    shown = replace(shown, schema=conditioned(made, shown.schema))
    torch.manual_seed(0)
    vae, objective = build_vae(made, shown.schema), build_objective(made)
    trainer = Trainer(**{"epochs": 3, "batch_size": 16, "precision": precision, "compile": "off", "patience": 1.0, **knobs})  # type: ignore[arg-type]
    return Loop(trainer, vae, objective, shown, folder=None, device=CPU, seed=0, progress=None)


def parameters_of(distribution: Distribution) -> list[Tensor]:
    return [value for value in vars(distribution).values() if isinstance(value, Tensor) and value.is_floating_point()]


@pytest.mark.parametrize("name", RECIPES)
def test_every_kind_of_part_trains_and_only_products_are_rounded(name: str) -> None:
    """The loss is that of float32 to within the rounding of eight bits, and no step is lost."""
    values, seen = {}, set[torch.dtype]()
    for precision in ("float32", "bf16"):
        loop = loop_of(name, precision)
        if precision == "bf16":
            for module in loop.vae.modules():
                if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                    module.register_forward_hook(lambda *call: seen.add(call[-1].dtype))
        with rounding(loop.rounded):
            torch.manual_seed(1)
            values[precision] = float(loop.loss(torch.arange(16), 1.0)[0].detach())
            trace = loop.vae(loop.items.batch(loop.schema, torch.arange(16)), loop.objective.samples)
        tensors = [t for latent in trace.latents for t in (latent.z, *parameters_of(latent.q), *parameters_of(latent.p))]
        assert {t.dtype for t in (*tensors, *parameters_of(trace.x))} == {torch.float32}
    if "lstm" not in name or cpu_multiplies_bf16():  # torch has no LSTM in bfloat16 for a CPU without the instructions
        assert torch.bfloat16 in seen
        assert values["bf16"] != values["float32"]
    assert values["bf16"] == pytest.approx(values["float32"], rel=0.03)
    history = loop.run(resume=False, max_minutes=None, checkpoint_seconds=1e9)
    assert history.skipped == 0
    assert all(math.isfinite(value) for line in history.lines for value in line.values())


def test_the_networks_of_a_model_are_those_of_its_ends_and_its_latents() -> None:
    vae = loop_of("hvae-vamp", "float32").vae
    latents: Any = vae.latents
    assert networks_of(vae) == [vae.encoder.network, vae.decoder.network, latents.reader, latents.recognition, latents.generation]  # type: ignore[union-attr]
    own = nn.Sequential(nn.Flatten(), MLP((64,), (6,), hidden=(4,)))
    plain = loop_of("mlp", "float32").vae
    plain.encoder.network = own
    assert networks_of(plain) == [own, plain.decoder.network]  # type: ignore[union-attr]


def test_rounding_leaves_no_trace_and_spares_evaluation() -> None:
    vae = loop_of("conv", "float32").vae
    networks, names, x = networks_of(vae), list(vae.state_dict()), torch.rand(5, 1, 8, 8)
    exact = vae.encoder(x).mean
    with rounding(networks):
        assert list(vae.state_dict()) == names
        assert not torch.equal(vae.encoder(x).mean, exact)
        assert torch.equal(vae.eval().encoder(x).mean, exact)
    assert torch.equal(vae.train().encoder(x).mean, exact)
    assert not any("forward" in vars(network) for network in networks)


def test_auto_rounds_where_products_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    wide, narrow = MLP((784,), (40,), hidden=(400,)), MLP((64,), (6,), hidden=(16,))
    monkeypatch.setattr("vaeworks.training.precision.cpu_multiplies_bf16", lambda: True)
    assert bf16_pays(wide, CPU, 512)
    assert not bf16_pays(wide, CPU, 16)
    assert not bf16_pays(narrow, CPU, 4096)
    assert bf16_pays(ConvEncoder((1, 28, 28), (40,)), CPU, 128)
    assert bf16_pays(GRUEncoder((30, 50), (40,), width=256), CPU, 64)
    assert not bf16_pays(GRUEncoder((30, 50), (40,), width=64), CPU, 64)
    assert not bf16_pays(ParallelDecoder((30,), (30, 50), width=256), CPU, 4096)
    monkeypatch.setattr("vaeworks.training.precision.cpu_multiplies_bf16", lambda: False)
    assert not bf16_pays(wide, CPU, 512)


def test_a_decoder_reads_as_many_rows_as_samples_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaeworks.training.precision.cpu_multiplies_bf16", lambda: True)
    vae = loop_of("mlp", "float32").vae
    ends = vae.encoder.network, vae.decoder.network = MLP((1, 8, 8), (6,), hidden=(400, 400)), MLP((3,), (1, 8, 8), hidden=(400, 400))
    assert networks_in_bfloat16(vae, "auto", CPU, 20) == []
    assert networks_in_bfloat16(vae, "auto", CPU, 20, samples=50) == [ends[1]]
    assert networks_in_bfloat16(vae, "bf16", CPU, 20) == list(ends)
    assert networks_in_bfloat16(vae, "float32", CPU, 2000, samples=50) == []


def test_an_lstm_stays_float32_on_a_cpu_that_has_none_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaeworks.training.precision.cpu_multiplies_bf16", lambda: False)
    vae = loop_of("text decoder.kind=lstm", "float32").vae
    assert networks_in_bfloat16(vae, "bf16", CPU, 64) == [vae.encoder.network]
