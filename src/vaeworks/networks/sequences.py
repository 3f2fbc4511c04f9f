"""What networks of token sequences share: embeddings, and decoders that write a token at a time."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["AutoregressiveDecoder", "CodeMap", "Conditioned", "Embedding", "SequenceEncoder"]


class Embedding(nn.Embedding):
    """Tokens (...) -> (..., size), of unit variance; the same table, a size's root smaller, tells the logits where a decoder ties the two (Press & Wolf 2017, arXiv:1608.05859)."""

    def __init__(self, vocabulary: int, size: int):
        super().__init__(vocabulary, size)
        nn.init.normal_(self.weight, 0, 1 / math.sqrt(size))

    def forward(self, input: Tensor) -> Tensor:
        out: Tensor = math.sqrt(self.embedding_dim) * super().forward(input)
        return out


class CodeMap(nn.Module):
    """z (N, D) -> (N, *out_shape), linear; for D = 0, a constant that is learned."""

    def __init__(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]):
        super().__init__()
        (size,), self.out_shape = in_shape, out_shape
        out_size = math.prod(out_shape)
        self.weight = nn.Parameter(torch.randn(out_size, size) / math.sqrt(size)) if size else None
        self.bias = nn.Parameter(torch.zeros(out_size))

    def forward(self, z: Tensor) -> Tensor:
        flat = self.bias.expand(z.shape[0], -1) if self.weight is None else F.linear(z, self.weight, self.bias)
        out: Tensor = flat.unflatten(1, self.out_shape)
        return out


class SequenceEncoder(nn.Module):
    """Tokens (N, L') of any L' up to L -> (N, *out_shape); ``in_shape`` is (L, V).

    observed (N, L'): where it is False, the token is not looked at. shift (N, token_size): added to every token, as a context may be.
    """

    reads_tokens: ClassVar[bool] = True
    """Wants the tokens themselves, not one-hot vectors."""
    token_size: int
    """The size of a token's embedding."""

    @abstractmethod
    def forward(self, x: Tensor, observed: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """What the network makes of the observed tokens."""


class AutoregressiveDecoder(nn.Module):
    """z (N, D) -> the logits of each token given z and the tokens before it, as ``Conditioned``; in_shape (D,), out_shape (L, V). D may be 0: a language model.

    width: the size that logits are made of. embedding: the size of a token's embedding; where it is ``width``, input and output share one table.
    word_dropout: share of the tokens that the network reads, not of those it is asked for, which training replaces by a learned vector, so that z has something to tell
    (Bowman et al. 2016, arXiv:1511.06349).
    stray: share of the codes that training turns towards noise, see ``Decoder``.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        width: int,
        embedding: int,
        word_dropout: float,
        stray: float,
        memory: tuple[int, ...],
    ):
        super().__init__()
        self.length, vocabulary = out_shape
        self.word_dropout, self.stray = word_dropout, stray
        self.embedding = Embedding(vocabulary, embedding)
        self.begin = nn.Parameter(torch.randn(embedding))
        self.dropped = nn.Parameter(torch.randn(embedding)) if word_dropout else None
        self.code = CodeMap(in_shape, memory)
        self.output = nn.Linear(width, vocabulary, bias=False) if embedding != width else None
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, z: Tensor) -> Conditioned:
        return Conditioned(self, self.remembered(z))

    def remembered(self, z: Tensor) -> Tensor:
        """What z (N, D) becomes: (N, ...)."""
        memory: Tensor = self.code(z)
        return memory

    def read(self, x: Tensor) -> Tensor:
        """Tokens (N, L') -> what stands before each, embedded: (N, L', embedding)."""
        before = self.embedding(x[:, :-1])
        if self.training and self.dropped is not None:
            hidden = torch.rand(before.shape[:2], device=x.device) < self.word_dropout
            before = torch.where(hidden[..., None], self.dropped, before)
        return torch.cat([self.begin.expand(x.shape[0], 1, -1), before], 1)[:, : x.shape[1]]

    def read_one(self, token: Tensor | None, count: int) -> Tensor:
        """The same for one position, (N, embedding), of ``count`` items; None before the first token."""
        return self.begin.expand(count, -1) if token is None else self.embedding(token)

    def project(self, hidden: Tensor) -> Tensor:
        """(..., width) -> logits (..., V)."""
        return F.linear(hidden, (self.embedding if self.output is None else self.output).weight, self.bias)

    @abstractmethod
    def hidden(self, memory: Tensor, x: Tensor) -> Tensor:
        """(N, L', width) by teacher forcing: position t has read the tokens before it, of x (N, L')."""

    @abstractmethod
    def start(self, memory: Tensor) -> list[Tensor]:
        """What is remembered before the first token, tensors of N rows."""

    @abstractmethod
    def step(self, memory: Tensor, state: list[Tensor], token: Tensor | None, t: int) -> Tensor:
        """(N, width) at position t, where ``token`` (N,) stands at t - 1; ``state`` is brought up to date in place."""


class Conditioned:
    """A decoder that writes token by token, with what z became at every layer: ``memory`` (N, ...). All it knows is the next token, given those before."""

    def __init__(self, network: AutoregressiveDecoder, memory: Tensor, batch_shape: tuple[int, ...] | None = None):
        self.network, self.memory = network, memory
        self.batch_shape = (memory.shape[0],) if batch_shape is None else tuple(batch_shape)

    def unflatten(self, dim: int, sizes: tuple[int, ...]) -> Conditioned:
        """The same for items of shape ``sizes``; ``dim`` is 0, as for a tensor whose first axis is split."""
        return Conditioned(self.network, self.memory, sizes)

    def rows(self, index: Tensor) -> Conditioned:
        """The items of the given numbers (M,), any of them more than once."""
        return Conditioned(self.network, self.memory[index])

    def hidden(self, x: Tensor) -> Tensor:
        """Tokens (N, L') -> (N, L', H), of which ``project`` makes logits; position t has read the tokens before it."""
        return self.network.hidden(self.memory, x)

    def project(self, hidden: Tensor) -> Tensor:
        """(..., H) -> logits (..., V)."""
        return self.network.project(hidden)

    def logits(self, x: Tensor) -> Tensor:
        """(N, L', V), by teacher forcing."""
        return self.project(self.hidden(x))

    def start(self) -> list[Tensor]:
        """What is remembered before the first token."""
        return self.network.start(self.memory)

    def step(self, state: list[Tensor], token: Tensor | None, t: int) -> Tensor:
        """Logits (N, V) of position t, where ``token`` (N,) stands at t - 1 (None: t is 0); ``state`` is brought up to date in place."""
        return self.project(self.network.step(self.memory, state, token, t))
