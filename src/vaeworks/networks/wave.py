"""Convolutional networks along time: for waveforms (C, T), seen through a filter bank, and for spectrograms (1, M, F), whose bands are channels.

Every part has ``forward``, a whole sound at once, and, where it is causal, ``stream``: the next block of one, and what the block before left.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, cast

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from vaeworks.networks.base import ACTIVATIONS, Activation
from vaeworks.networks.conv import Channels, Hidden
from vaeworks.networks.mlp import MLP
from vaeworks.signals import FilterBank, overlap_add, pqmf, slide

__all__ = ["DilatedBlock", "Downward", "Trunk", "Upward", "WaveDecoder", "WaveEncoder"]


class Downward(nn.Conv1d):
    """A convolution that makes T / stride places of T, a multiple of the stride; causal: place j knows of samples up to (j + 1) stride - 1, else as far ahead as back."""

    def __init__(self, in_channels: int, out_channels: int, taps: int, *, stride: int = 1, dilation: int = 1, causal: bool = False):
        super().__init__(in_channels, out_channels, taps, stride=stride, dilation=dilation)
        self.reach = dilation * (taps - 1) + 1 - stride
        self.ahead = 0 if causal else self.reach // 2
        nn.init.normal_(self.weight, 0, math.sqrt(2 / (in_channels * taps)))
        nn.init.zeros_(cast(Tensor, self.bias))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.reach - self.ahead, self.ahead)))

    def stream(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        return slide(x, self.weight, self.bias, past, stride=self.stride[0], dilation=self.dilation[0])


class Upward(nn.ConvTranspose1d):
    """A transposed convolution of twice as many taps as its stride, from F places to F stride; causal: what place j makes begins at j stride, else half a stride before."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, causal: bool = False):
        super().__init__(in_channels, out_channels, 2 * stride, stride=stride)
        self.ahead = 0 if causal else stride // 2
        nn.init.normal_(self.weight, 0, 1 / math.sqrt(in_channels))  # two taps of each output are reached
        nn.init.zeros_(cast(Tensor, self.bias))

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(x)[..., self.ahead : self.ahead + x.shape[-1] * self.stride[0]]

    def stream(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        return overlap_add(x, self.weight, self.bias, past, stride=self.stride[0])


class DilatedBlock(nn.Module):
    """x + conv1(f(conv3(f(x)))), the convolution of three taps dilated (van den Oord et al. 2016, arXiv:1609.03499), the last starting at zero."""

    def __init__(self, channels: int, dilation: int, activation: Activation, *, causal: bool):
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.wide = Downward(channels, channels, 3, dilation=dilation, causal=causal)
        self.last = Downward(channels, channels, 1)
        nn.init.zeros_(self.last.weight)

    def _after(self, h: Tensor) -> Tensor:
        out: Tensor = self.last(self.activation(h))
        return out

    def forward(self, x: Tensor) -> Tensor:
        return x + self._after(self.wide(self.activation(x)))

    def stream(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        h, past = self.wide.stream(self.activation(x), past)
        return x + self._after(h), past


class _Analysis(nn.Module):
    """(N, C, T) -> (N, C * bands, T / bands)."""

    def __init__(self, bank: FilterBank):
        super().__init__()
        self.bank = bank

    def forward(self, x: Tensor) -> Tensor:
        return self.stream(x, None)[0]

    def stream(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        y, past = self.bank.analyse_block(x.reshape(-1, 1, x.shape[-1]), past)
        return y.reshape(x.shape[0], -1, y.shape[-1]), past


class _Synthesis(nn.Module):
    """(N, C * bands, F) -> (N, C, F * bands), the bank's delay late."""

    def __init__(self, bank: FilterBank):
        super().__init__()
        self.bank = bank

    def forward(self, y: Tensor) -> Tensor:
        return self.stream(y, None)[0]

    def stream(self, y: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        x, past = self.bank.synthesise_block(y.reshape(-1, self.bank.bands, y.shape[-1]), past)
        return x.reshape(len(y), -1, x.shape[-1]), past


class Trunk(nn.Sequential):
    """Parts along time. Causal ones may be given a sound block by block: the blocks' outputs are those of the whole, place by place."""

    def __init__(self, *parts: nn.Module, causal: bool):
        super().__init__(*parts)
        self.causal = causal

    def stream(self, x: Tensor, past: list[Any] | None = None) -> tuple[Tensor, list[Any]]:
        """The next block (N, C, T), of whole hops, and what the block after it must be given as ``past`` (None: the first). ValueError where a part looks ahead."""
        if not self.causal:
            raise ValueError("a network that looks ahead cannot be streamed: build it with causal=True")
        left = []
        for part, state in zip(self, past or [None] * len(self), strict=True):
            if isinstance(part, Downward | Upward | DilatedBlock | _Analysis | _Synthesis):
                x, state = part.stream(x, state)  # noqa: PLW2901
            else:
                x = part(x)
            left.append(state)
        return x, left


def _blocks(channels: int, number: int, activation: Activation, causal: bool) -> list[nn.Module]:
    """Of dilations 1, 3, 9 ..."""
    return [DilatedBlock(channels, 3**depth, activation, causal=causal) for depth in range(number)]


class WaveEncoder(nn.Module):
    """(N, ..., T) -> (N, *out_shape): all axes but time are channels. A filter bank, a convolution of stride ``stride`` per entry of ``channels``, fully connected layers.

    bands: of the filter bank, 1 for none (spectrograms). kernel: taps of the first convolution. blocks: residual ones before each stride, dilated by 1, 3, 9 ... causal:
    nothing looks ahead, so that ``trunk`` may be streamed, in blocks of whole ``hop`` samples. The sound is followed by silence up to whole hops and the bank's delay.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        bands: Annotated[int, Field(gt=0)] = 8,
        channels: Channels = (32, 64, 128),
        stride: Annotated[int, Field(gt=1)] = 4,
        kernel: Annotated[int, Field(gt=0)] = 7,
        blocks: Annotated[int, Field(ge=0)] = 2,
        hidden: Hidden = (128,),
        activation: Activation = "silu",
        causal: bool = False,
    ):
        super().__init__()
        bank = pqmf(bands) if bands > 1 else None
        self.hop = bands * stride ** len(channels)
        """Samples of one frame."""
        self.silence = (bank.delay if bank else 0) + -(in_shape[-1] + (bank.delay if bank else 0)) % self.hop
        width = channels[0]
        parts: list[nn.Module] = [_Analysis(bank)] if bank else []
        parts.append(Downward(math.prod(in_shape[:-1]) * bands, width, kernel, causal=causal))
        for channels_out in channels:
            parts += [*_blocks(width, blocks, activation, causal), ACTIVATIONS[activation]()]
            parts.append(Downward(width, channels_out, 2 * stride, stride=stride, causal=causal))
            width = channels_out
        self.trunk = Trunk(*parts, ACTIVATIONS[activation](), causal=causal)
        self.head = MLP((width, (in_shape[-1] + self.silence) // self.hop), out_shape, hidden=hidden, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        out: Tensor = self.head(self.trunk(F.pad(x, (0, self.silence))))
        return out


class WaveDecoder(nn.Module):
    """(N, D) -> (N, ..., T): fully connected layers, then the encoder's stages backwards and the filter bank, all axes but time as channels.

    The knobs are the encoder's, ``channels`` in its order. causal: nothing looks ahead, so that ``trunk`` may be streamed, a frame or more at a time; what it makes is the
    bank's delay late, and ``forward`` makes so much more and cuts it off.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        bands: Annotated[int, Field(gt=0)] = 8,
        channels: Channels = (32, 64, 128),
        stride: Annotated[int, Field(gt=1)] = 4,
        kernel: Annotated[int, Field(gt=0)] = 7,
        blocks: Annotated[int, Field(ge=0)] = 2,
        hidden: Hidden = (128,),
        activation: Activation = "silu",
        causal: bool = False,
    ):
        super().__init__()
        self.out_shape = tuple(out_shape)
        bank = pqmf(bands) if bands > 1 else None
        self.hop = bands * stride ** len(channels)
        """Samples of one frame."""
        self.delay = bank.delay if bank else 0
        """Samples that ``trunk`` is late."""
        frames = -(-(out_shape[-1] + self.delay) // self.hop)
        self.head = MLP(in_shape, (channels[-1], frames), hidden=hidden, activation=activation)
        parts: list[nn.Module] = [ACTIVATIONS[activation]()]
        width = channels[-1]
        for channels_out in [*channels[-2::-1], channels[0]]:
            parts += [Upward(width, channels_out, stride=stride, causal=causal), *_blocks(channels_out, blocks, activation, causal)]
            parts.append(ACTIVATIONS[activation]())
            width = channels_out
        parts.append(Downward(width, math.prod(out_shape[:-1]) * bands, kernel, causal=causal))
        self.trunk = Trunk(*parts, *([_Synthesis(bank)] if bank else []), causal=causal)

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.trunk(self.head(z))[..., self.delay : self.delay + self.out_shape[-1]]
        return x.reshape(z.shape[0], *self.out_shape).contiguous()
