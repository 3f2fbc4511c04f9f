"""Every network: any image size and aspect to the right shape, each item by itself, gradients everywhere."""

import pytest
import torch
from torch import nn

from vaeworks.networks import DECODER_NETWORKS, ENCODER_NETWORKS

MLP_CASES: list[dict[str, object]] = [
    {"hidden": (6,)},
    {"hidden": ()},
    {"hidden": (6, 5), "block": "gated"},
    {"hidden": (6, 6), "block": "residual", "activation": "gelu"},
]
WAVE_CASES: list[dict[str, object]] = [
    {"bands": 1, "channels": (3, 4), "hidden": (6,)},
    {"bands": 2, "channels": (3,), "stride": 3, "hidden": (), "activation": "elu", "causal": True},
]
ENCODER_CASES: dict[str, list[dict[str, object]]] = {
    "mlp": MLP_CASES,
    "conv": [
        {"channels": (3, 4), "hidden": (6,), "activation": "silu"},
        {"channels": (3,), "blocks": 1, "hidden": (), "activation": "elu"},
        {"channels": (3, 4), "stages": 2},
    ],
    "wave": WAVE_CASES,
}
DECODER_CASES: dict[str, list[dict[str, object]]] = {
    "mlp": MLP_CASES,
    "conv": [
        {"channels": (3, 4), "hidden": (6,), "activation": "silu"},
        {"channels": (3,), "blocks": 1, "hidden": (), "activation": "tanh"},
        {"channels": (3, 4), "last": "transposed", "activation": "leaky-relu"},
    ],
    "wave": WAVE_CASES,
}
SEQUENCES = {"gru", "lstm", "transformer", "parallel"}
"""Networks of tokens, under laws of their own in test_sequences.py."""
SHAPES = [(1, 8, 8), (3, 9, 17), (4, 31, 8), (2, 8, 256), (3, 65, 33), (1, 28, 28), (1, 127, 10), (2, 1, 5)]


def cases(table: dict[str, list[dict[str, object]]]) -> list[object]:
    return [pytest.param(name, knobs, id=f"{name}-{i}") for name, all_ in table.items() for i, knobs in enumerate(all_)]


encoder_law = pytest.mark.parametrize(("name", "knobs"), cases(ENCODER_CASES))
decoder_law = pytest.mark.parametrize(("name", "knobs"), cases(DECODER_CASES))
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def obeys(network: nn.Module, x: torch.Tensor, out_shape: tuple[int, ...]) -> None:
    """Shape; items apart from each other, in training too; finite gradients for input and every parameter; state."""
    network.train()
    x = x.requires_grad_()
    y = network(x)
    assert y.shape == (len(x), *out_shape)
    torch.testing.assert_close(network(x[1:2]), y[1:2], atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(network(x.flip(0)).flip(0), y, atol=1e-10, rtol=1e-10)
    gradients = torch.autograd.grad(y.square().sum(), [x, *network.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert (gradients[0] != 0).any()


def test_every_network_is_under_law() -> None:
    assert set(ENCODER_CASES) == set(ENCODER_NETWORKS) - SEQUENCES
    assert set(DECODER_CASES) == set(DECODER_NETWORKS) - SEQUENCES


@encoder_law
@shapes
def test_encoder_takes_any_image(name: str, knobs: dict[str, object], shape: tuple[int, ...]) -> None:
    obeys(ENCODER_NETWORKS[name](shape, (5,), **knobs), torch.randn(3, *shape), (5,))


@decoder_law
@shapes
def test_decoder_makes_any_image(name: str, knobs: dict[str, object], shape: tuple[int, ...]) -> None:
    obeys(DECODER_NETWORKS[name]((2,), shape, **knobs), torch.randn(3, 2), shape)


@pytest.mark.parametrize("name", ENCODER_CASES)
def test_encoder_at_the_largest_size(name: str) -> None:
    network = ENCODER_NETWORKS[name]((3, 256, 200), (4,), hidden=(3,), **({} if name == "mlp" else {"channels": (2, 3)}))
    assert network(torch.randn(1, 3, 256, 200)).shape == (1, 4)


@pytest.mark.parametrize("name", DECODER_CASES)
def test_decoder_at_the_largest_size(name: str) -> None:
    network = DECODER_NETWORKS[name]((4,), (3, 256, 200), hidden=(3,), **({} if name == "mlp" else {"channels": (2, 3)}))
    assert network(torch.randn(1, 4)).shape == (1, 3, 256, 200)


@encoder_law
def test_memory_layout_changes_nothing(name: str, knobs: dict[str, object]) -> None:
    network, x = ENCODER_NETWORKS[name]((3, 12, 9), (5,), **knobs), torch.randn(4, 3, 12, 9)
    expected = network(x)
    torch.testing.assert_close(network(x.contiguous(memory_format=torch.channels_last)), expected)
    torch.testing.assert_close(network(x.transpose(2, 3).contiguous().transpose(2, 3)), expected)


@decoder_law
def test_output_is_contiguous(name: str, knobs: dict[str, object]) -> None:
    """So that flattening and splitting it into parameters copies nothing."""
    assert DECODER_NETWORKS[name]((2,), (3, 12, 9), **knobs)(torch.randn(4, 2)).is_contiguous()


@encoder_law
def test_state_round_trips(name: str, knobs: dict[str, object]) -> None:
    first, second = (ENCODER_NETWORKS[name]((2, 9, 8), (4,), **knobs) for _ in range(2))
    x = torch.randn(3, 2, 9, 8)
    assert not torch.equal(first(x), second(x))
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(second(x), first(x), atol=0, rtol=0)
