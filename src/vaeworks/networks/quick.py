"""Torch's layers in forms that compute the same and take less time on a CPU, in float32 and channels_last; elsewhere torch's own are used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FewChannelConv", "Tanh", "TransposedConv"]

_convolution_backward = torch.ops.aten.convolution_backward
_GEOMETRY = ([2, 2], [1, 1], [1, 1], False, [0, 0], 1)  # stride, padding, dilation, transposed, output padding, groups
_NEIGHBOURS = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1))


def _plain_cpu(x: Tensor) -> bool:
    """Where the forms below are quicker: measured on CPUs in float32; never under autocast, whose casts they would miss, or in an exported graph, which knows torch's own."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_exporting()


class TransposedConv(nn.ConvTranspose2d):
    """A 3x3 transposed convolution of stride 2 and padding 1, computed as the adjoint of a convolution: oneDNN's path for that is the quicker."""

    def __init__(self, in_channels: int, out_channels: int, output_padding: tuple[int, int]):
        super().__init__(in_channels, out_channels, 3, stride=2, padding=1, output_padding=output_padding)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not _plain_cpu(x):
            return super().forward(x, output_size)
        sides = [2 * side - 1 + int(extra) for side, extra in zip(x.shape[2:], self.output_padding, strict=True)]
        out: Tensor = _Adjoint.apply(x, self.weight, self.bias, sides)  # type: ignore[no-untyped-call]
        return out


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, sides: list[int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        like = x.new_empty(1).expand(x.shape[0], weight.shape[1], *sides)
        out: Tensor = _convolution_backward(x, like, weight, None, *_GEOMETRY, [True, False, False])[0]
        return out.add_(bias.view(1, -1, 1, 1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        of_weight: Tensor = _convolution_backward(x, gradient, weight, None, *_GEOMETRY, [False, True, False])[1]
        return F.conv2d(gradient, weight, stride=2, padding=1), of_weight, gradient.permute(0, 2, 3, 1).reshape(-1, gradient.shape[1]).sum(0), None


class FewChannelConv(nn.Conv2d):
    """A 3x3 convolution of padding 1 to a few channels (an image): one matrix product for the nine taps, then nine shifted sums."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        if not _plain_cpu(input) or self.out_channels > 4:
            return super().forward(input)
        out: Tensor = _Taps.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return out


class _Taps(torch.autograd.Function):
    """x (B, C, H, W), weight (O, C, 3, 3), bias (O,) -> (B, O, H, W)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        (b, c, h, w), o = x.shape, weight.shape[0]
        taps = torch.mm(weight.permute(2, 3, 0, 1).reshape(9 * o, c), x.permute(0, 2, 3, 1).reshape(-1, c).t()).view(9, o, b, h, w)
        out = taps[4] + bias.view(-1, 1, 1, 1)
        for tap, (here, there) in zip(taps, _shifts(h, w), strict=True):
            if here != there:
                out[here] += tap[there]
        return out.transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        (b, c, h, w), o = x.shape, weight.shape[0]
        padded = F.pad(gradients[0].transpose(0, 1), (1, 1, 1, 1))
        taps = torch.stack([padded[..., 1 - i : 1 - i + h, 1 - j : 1 - j + w] for i, j in _NEIGHBOURS]).view(9 * o, -1)
        of_x = torch.mm(taps.t(), weight.permute(2, 3, 0, 1).reshape(9 * o, c)).view(b, h, w, c).permute(0, 3, 1, 2)
        of_weight = torch.mm(taps, x.permute(0, 2, 3, 1).reshape(-1, c)).view(3, 3, o, c).permute(2, 3, 0, 1)
        return of_x, of_weight, gradients[0].sum((0, 2, 3))


def _shifts(h: int, w: int) -> Iterator[tuple[Any, Any]]:
    """For each tap, the pixels that it reaches and the places that it reaches from."""
    for i, j in _NEIGHBOURS:
        here = (..., slice(max(0, -i), h - max(0, i)), slice(max(0, -j), w - max(0, j)))
        yield here, (..., slice(max(0, i), h + min(0, i)), slice(max(0, j), w + min(0, j)))


class Tanh(nn.Tanh):
    """tanh x = 2 sigmoid(2 x) - 1 where no gradient is wanted: torch's sigmoid is vectorised on CPUs where its tanh is not, a third of the time for many samples."""

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() or not _plain_cpu(input):
            return super().forward(input)
        return torch.sigmoid(2 * input).mul_(2).sub_(1)
