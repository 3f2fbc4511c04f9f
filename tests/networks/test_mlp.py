import pytest
import torch
from torch import nn

from vaeworks.networks import MLP
from vaeworks.networks.mlp import GatedLinear


def test_without_hidden_layers_it_is_one_linear_map() -> None:
    network = MLP((2, 3), (4,), hidden=())
    (layer,) = (module for module in network.modules() if isinstance(module, nn.Linear))
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(network(x), x.flatten(1) @ layer.weight.T + layer.bias)


def test_gated_layer_is_a_product_with_its_gate() -> None:
    layer, x = GatedLinear(3, 4), torch.randn(5, 3)
    value, gate = layer.linear(x).chunk(2, -1)
    torch.testing.assert_close(layer(x), value * torch.sigmoid(gate))


def test_residual_layers_start_as_the_identity() -> None:
    torch.manual_seed(0)
    deep = MLP((3,), (2,), hidden=(8, 8, 8), block="residual")
    x = torch.randn(4, 3)
    first, activation, *_, last = deep.body
    torch.testing.assert_close(deep(x), last(activation(first(x))))


def test_residual_layers_of_unequal_size_name_the_cure() -> None:
    with pytest.raises(ValueError, match=r"make the sizes equal, or use block='plain'"):
        MLP((3,), (2,), hidden=(8, 4), block="residual")
