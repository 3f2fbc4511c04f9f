"""What networks share: they map (N, *in_shape) to (N, *out_shape) and know nothing of probability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import nn

__all__ = ["ACTIVATIONS", "Activation"]

Activation = Literal["relu", "silu", "gelu", "tanh", "elu", "leaky-relu"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "leaky-relu": nn.LeakyReLU,
}
