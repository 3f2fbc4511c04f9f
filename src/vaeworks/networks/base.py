"""What networks share: they map (N, *in_shape) to (N, *out_shape) and know nothing of probability."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

from torch import nn

from vaeworks.networks.quick import Tanh

__all__ = ["ACTIVATIONS", "Activation", "initialise"]

Activation = Literal["relu", "silu", "gelu", "tanh", "elu", "leaky-relu"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": Tanh,
    "elu": nn.ELU,
    "leaky-relu": nn.LeakyReLU,
}


def initialise(modules: Iterable[nn.Module], activation: Activation) -> None:
    """Weights that keep the variance of what passes through (He et al. 2015, arXiv:1502.01852; for tanh Glorot & Bengio 2010), biases zero.

    Torch's defaults shrink it by three at every layer. On MNIST with the 784-200-200-50 network this is worth several nats after five epochs.
    """
    gain = 1.0 if activation == "tanh" else math.sqrt(2)
    for module in modules:
        if isinstance(module, nn.Linear) and activation == "tanh":
            nn.init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            inputs = module.weight[0].numel()
            if isinstance(module, nn.ConvTranspose2d):  # each output is reached by one in stride^2 of the taps
                inputs = module.in_channels * math.prod(module.kernel_size) // math.prod(module.stride)
            nn.init.normal_(module.weight, 0, gain / math.sqrt(inputs))
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
