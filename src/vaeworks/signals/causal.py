"""Convolutions that look back only, a block at a time: what one block leaves to the next is all that they remember.

A block without a past is a sound from its start, silence before it; so a whole sound is one block, and streaming and offline are the same arithmetic.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["overlap_add", "slide"]


def slide(x: Tensor, weight: Tensor, bias: Tensor | None, past: Tensor | None, *, stride: int = 1, dilation: int = 1) -> tuple[Tensor, Tensor]:
    """The causal convolution of a block x (N, C, T), T a multiple of the stride, with weight (O, C, taps): (N, O, T / stride), and the past of the next block.

    Output j looks at samples up to (j + 1) stride - 1. The past holds the last dilation (taps - 1) + 1 - stride samples.
    """
    reach = dilation * (weight.shape[-1] - 1) + 1 - stride
    past = x.new_zeros(*x.shape[:-1], reach) if past is None else past
    x = torch.cat([past, x], -1)
    return F.conv1d(x, weight, bias, stride, dilation=dilation), x[..., x.shape[-1] - reach :]


def overlap_add(x: Tensor, weight: Tensor, bias: Tensor | None, past: Tensor | None, *, stride: int) -> tuple[Tensor, Tensor]:
    """The transposed convolution of a block x (N, C, F) with weight (C, O, taps): (N, O, F stride), and what reaches into the next block, (N, O, taps - stride)."""
    y = F.conv_transpose1d(x, weight, None, stride)
    length = x.shape[-1] * stride
    if past is not None:
        y = y + F.pad(past, (0, length))
    done, rest = y[..., :length], y[..., length:]
    return (done if bias is None else done + bias[:, None]), rest
