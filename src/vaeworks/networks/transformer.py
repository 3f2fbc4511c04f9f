"""Transformers of token sequences (Vaswani et al. 2017, arXiv:1706.03762), normalised before each part (Xiong et al. 2020, arXiv:2002.04745)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from vaeworks.networks.base import initialise
from vaeworks.networks.sequences import AutoregressiveDecoder, CodeMap, Embedding, SequenceEncoder

__all__ = ["ParallelDecoder", "TransformerDecoder", "TransformerEncoder"]


def _positions(length: int, width: int) -> nn.Parameter:
    """(length, width), learned, of unit variance, from waves of geometric wavelengths: near positions start alike."""
    wave = torch.arange(width) // 2
    angle = torch.arange(length)[:, None] * 10_000 ** (-2 * wave / width)
    return nn.Parameter(math.sqrt(2) * torch.where(torch.arange(width) % 2 == 0, angle.sin(), angle.cos()))


class _Layer(nn.Module):
    """h + attention(norm(h)), then h + W2 gelu(W1 norm(h)) of four times the width."""

    def __init__(self, width: int, heads: int, dropout: float, depth: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"width={width} does not divide among heads={heads}: make width a multiple of heads")
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.read, self.write = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)
        initialise([self.read, self.write, self.down], "tanh")
        initialise([self.up], "gelu")
        for last in (self.write, self.down):  # so that the sum over all layers keeps its variance
            last.weight.data /= math.sqrt(2 * depth)

    def queries_keys_values(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, T, width) -> three of (N, heads, T, width / heads)."""
        q, k, v = self.read(self.norms[0](h)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def join(self, h: Tensor, attended: Tensor) -> Tensor:
        """h (N, T, width) and what attention made of it, (N, heads, T, width / heads) -> (N, T, width)."""
        h = h + self.dropout(self.write(attended.transpose(1, 2).flatten(2)))
        out: Tensor = h + self.dropout(self.down(F.gelu(self.up(self.norms[1](h)))))
        return out

    def forward(self, h: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """mask (N, 1, 1, T): True where a position may be attended to. causal: each position attends to none after it."""
        return self.join(h, F.scaled_dot_product_attention(*self.queries_keys_values(h), attn_mask=mask, is_causal=causal))


def _layers_of(count: int, width: int, heads: int, dropout: float) -> nn.ModuleList:
    """A stack of ``count`` layers."""
    return nn.ModuleList(_Layer(width, heads, dropout, count) for _ in range(count))


class TransformerEncoder(SequenceEncoder):
    """Tokens (N, L') -> (N, *out_shape): layers in which every observed token attends to all, their mean, and a linear map.

    dropout: share of the numbers that training leaves out of what each part adds.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        width: Annotated[int, Field(gt=0)] = 256,
        layers: Annotated[int, Field(gt=0)] = 4,
        heads: Annotated[int, Field(gt=0)] = 4,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ):
        super().__init__()
        length, vocabulary = in_shape
        self.out_shape, self.token_size = tuple(out_shape), width
        self.embedding, self.positions = Embedding(vocabulary, width), _positions(length, width)
        self.layers = _layers_of(layers, width, heads, dropout)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.head = nn.Linear(width, math.prod(out_shape))
        initialise([self.head], "tanh")

    def forward(self, x: Tensor, observed: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        observed = torch.ones_like(x, dtype=torch.bool) if observed is None else observed
        h = self.embedding(x.masked_fill(~observed, 0)) + self.positions[: x.shape[1]]
        if shift is not None:
            h = h + shift[:, None]
        h = self.dropout(h)
        mask = (observed | ~observed.any(1, keepdim=True))[:, None, None]  # attention to nothing at all is not defined; its mean below is
        for layer in self.layers:
            h = layer(h, mask)
        h = self.norm(h).masked_fill(~observed[..., None], 0)
        out: Tensor = self.head(h.sum(1) / observed.sum(1, keepdim=True).clamp_min(1))
        return out.unflatten(1, self.out_shape) if len(self.out_shape) > 1 else out


class TransformerDecoder(AutoregressiveDecoder):
    """z (N, D) -> ``Conditioned``: layers in which each position attends to those before it; a linear map of z is added to what every layer reads, and to what the logits are made of.

    dropout: share of the numbers that training leaves out of what each part adds. word_dropout, stray: see ``AutoregressiveDecoder``. Input and output embeddings are one
    table.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        width: Annotated[int, Field(gt=0)] = 256,
        layers: Annotated[int, Field(gt=0)] = 4,
        heads: Annotated[int, Field(gt=0)] = 4,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        word_dropout: Annotated[float, Field(ge=0, le=1)] = 0.0,
        stray: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ):
        super().__init__(in_shape, out_shape, width=width, embedding=width, word_dropout=word_dropout, stray=stray, memory=(layers + 1, width))
        self.heads, self.positions = heads, _positions(self.length, width)
        self.layers = _layers_of(layers, width, heads, dropout)
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)

    def hidden(self, memory: Tensor, x: Tensor) -> Tensor:
        h = self.dropout(self.read(x) + self.positions[: x.shape[1]])
        for layer, code in zip(self.layers, memory.unbind(1), strict=False):
            h = layer(h + code[:, None], causal=True)
        out: Tensor = self.norm(h + memory[:, -1:])
        return out

    def start(self, memory: Tensor) -> list[Tensor]:
        shape = (memory.shape[0], self.heads, self.length, memory.shape[-1] // self.heads)
        return [memory.new_zeros(shape) for _ in range(2 * len(self.layers))]

    def step(self, memory: Tensor, state: list[Tensor], token: Tensor | None, t: int) -> Tensor:
        h = (self.read_one(token, memory.shape[0]) + self.positions[t])[:, None]
        for i, layer in enumerate(cast(Iterable[_Layer], self.layers)):
            h = h + memory[:, i : i + 1]
            q, k, v = layer.queries_keys_values(h)
            keys, values = state[2 * i : 2 * i + 2]
            keys[:, :, t : t + 1], values[:, :, t : t + 1] = k, v
            h = layer.join(h, F.scaled_dot_product_attention(q, keys[:, :, : t + 1], values[:, :, : t + 1]))
        out: Tensor = self.norm(h + memory[:, -1:])
        return out[:, 0]


class ParallelDecoder(nn.Module):
    """z (N, D) -> logits (N, L, V) of all positions at once: layers in which every position attends to all, z added to what each reads. For items of one length, such as aligned proteins.

    dropout: share of the numbers that training leaves out of what each part adds.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        width: Annotated[int, Field(gt=0)] = 128,
        layers: Annotated[int, Field(gt=0)] = 2,
        heads: Annotated[int, Field(gt=0)] = 4,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ):
        super().__init__()
        length, vocabulary = out_shape
        self.code, self.positions = CodeMap(in_shape, (layers + 1, width)), _positions(length, width)
        self.layers = _layers_of(layers, width, heads, dropout)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)
        self.bias = nn.Parameter(torch.zeros(length, vocabulary))
        initialise([self.head], "tanh")

    def forward(self, z: Tensor) -> Tensor:
        memory = self.code(z)
        h = self.positions.expand(z.shape[0], -1, -1)
        for layer, code in zip(self.layers, memory.unbind(1), strict=False):
            h = layer(h + code[:, None])
        out: Tensor = self.head(self.norm(h + memory[:, -1:])) + self.bias
        return out
