"""Every part as PyTorch people use modules: state, copies, types, functional calls, a plain loop over a DataLoader, compilation, DDP, gradients of each item."""

from __future__ import annotations

import copy
import functools
import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import DataLoader, TensorDataset

from vaeworks.data import Data, Options, open_data
from vaeworks.latents import LATENTS
from vaeworks.likelihoods import LIKELIHOODS, BernoulliLikelihood
from vaeworks.model import VAE, Decoder, Encoder
from vaeworks.networks import DECODER_NETWORKS, ENCODER_NETWORKS, MLP
from vaeworks.objectives import ELBO, IWAE, OBJECTIVES, Objective
from vaeworks.posteriors import POSTERIORS, DiagonalNormalPosterior
from vaeworks.priors import PRIORS, StandardNormalPrior
from vaeworks.recipes import build_objective, build_vae, conditioned, load_recipe
from vaeworks.recipes.knobs import AXES, knobs
from vaeworks.trace import Batch

SMALL = {"hidden": "[4]", "components": "3", "transforms": "1", "steps": "2", "features": "4", "context": "2"}
SPACES = {POSTERIORS[kind].space: kind for kind in ("wrapped-normal", "von-mises-fisher", "diagonal")}
FLAT = {PRIORS[kind].space: kind for kind in ("wrapped-normal", "sphere", "standard-normal")}
RECIPES = ("conv", "text", "text-bowman", "text-transformer", "text-parallel", "sound-wave", "sound-mel", "table", "cvae")
"""Between them every network and likelihood, beside those below."""
CASES = [*RECIPES, *(f"{axis}={kind}" for axis in ("posterior", "latents", "prior", "objective") for kind in AXES[axis] if kind != "spectral-elbo")]


@functools.cache
def data(kind: str, representation: Any = "mel") -> Data:
    rng = np.random.default_rng(0)
    options = Options(kind=kind, validation=0.2, test=0.0)  # type: ignore[arg-type]
    if kind == "text":
        return open_data([" ".join(rng.choice(["a", "cat", "sat", "on", "mats"], 3)) for _ in range(40)], options=options)
    if kind == "audio":
        return open_data(
            [0.1 * rng.normal(size=512).astype(np.float32) for _ in range(12)],
            options=Options(kind="audio", rate=8000, test=0.0, representation=representation),
        )
    if kind == "table":
        return open_data(np.stack([rng.normal(size=30), rng.integers(0, 3, 30), rng.poisson(20, 30)], 1), options=options)
    return open_data("digits", options=Options(limit=20))


@functools.cache
def made(case: str) -> tuple[VAE, Objective, Batch]:
    """A small model with the part of ``case``, its objective, and a few items."""
    torch.manual_seed(0)
    overrides: list[str] = []
    if "=" in case:
        axis, part = case.split("=")
        kinds = {axis: part}
        if "semi-supervised" in kinds.values() or "labelled" in kinds.values():
            kinds = {"latents": "labelled", "objective": "semi-supervised"}
            overrides.append("context=partial-label")
        kinds.setdefault("posterior", SPACES[PRIORS[kinds.get("prior", "standard-normal")].space])
        kinds.setdefault("prior", FLAT[POSTERIORS[kinds["posterior"]].space])
        if kinds["posterior"] == "point":
            kinds.setdefault("objective", "autoencoder")
        overrides += ["latent_size=3", "encoder.hidden=[6]", "decoder.hidden=[6]"]
        for name, kind in kinds.items():
            overrides += [f"{name}.kind={kind}", *(f"{name}.{knob}={SMALL[knob]}" for knob in knobs(AXES[name][kind]) if knob in SMALL)]
    if case == "text-parallel":
        overrides = ["decoder.kind=parallel"]
    recipe = load_recipe(case if "=" not in case else "mlp", overrides)
    kind = recipe["data"] if "data" in recipe.values and recipe["data"] else "image"
    found = data(kind, "wave") if case == "sound-wave" else data(kind)
    schema = conditioned(recipe, found.schema)
    batch = found.train[:6].batch(schema, slice(None), torch.Generator().manual_seed(0))
    vae, objective = build_vae(recipe, schema), build_objective(recipe)
    vae.settle(found.train.mean(schema), found.train[:10].batch(schema, slice(None)).x)
    with torch.no_grad():
        objective.settle(vae.eval()(batch), len(found.train))
    return vae.eval(), objective.eval(), batch


def loss_of(vae: Any, objective: Any, batch: Batch, seed: int = 3) -> Tensor:
    torch.manual_seed(seed)
    loss: Tensor = objective(vae(batch, objective.samples), batch).value
    return loss


def bare() -> VAE:
    """A VAE put together from its parts, as the README does."""
    torch.manual_seed(0)
    posterior, likelihood = DiagonalNormalPosterior(4), BernoulliLikelihood((1, 8, 8), levels=2)
    encoder = Encoder(MLP((1, 8, 8), posterior.parameter_shape, hidden=(32,)), posterior)
    return VAE(encoder, Decoder(MLP((4,), likelihood.parameter_shape, hidden=(32,)), likelihood), StandardNormalPrior(4))


def digits(n: int) -> Tensor:
    return torch.from_numpy((load_digits().images[:n] > 7)[:, None]).float()


