"""Recurrent networks of token sequences: GRU (Cho et al. 2014, arXiv:1406.1078) and LSTM (Hochreiter & Schmidhuber 1997)."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from vaeworks.networks.base import initialise
from vaeworks.networks.mlp import MLP
from vaeworks.networks.sequences import AutoregressiveDecoder, Embedding, SequenceEncoder

__all__ = ["GRUDecoder", "GRUEncoder", "LSTMDecoder", "LSTMEncoder", "RecurrentDecoder", "RecurrentEncoder", "recurrent"]

Cell = type[nn.GRU] | type[nn.LSTM]


def recurrent(cell: Cell, in_size: int, width: int, layers: int, dropout: float) -> nn.GRU | nn.LSTM:
    """``layers`` of ``cell`` with orthogonal maps from state to state, so that gradients reach far back, and an LSTM that begins by remembering (Jozefowicz et al. 2015)."""
    network = cell(in_size, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
    for name, parameter in network.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
            if cell is nn.LSTM and name.startswith("bias_ih"):
                parameter.data[width : 2 * width] = 1.0
        else:
            for gate in parameter.data.chunk(parameter.shape[0] // width):
                nn.init.orthogonal_(gate) if name.startswith("weight_hh") else nn.init.xavier_normal_(gate)
    return network


class RecurrentEncoder(SequenceEncoder):
    """Tokens (N, L') -> (N, *out_shape): one stack of layers reads forwards, another backwards from each item's own end; their last states, side by side, and a linear map.

    width: size of a state. embedding: size of a token's embedding, None: ``width``. dropout: share of the numbers between layers that training leaves out.
    """

    cell: ClassVar[Cell]

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        width: Annotated[int, Field(gt=0)] = 256,
        layers: Annotated[int, Field(gt=0)] = 1,
        embedding: Annotated[int, Field(gt=0)] | None = None,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ):
        super().__init__()
        self.out_shape = tuple(out_shape)
        self.token_size = embedding or width
        self.embedding = Embedding(in_shape[1], self.token_size)
        self.forwards, self.backwards = (recurrent(self.cell, self.token_size, width, layers, dropout) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * width, math.prod(out_shape))
        initialise([self.head], "tanh")

    def forward(self, x: Tensor, observed: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        observed = torch.ones_like(x, dtype=torch.bool) if observed is None else observed
        place = torch.arange(x.shape[1], device=x.device)
        last = (place * observed).amax(1)
        read = self.embedding(x.masked_fill(~observed, 0))
        if shift is not None:
            read = read + shift[:, None]
        read = self.dropout(read.masked_fill(~observed[..., None], 0))
        turned = (last[:, None] - place) % x.shape[1]  # the item backwards, then what lies beyond its end
        states = [
            out.gather(1, last[:, None, None].expand(-1, 1, out.shape[-1])).squeeze(1)  # take_along_dim would fix the size of an exported batch
            for out, _ in (self.forwards(read), self.backwards(read.gather(1, turned[..., None].expand_as(read))))
        ]
        out: Tensor = self.head(torch.cat(states, -1))
        return out.unflatten(1, self.out_shape) if len(self.out_shape) > 1 else out


class RecurrentDecoder(AutoregressiveDecoder):
    """z (N, D) -> ``Conditioned``: z sets the first state of every layer, is added to every token read, and to what each logit is made of.

    plan: size of what z tells of each position, by a fully connected layer of 16 times as many units: added, by linear maps, to the token read there and to what the logits are made
    of; 0 leaves it to the states to carry all to where it is needed. A plan brings back short items as they were after a fraction of the training.
    width: size of a state. embedding, word_dropout, stray: see ``AutoregressiveDecoder``; embedding None: ``width``. dropout: share of the numbers between layers that training leaves out.
    """

    cell: ClassVar[Cell]

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        width: Annotated[int, Field(gt=0)] = 256,
        layers: Annotated[int, Field(gt=0)] = 1,
        embedding: Annotated[int, Field(gt=0)] | None = None,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        word_dropout: Annotated[float, Field(ge=0, le=1)] = 0.0,
        stray: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        plan: Annotated[int, Field(ge=0)] = 0,
    ):
        size, states = embedding or width, (2 if self.cell is nn.LSTM else 1) * layers
        super().__init__(
            in_shape, out_shape, width=width, embedding=size, word_dropout=word_dropout, stray=stray, memory=(size + (states + 1) * width,)
        )
        self.sizes = [size, width, states * width]
        self.plan, self.marks = None, None
        if plan and in_shape[0]:
            self.plan = MLP(in_shape, (self.length, plan), hidden=(16 * plan,), activation="silu")
            self.marks = nn.Linear(plan, size + width, bias=False)
            initialise([self.marks], "tanh")
        self.body = recurrent(self.cell, size, width, layers, dropout)
        self.dropout = nn.Dropout(dropout)

    def remembered(self, z: Tensor) -> Tensor:
        memory: Tensor = self.code(z)
        return memory if self.plan is None else torch.cat([memory, self.plan(z).flatten(1)], -1)

    def _parts(self, memory: Tensor, places: slice) -> tuple[Tensor, Tensor, Tensor]:
        """What is added to tokens and to what logits are made of, at ``places``, (N, 1 or more, size), and the states (N, ...)."""
        to_input, to_output, states, plan = memory.tensor_split(list(itertools.accumulate(self.sizes)), -1)
        to_input, to_output = to_input[:, None], to_output[:, None]
        if self.marks is not None:
            marks = self.marks(plan.unflatten(1, (self.length, -1))[:, places]).split(self.sizes[:2], -1)
            to_input, to_output = to_input + marks[0], to_output + marks[1]
        return to_input, to_output, states

    def hidden(self, memory: Tensor, x: Tensor) -> Tensor:
        to_input, to_output, _ = self._parts(memory, slice(x.shape[1]))
        out, _ = self._run(self.dropout(self.read(x) + to_input), self.start(memory))
        made: Tensor = self.dropout(out) + to_output
        return made

    def start(self, memory: Tensor) -> list[Tensor]:
        first_state = sum(self.sizes[:2])
        states: Tensor = memory[:, first_state : first_state + self.sizes[2]].unflatten(1, (-1, self.body.num_layers, self.body.hidden_size))
        first, *cells = states.unbind(1)
        return [first.tanh(), *cells]

    def step(self, memory: Tensor, state: list[Tensor], token: Tensor | None, t: int) -> Tensor:
        to_input, to_output, _ = self._parts(memory, slice(t, t + 1))
        out, state[:] = self._run(self.read_one(token, memory.shape[0])[:, None] + to_input, state)
        made: Tensor = (out + to_output)[:, 0]
        return made

    def _run(self, sequence: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """(N, T, embedding) and states (N, layers, width) -> (N, T, width) and the states after it."""
        first = [s.transpose(0, 1).contiguous() for s in state]
        if isinstance(self.body, nn.LSTM):
            out, last = self.body(sequence, (first[0], first[1]))
        else:
            out, only = self.body(sequence, first[0])
            last = (only,)
        return out, [s.transpose(0, 1) for s in last]


class GRUEncoder(RecurrentEncoder):
    """Gated recurrent units, forwards and backwards."""

    cell = nn.GRU


class LSTMEncoder(RecurrentEncoder):
    """Long short-term memory, forwards and backwards."""

    cell = nn.LSTM


class GRUDecoder(RecurrentDecoder):
    """Gated recurrent units that write token by token."""

    cell = nn.GRU


class LSTMDecoder(RecurrentDecoder):
    """Long short-term memory that writes token by token."""

    cell = nn.LSTM
