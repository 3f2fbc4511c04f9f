"""Fully connected networks, plain, gated or residual."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from vaeworks.networks.base import ACTIVATIONS, Activation, initialise, spectrally_normalised

__all__ = ["MLP", "GatedLinear", "ResidualLayer"]


class GatedLinear(nn.Module):
    """(W x + b) * sigmoid(V x + c) (Dauphin et al. 2017, arXiv:1612.08083), both products in one matrix."""

    def __init__(self, in_size: int, out_size: int):
        super().__init__()
        self.linear = nn.Linear(in_size, 2 * out_size)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.linear(x), -1)


class ResidualLayer(nn.Module):
    """x + W2 f(W1 norm(x)), W2 starting at zero: deep fully connected networks that train."""

    def __init__(self, size: int, activation: Activation):
        super().__init__()
        self.body = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, size), ACTIVATIONS[activation]())
        self.last = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.last(self.body(x))
        return out


class MLP(nn.Module):
    """(N, *in_shape) -> (N, *out_shape) through fully connected layers of the ``hidden`` sizes.

    block: ``plain``, a linear layer and the activation; ``gated``, a linear layer times its own gate, without activation; ``residual``, the first hidden layer
    plain and the others added to it (their sizes must agree). spectral: hold the spectral norm of every layer at one.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        hidden: tuple[Annotated[int, Field(gt=0)], ...] = (400, 400),
        activation: Activation = "silu",
        block: Literal["plain", "gated", "residual"] = "plain",
        spectral: bool = False,
    ):
        super().__init__()
        self.out_shape = tuple(out_shape)
        sizes = (math.prod(in_shape), *hidden)
        layers: list[nn.Module] = []
        for depth, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
            if block == "gated":
                layers.append(GatedLinear(fan_in, fan_out))
            elif block == "residual" and depth > 0:
                if fan_in != fan_out:
                    raise ValueError(
                        f"residual layers keep their size, but hidden={hidden} goes from {fan_in} to {fan_out}: make the sizes equal, or use block='plain'"
                    )
                layers.append(ResidualLayer(fan_out, activation))
            else:
                layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
        self.body = nn.Sequential(*layers, nn.Linear(sizes[-1], math.prod(out_shape)))
        initialise(self.modules(), activation)
        for module in self.modules():
            if isinstance(module, ResidualLayer):
                nn.init.zeros_(module.last.weight)
        if spectral:
            spectrally_normalised(self)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x.flatten(1))
        return out.unflatten(1, self.out_shape) if len(self.out_shape) > 1 else out
