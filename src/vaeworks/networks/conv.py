"""Convolutional networks for images of any size and aspect: an encoder that halves, a decoder that doubles.

Sizes: each stage halves both sides, rounding up (28 -> 14 -> 7 -> 4), and the decoder retraces the same sizes, so odd ones come out right.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from vaeworks.networks.base import ACTIVATIONS, Activation, initialise, spectrally_normalised
from vaeworks.networks.mlp import MLP
from vaeworks.networks.quick import FewChannelConv, TransposedConv

__all__ = ["ConvDecoder", "ConvEncoder", "ResidualBlock", "SubPixel", "halvings", "upsampling"]

Channels = tuple[Annotated[int, Field(gt=0)], ...]
Hidden = tuple[Annotated[int, Field(gt=0)], ...]


def halvings(shape: tuple[int, ...], channels: tuple[int, ...], stages: int | None) -> list[tuple[int, int, int]]:
    """Shapes (C, H, W) after each halving of an image of ``shape``: ``stages`` of them, or as many as bring the longer side to 8 or less, at least one.

    Beyond the end of ``channels`` each stage doubles the last, up to 256 or the last itself if larger.
    """
    _, height, width = shape
    if stages is None:
        stages = max(1, math.ceil(math.log2(max(height, width) / 8)))
    shapes = []
    for stage in range(stages):
        height, width = -(-height // 2), -(-width // 2)
        last = channels[-1]
        width_of_stage = channels[stage] if stage < len(channels) else min(last * 2 ** (stage - len(channels) + 1), max(256, last))
        shapes.append((width_of_stage, height, width))
    return shapes


def upsampling(in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> TransposedConv:
    """A transposed convolution of stride 2 from ``in_shape`` (C, H, W) to exactly ``out_shape``, whose sides are 2 H or 2 H - 1."""
    height, width = (out - (2 * side - 1) for side, out in zip(in_shape[1:], out_shape[1:], strict=True))
    return TransposedConv(in_shape[0], out_shape[0], (height, width))


class SubPixel(nn.Module):
    """A 3x3 convolution at half size that makes the 2x2 pixels of each place, cut to ``out_shape`` (C, H, W) where a side is odd.

    The four start with equal weights, for otherwise the grid of 2x2 pixels shows in pictures long after (Aitken et al. 2017, arXiv:1707.02937).
    """

    def __init__(self, in_channels: int, out_shape: tuple[int, ...]):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, 4 * out_shape[0], 3, padding=1)
        self.height, self.width = out_shape[1:]
        with torch.no_grad():
            for parameter in self.layer.parameters():
                parameter.copy_(parameter[::4].repeat_interleave(4, 0))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.layer(x), 2)[..., : self.height, : self.width]


class ResidualBlock(nn.Module):
    """x + conv(f(conv(f(x)))), the last convolution starting at zero, so that depth costs no stability and needs no normalisation (Zhang et al. 2019, arXiv:1901.09321)."""

    def __init__(self, channels: int, activation: Activation):
        super().__init__()
        self.body = nn.Sequential(ACTIVATIONS[activation](), nn.Conv2d(channels, channels, 3, padding=1), ACTIVATIONS[activation]())
        self.last = nn.Conv2d(channels, channels, 3, padding=1)
        initialise(self.body, activation)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.last(self.body(x))
        return out


class ConvEncoder(nn.Module):
    """(N, C, H, W) -> (N, *out_shape): a 3x3 convolution of stride 2 per stage, then fully connected layers of the ``hidden`` sizes.

    ``stages`` and ``channels``: see ``halvings``. ``blocks``: residual blocks after each stage.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        channels: Channels = (32, 64),
        stages: Annotated[int, Field(gt=0)] | None = None,
        hidden: Hidden = (128,),
        activation: Activation = "relu",
        blocks: Annotated[int, Field(ge=0)] = 0,
    ):
        super().__init__()
        shapes = halvings(in_shape, channels, stages)
        layers: list[nn.Module] = []
        width = in_shape[0]
        for channels_out, _, _ in shapes:
            layers.append(nn.Conv2d(width, channels_out, 3, stride=2, padding=1))
            layers += [ResidualBlock(channels_out, activation) for _ in range(blocks)]
            layers.append(ACTIVATIONS[activation]())
            width = channels_out
        initialise(layers, activation)
        self.body = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head = MLP(shapes[-1], out_shape, hidden=hidden, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1))
        return out


class ConvDecoder(nn.Module):
    """(N, D) -> (N, C, H, W): fully connected layers of the ``hidden`` sizes, then the encoder's stages backwards.

    ``channels`` are given in the encoder's order, from the image inwards. last, how the output is made at full size: ``conv``, an upsampling to the first of the
    channels and a 3x3 convolution; ``transposed``, an upsampling to the output itself; ``shuffle``, a 3x3 convolution at half size whose channels are the four pixels of
    each place (Shi et al. 2016, arXiv:1609.05158), the quickest. spectral: hold the spectral norm of every layer at one.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        channels: Channels = (32, 64),
        stages: Annotated[int, Field(gt=0)] | None = None,
        hidden: Hidden = (128,),
        activation: Activation = "relu",
        blocks: Annotated[int, Field(ge=0)] = 0,
        last: Literal["conv", "transposed", "shuffle"] = "conv",
        spectral: bool = False,
    ):
        super().__init__()
        inward = halvings(out_shape, channels, stages)
        full = (channels[0] if last == "conv" else out_shape[0], *out_shape[1:])
        channels_in, height, width = inward[-1]
        self.head = nn.Sequential(MLP(in_shape, (height, width, channels_in), hidden=hidden, activation=activation), ACTIVATIONS[activation]())
        layers: list[nn.Module] = []
        for low, high in zip(inward[::-1], [*inward[-2::-1], full], strict=True):
            layers += [ResidualBlock(low[0], activation) for _ in range(blocks)]
            layers += [SubPixel(low[0], high) if last == "shuffle" and high == full else upsampling(low, high), ACTIVATIONS[activation]()]
        layers = [*layers, FewChannelConv(full[0], out_shape[0])] if last == "conv" else layers[:-1]
        initialise(layers, activation)
        self.body = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if spectral:
            spectrally_normalised(self)

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.body(self.head(z).permute(0, 3, 1, 2))  # channels_last as it comes
        return out.contiguous()