def test_every_part_on_every_axis_is_a_module() -> None:
    parts = [part for axis in AXES.values() for part in axis.values()]
    assert len(parts) > 50
    assert {id(p) for axis in (ENCODER_NETWORKS, DECODER_NETWORKS, POSTERIORS, PRIORS, LIKELIHOODS, LATENTS, OBJECTIVES) for p in axis.values()} == {
        id(part) for part in parts
    }
    assert [part for part in (*parts, VAE, Encoder, Decoder) if not issubclass(part, nn.Module)] == []


def test_the_cases_hold_every_part() -> None:
    held = {type(module) for case in CASES for module in (*made(case)[0].modules(), *made(case)[1].modules())}
    missing = {part.__name__ for axis in AXES.values() for part in axis.values()} - {part.__name__ for part in held}
    assert missing <= {"SpectralELBO", *(type_.__name__ for type_ in LIKELIHOODS.values())}


@pytest.mark.parametrize("case", CASES)
def test_state_copies_types_and_functional_calls(case: str) -> None:
    vae, objective, batch = made(case)
    expected = loss_of(vae, objective, batch)
    assert expected.isfinite()

    twin = copy.deepcopy(vae)
    assert torch.equal(loss_of(twin, objective, batch), expected)
    with torch.no_grad():
        for tensor in twin.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.25)
    assert torch.equal(loss_of(vae, objective, batch), expected), "a copy shares tensors with its original"
    assert vae.state_dict().keys() == dict(twin.state_dict()).keys()
    twin.load_state_dict(vae.state_dict())
    assert torch.equal(loss_of(twin, objective, batch), expected)

    tensors = {**dict(vae.named_parameters()), **dict(vae.named_buffers())}
    torch.manual_seed(3)
    trace = functional_call(twin, {name: tensor.clone() for name, tensor in tensors.items()}, (batch, objective.samples))
    assert torch.equal(objective(trace, batch).value, expected)

    objective = copy.deepcopy(objective)
    loss_of(vae, objective, batch).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in vae.parameters())
    vae.zero_grad()

    double = copy.deepcopy(vae).to(torch.float64)
    x = batch.x.double() if batch.x.is_floating_point() else batch.x
    wide = Batch(x, batch.observed, None if batch.context is None else batch.context.double())
    found = loss_of(double, copy.deepcopy(objective).to(torch.float64), wide)
    assert found.dtype == torch.float64
    assert found.isfinite()
    moved = copy.deepcopy(vae).to("meta")
    assert {t.device.type for t in (*moved.parameters(), *moved.buffers())} <= {"meta"}


def test_a_plain_loop_over_a_data_loader_trains() -> None:
    vae, objective = bare(), IWAE(samples=3)
    loader = DataLoader(TensorDataset(digits(256)), batch_size=64, shuffle=True, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(vae.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        for (x,) in loader:
            batch = Batch(x)
            loss = objective(vae(batch, objective.samples), batch).value
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(64 * math.log(2), rel=0.3)  # an untrained decoder throws about a coin for each pixel
    assert np.mean(losses[-4:]) < 0.65 * losses[0]


def test_a_step_compiles_as_a_whole() -> None:
    """The graph is captured without a break, and gives the loss and the gradients of eager mode; inductor, which is slow to start, takes the same graph."""
    vae, objective, x = bare(), ELBO(), digits(16)

    def step(x: Tensor) -> Tensor:
        batch = Batch(x)
        loss: Tensor = objective(vae(batch), batch).value
        return loss

    torch.manual_seed(1)
    expected = step(x)
    wanted = torch.autograd.grad(expected, list(vae.parameters()))
    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
    torch.manual_seed(1)
    loss = compiled(x)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, list(vae.parameters())), wanted)


def test_gradients_of_each_item_by_vmap() -> None:
    """They average to the gradient of the batch, where every item has the same noise."""
    vae, objective, x = bare(), ELBO(), digits(5)
    parameters = {name: p.detach() for name, p in vae.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        batch = Batch(x[None])
        value: Tensor = objective(functional_call(vae, parameters, (batch,)), batch).value
        return value

    torch.manual_seed(2)
    each = vmap(grad(loss), (None, 0), randomness="same")(parameters, x)
    for i in range(len(x)):
        torch.manual_seed(2)
        alone = grad(loss)(parameters, x[i])
        for name, gradient in alone.items():
            torch.testing.assert_close(each[name][i], gradient, atol=1e-5, rtol=1e-4)


def test_distributed_data_parallel(tmp_path: Path) -> None:
    """DDP over gloo takes a Batch, gives a Trace, and leaves the gradients that the bare model has."""
    vae, objective, batch = bare(), ELBO(), Batch(digits(8))
    loss_of(vae, objective, batch).backward()
    expected = [p.grad.clone() for p in vae.parameters() if p.grad is not None]
    vae.zero_grad()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(vae)
        loss_of(parallel, objective, batch).backward()
    finally:
        torch.distributed.destroy_process_group()
    for p, gradient in zip(vae.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, gradient)


def test_the_lightning_example_trains() -> None:
    if importlib.util.find_spec("lightning") is None:
        pytest.skip("lightning is not installed")
    example = Path(__file__).parent.parent / "examples" / "lightning_vae.py"
    body = example.read_text().split("class LightningVAE")[1].split("\n\n\n")[0].splitlines()[1:]
    assert len([line for line in body if line.strip() and '"""' not in line]) <= 10
    done = subprocess.run([sys.executable, str(example), "--epochs", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, last = map(float, done.stdout.splitlines()[-1].split("->"))
    assert last < first - 2
