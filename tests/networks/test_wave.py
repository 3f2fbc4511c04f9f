import pytest
import torch
from torch.nn import functional as F

from vaeworks.networks import WaveDecoder, WaveEncoder

KNOBS = [
    {"bands": 4, "channels": (5, 6), "stride": 2, "blocks": 2},
    {"bands": 1, "channels": (5,), "stride": 3, "blocks": 1, "kernel": 5, "activation": "relu"},
]
knobs_ = pytest.mark.parametrize("knobs", KNOBS, ids=str)


@pytest.fixture(autouse=True)
def _exact(exact: None) -> None:
    """float64, so that equal means equal."""


def stirred(network):  # so that no block is the identity
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return network.requires_grad_(False)


@knobs_
@pytest.mark.parametrize("sizes", [(1, 1, 2, 8), (5, 7), (12,)], ids=str)
def test_a_stream_is_the_whole(knobs, sizes: tuple[int, ...]) -> None:
    encoder = stirred(WaveEncoder((2, 100), (3,), causal=True, **knobs))
    decoder = stirred(WaveDecoder((3,), (2, 100), causal=True, **knobs))
    for network, x, unit in [
        (encoder, torch.randn(3, 2, 12 * encoder.hop), encoder.hop),
        (decoder, torch.randn(3, knobs["channels"][-1], 12), 1),
    ]:
        pieces, past = [], None
        for block in x.split([size * unit for size in sizes], -1):
            piece, past = network.trunk.stream(block, past)
            pieces.append(piece)
        torch.testing.assert_close(torch.cat(pieces, -1), network.trunk(x), atol=1e-12, rtol=1e-12)


@knobs_
def test_encode_and_decode_is_the_trunk_between_dense_layers(knobs) -> None:
    """What is streamed is what ``forward`` computes, the silence after the sound and the delay apart."""
    encoder, decoder = (
        stirred(network) for network in (WaveEncoder((2, 100), (3,), causal=True, **knobs), WaveDecoder((3,), (2, 100), causal=True, **knobs))
    )
    x, z = torch.randn(4, 2, 100), torch.randn(4, 3)
    torch.testing.assert_close(encoder(x), encoder.head(encoder.trunk.stream(F.pad(x, (0, encoder.silence)))[0]))
    torch.testing.assert_close(decoder(z), decoder.trunk.stream(decoder.head(z))[0][..., decoder.delay : decoder.delay + 100])


@knobs_
@pytest.mark.parametrize("causal", [True, False])
def test_only_what_looks_ahead_is_moved_by_the_future(knobs, causal: bool) -> None:
    network = stirred(WaveEncoder((2, 100), (3,), causal=causal, **knobs))
    x = torch.randn(1, 2, 20 * network.hop)
    y = x.clone()
    y[..., 10 * network.hop :] += 1
    change = (network.trunk(x) - network.trunk(y)).abs().amax((0, 1))
    assert (change[10:] > 0).any()
    assert (change[:10] > 0).any() != causal


def test_what_looks_ahead_cannot_be_streamed() -> None:
    with pytest.raises(ValueError, match="causal=True"):
        WaveEncoder((1, 100), (3,)).trunk.stream(torch.zeros(1, 1, 512))


@pytest.mark.parametrize("shape", [(1, 400), (2, 77), (1, 5, 30)], ids=str)
@pytest.mark.parametrize("knobs", [{"bands": 4, "causal": True}, {"bands": 4}, {"bands": 1}], ids=str)
def test_every_sample_is_heard_and_made(shape: tuple[int, ...], knobs) -> None:
    encoder, decoder = WaveEncoder(shape, (3,), channels=(4, 5), **knobs), WaveDecoder((3,), shape, channels=(4, 5), **knobs)
    x = torch.randn(1, *shape, requires_grad=True)
    (gradient,) = torch.autograd.grad(encoder(x).square().sum(), x)
    assert (gradient != 0).all()
    y = decoder(torch.randn(2, 3))
    assert y.shape == (2, *shape)
    assert (y.diff(dim=0) != 0).all()


def test_networks_of_one_second_are_small() -> None:
    for rate in (8000, 16000):
        encoder, decoder = WaveEncoder((1, rate), (2, 64)), WaveDecoder((64,), (2, rate))
        assert sum(p.numel() for network in (encoder, decoder) for p in network.parameters()) < 2_000_000


def test_variance_passes_through() -> None:
    """From noise of variance one to features, and from codes to a sound, near one."""
    torch.manual_seed(0)
    assert 0.1 < WaveEncoder((1, 4000), (64,))(torch.randn(16, 1, 4000)).std() < 3
    assert 0.1 < WaveDecoder((64,), (1, 4000))(torch.randn(16, 64)).std() < 3
