"""The quick forms against torch's own layers, and their gradients against finite differences."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from vaeworks.networks import quick


@pytest.fixture
def everywhere(monkeypatch):
    """Use the quick forms in float64 too, where they can be compared exactly."""
    monkeypatch.setattr(quick, "_plain_cpu", lambda _: True)


SIZES = [(4, 4, 1, 1), (3, 5, 0, 1), (1, 4, 1, 0), (2, 2, 0, 0)]


@pytest.mark.parametrize(("h", "w", "eh", "ew"), SIZES)
def test_transposed_convolution_is_torchs(everywhere, h, w, eh, ew):
    ours = quick.TransposedConv(3, 2, (eh, ew)).double()
    reference = nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=(eh, ew)).double()
    reference.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, h, w, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ours(x), reference(x), rtol=1e-12, atol=1e-12)
    assert ours(x).shape[2:] == (2 * h - 1 + eh, 2 * w - 1 + ew)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("h", "w"), [(4, 6), (1, 3), (5, 1)])
def test_convolution_to_few_channels_is_torchs(everywhere, channels, h, w):
    ours = quick.FewChannelConv(5, channels).double()
    reference = nn.Conv2d(5, channels, 3, padding=1).double()
    reference.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, h, w, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ours(x), reference(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layer", [lambda: quick.TransposedConv(2, 3, (1, 0)), lambda: quick.FewChannelConv(2, 2)], ids=["transposed", "few"])
def test_gradients_of_both_orders(everywhere, layer):
    module = layer().double()
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)

    def function(x, weight, bias):
        return torch.func.functional_call(module, {"weight": weight, "bias": bias}, (x,))

    inputs = (x, module.weight.detach().requires_grad_(), module.bias.detach().requires_grad_())
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def test_tanh_is_tanh(everywhere):
    x = torch.linspace(-30, 30, 301, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(quick.Tanh()(x), torch.tanh(x), rtol=1e-12, atol=1e-15)
    assert gradcheck(quick.Tanh(), (x.clone().requires_grad_(),))


def test_autocast_takes_torchs_own_path():
    x = torch.randn(1, 2, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert quick.FewChannelConv(2, 1)(x).dtype == torch.bfloat16
        assert quick.TransposedConv(2, 1, (1, 1))(x).dtype == torch.bfloat16
