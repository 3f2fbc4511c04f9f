"""Spectral normalisation: singular values by decomposition, distances by hand, and artifacts that hold it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import vaeworks as vw
from vaeworks.networks import MLP, ConvDecoder

CASES: list[tuple[Any, dict[str, Any]]] = [
    (MLP, {"hidden": (16, 12)}),
    (MLP, {"hidden": (16, 16), "block": "residual"}),
    (MLP, {"hidden": (16,), "block": "gated"}),
    (ConvDecoder, {"channels": (4, 6), "hidden": (8,), "blocks": 1}),
    (ConvDecoder, {"channels": (4, 6), "hidden": (8,), "last": "shuffle"}),
]


def norms(network: nn.Module) -> list[float]:
    """The largest singular value of every layer's weights, an output channel a row."""
    found = []
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            weight = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
            found.append(float(torch.linalg.svdvals(weight.flatten(1).detach())[0]))
    return found


@pytest.mark.parametrize(("kind", "knobs"), CASES)
def test_every_layer_has_norm_one_and_keeps_it_in_training(kind: Any, knobs: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network, free = kind((3,), (1, 9, 8), spectral=True, **knobs), kind((3,), (1, 9, 8), **knobs)
    assert norms(network) == pytest.approx([1] * len(norms(network)), abs=0.05)
    for module, rate in ((network, 1e-3), (free, 1e-2)):
        optimizer, z, target = torch.optim.Adam(module.parameters(), lr=rate), torch.randn(32, 3), 3 * torch.randn(32, 1, 9, 8)
        for _ in range(60):
            optimizer.zero_grad()
            loss = (module(z) - target).square().mean()
            loss.backward()
            assert all(parameter.grad.isfinite().all() for parameter in module.parameters())
            optimizer.step()
    assert norms(network.eval()) == pytest.approx([1] * len(norms(network)), abs=0.05)
    assert max(norms(free)) > 1.2


def test_no_layer_stretches() -> None:
    """Of layers of norm one and ReLUs, none carries two points apart: the network's own slope is at most one."""
    torch.manual_seed(0)
    network = MLP((5,), (7,), hidden=(30, 30), activation="relu", spectral=True)
    for _ in range(30):  # power iterations
        network(torch.zeros(1, 5))
    network.eval()
    a, b = 5 * torch.randn(2, 1000, 5)
    assert ((network(a) - network(b)).norm(dim=1) <= 1.001 * (a - b).norm(dim=1)).all()
    assert (MLP((5,), (7,), hidden=(30, 30), activation="relu")(a) - network(b)).norm(dim=1).max() > 0


def test_a_trained_recipe_keeps_it_through_its_artifact(tmp_path: Path) -> None:
    model = vw.train("digits", recipe="rae-sn", overrides=["training.epochs=4", "decoder.hidden=[32, 32]", "encoder.hidden=[32]"])
    assert norms(model.vae.decoder) == pytest.approx([1, 1, 1], abs=0.05)
    assert max(norms(model.vae.encoder)) > 1.2
    model.save(tmp_path / "m")
    loaded, items = vw.load(tmp_path / "m"), model.items("digits")[:20]
    assert torch.equal(loaded.reconstruct(items), model.reconstruct(items))
    assert torch.equal(loaded.sample(3, seed=1), model.sample(3, seed=1))
