"""Strings of tokens, each with its end: a probability that sums to one over all strings, whatever tells the next token's logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from vaeworks.distributions.observable import Observable

__all__ = ["END", "PAD", "UNKNOWN", "Decoding", "TokenSequence", "through_end", "without_padding"]

PAD, END, UNKNOWN = 0, 1, 2
"""Tokens that stand for no text: what follows the end, the end, and a piece that the tokenizer never met."""
NEVER = -1e30
"""log 0 among numbers whose gradients are finite."""


def through_end(x: Tensor, observed: Tensor | None = None) -> Tensor:
    """True up to and including the first END that is observed, where observed: (..., L) bool for tokens x (..., L)."""
    end = x == END if observed is None else (x == END) & observed
    before = end.cumsum(-1) - end.long() == 0
    return before if observed is None else before & observed


class Decoding(Protocol):
    """What tells the logits of the next token, for N items side by side; ``networks.Conditioned`` is one."""

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The items' shape, of N elements."""

    def hidden(self, x: Tensor) -> Tensor:
        """Tokens (N, L') -> (N, L', H), what the logits of each position are made of; position t depends on the tokens before it."""

    def project(self, hidden: Tensor) -> Tensor:
        """(..., H) -> logits (..., V)."""

    def rows(self, index: Tensor) -> Self:
        """The items of the given numbers (M,), any of them more than once."""

    def start(self) -> list[Tensor]:
        """What is remembered before the first token: tensors of N rows."""

    def step(self, state: list[Tensor], token: Tensor | None, t: int) -> Tensor:
        """Logits (N, V) of position t, where ``token`` (N,) stands at t - 1 (None: t is 0); ``state`` is brought up to date in place."""


class _Independent:
    """Logits (*batch, L, V) that are known beforehand: tokens do not depend on each other, but for the end."""

    def __init__(self, logits: Tensor):
        self.batch_shape = tuple(logits.shape[:-2])
        self.logits = logits.reshape(-1, *logits.shape[-2:])

    def hidden(self, x: Tensor) -> Tensor:
        return self.logits[:, : x.shape[-1]]

    def project(self, hidden: Tensor) -> Tensor:
        return hidden

    def rows(self, index: Tensor) -> _Independent:
        return _Independent(self.logits[index])

    def start(self) -> list[Tensor]:
        return []

    def step(self, state: list[Tensor], token: Tensor | None, t: int) -> Tensor:
        return self.logits[:, t]


class TokenSequence(Observable):
    """Strings of at most L - 1 tokens, then END, then PAD up to L: p(x) = prod_t p(x_t | x_<t) up to and including the first END.

    PAD has probability zero before the end and END is certain at the last position, so that the sum over all strings is one. What stands after the first END is not looked at,
    and a batch may be trimmed to its longest item: x (..., L') with L' <= L. An x without END is no whole string: its log-probability is -inf.

    features: logits (*batch, L, V), or a ``Decoding`` of the same batch shape. length: L.
    """

    def __init__(self, features: Tensor | Decoding, length: int, observed: Tensor | None = None):
        self.features, self.length, self.observed = features, length, observed
        self.decoding: Decoding = _Independent(features) if isinstance(features, Tensor) else features
        super().__init__(torch.Size(self.decoding.batch_shape), torch.Size((length,)), validate_args=False)

    def marginal(self, observed: Tensor | None) -> TokenSequence:
        """The distribution of the tokens where ``observed`` (B, L') is True.

        Where that is the beginning of an item, the product of its first factors; with gaps, exact where tokens do not depend on each other, NotImplementedError where they do.
        """
        if observed is not None and not isinstance(self.features, Tensor) and _gaps(observed):
            raise NotImplementedError(
                "the probability of a text with gaps is a sum over all that may stand there, which an autoregressive decoder cannot take:"
                " observe the beginning of each item alone, draw what fills the gaps by ``fill_in`` (`vae impute`), which estimates that probability too, or use a decoder that writes"
                " all positions at once, such as decoder.kind = 'parallel'"
            )
        return TokenSequence(self.features, self.length, observed)

    def log_prob(self, value: Tensor) -> Tensor:
        if self.observed is not None and isinstance(self.features, Tensor):
            observed = through_end(value, self.observed)
            if _gaps(observed):
                return self._log_prob_with_gaps(self.features, value, observed)
        return self.log_prob_terms(value).sum(-1)

    def terms(self, value: Tensor) -> Tensor:
        return self.log_prob_terms(value)

    def log_prob_terms(self, value: Tensor) -> Tensor:
        """log p(x_t | x_<t) for each token of x (..., L'), END included, in nats, and zero beyond: (..., *batch, L')."""
        counted = through_end(value, self.observed)
        if self.observed is not None and isinstance(self.features, Tensor) and _gaps(counted):
            raise NotImplementedError("a text with gaps has a log-probability, and no terms of single tokens that add up to it: call log_prob")
        value, counted = torch.broadcast_tensors(value.masked_fill(~counted, PAD), counted)
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        x, counted = (t.expand(*shape, -1).reshape(-1, t.shape[-1]) for t in (value, counted))
        free = counted[:, : self.length - 1]  # END is certain at the last position
        hidden = self._rows(shape).hidden(x[:, : self.length - 1])
        logits = self.decoding.project(hidden[free])  # where items have ended no logits are made
        given = F.cross_entropy(without_padding(logits), x[:, : self.length - 1][free], reduction="none")
        terms = F.pad(given.new_zeros(free.shape).masked_scatter(free, -given), (0, x.shape[1] - free.shape[1]))
        endless = counted[:, -1] & (x[:, -1] != END)
        if self.observed is not None and x.shape[1] < self.length:
            endless = torch.zeros_like(endless)
        return terms.masked_fill(F.pad(endless[:, None], (x.shape[1] - 1, 0)), -torch.inf).view(*shape, -1)

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size | tuple[int, ...] = (), *, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:  # type: ignore[override]
        """Strings (*sample_shape, *batch, L), drawn token by token.

        temperature: divides the logits; 0 takes the most probable token. top_p: draws among the most probable tokens that have this probability together
        (Holtzman et al. 2020, arXiv:1904.09751); 1 draws among all.
        """
        if temperature < 0 or not 0 < top_p <= 1:
            raise ValueError(
                f"temperature = {temperature} must be 0 or more, and top_p = {top_p} in (0, 1]: 1 and 1 draw from the distribution itself"
            )

        def choose(logits: Tensor) -> Tensor:
            if temperature == 0:
                return logits.argmax(-1)
            probability = (logits / temperature).softmax(-1)
            if top_p < 1:
                ordered, order = probability.sort(-1, descending=True)
                ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= top_p, 0)
                probability = torch.zeros_like(probability).scatter(-1, order, ordered)
            return probability.multinomial(1).squeeze(-1)

        return self._write(torch.Size((*sample_shape, *self.batch_shape)), choose)

    def greedy(self) -> Tensor:
        """The most probable token at each position, given those before: (*batch, L)."""
        return self.sample(temperature=0)

    def estimate(self) -> Tensor:
        return self.greedy()

    @torch.no_grad()
    def beam(self, width: int = 8) -> Tensor:
        """The most probable string (*batch, L) that a search finds which keeps the ``width`` best beginnings at every position."""
        count = self.batch_shape.numel()
        decoding = self.decoding.rows(torch.arange(count).repeat_interleave(width))
        state = decoding.start()
        logits = decoding.step(state, None, 0)
        first = torch.arange(0, count * width, width, device=logits.device)[:, None]
        x = torch.full((count, width, self.length), PAD, device=logits.device)
        ended = torch.zeros_like(x[..., 0], dtype=torch.bool)
        score = F.pad(logits.new_zeros(count, 1), (0, width - 1), value=-torch.inf)
        for t in range(self.length - 1):
            if t > 0:
                logits = decoding.step(state, x[:, :, t - 1].flatten(), t)
            log_p = without_padding(logits).log_softmax(-1).view(count, width, -1)
            stays = F.pad(log_p.new_zeros(1), (0, log_p.shape[-1] - 1), value=-torch.inf)  # PAD, for what has ended
            score, index = (score[..., None] + torch.where(ended[..., None], stays, log_p)).flatten(1).topk(width)
            parent, token = index // log_p.shape[-1], index % log_p.shape[-1]
            x = x.gather(1, parent[..., None].expand_as(x))
            x[:, :, t] = token
            ended = ended.gather(1, parent) | (token == END)
            best = score.argmax(1, keepdim=True)
            if ended.gather(1, best).all():  # every other beginning can but lose
                break
            state[:] = [tensor[(parent + first).flatten()] for tensor in state]
        x[..., -1] = torch.where(ended, PAD, END)
        return x.gather(1, best[..., None].expand(-1, 1, self.length)).view(*self.batch_shape, self.length)

    def _rows(self, shape: torch.Size) -> Decoding:
        """The decoding of every item of ``shape`` (..., *batch), flat."""
        if shape == self.batch_shape:
            return self.decoding
        return self.decoding.rows(torch.arange(self.batch_shape.numel()).view(self.batch_shape).expand(shape).flatten())

    def _write(self, shape: torch.Size, choose: Callable[[Tensor], Tensor]) -> Tensor:
        decoding = self._rows(shape)
        state = decoding.start()
        logits = decoding.step(state, None, 0)
        x = torch.full((len(logits), self.length), PAD, device=logits.device)
        running = torch.ones_like(x[:, 0], dtype=torch.bool)
        for t in range(self.length - 1):
            if t > 0:
                logits = decoding.step(state, x[:, t - 1], t)
            x[:, t] = torch.where(running, choose(without_padding(logits)), PAD)
            running &= x[:, t] != END
            if not running.any():
                break
        x[:, -1] = torch.where(running, END, PAD)
        return x.view(*shape, self.length)

    def _log_prob_with_gaps(self, logits: Tensor, value: Tensor, observed: Tensor) -> Tensor:
        """The forward algorithm over two states, within the string and beyond its end: each gap summed over all that may stand there, the end too."""
        log_p = without_padding(logits[..., : value.shape[-1], :]).log_softmax(-1)
        value = value.masked_fill(~observed, UNKNOWN)
        shape = torch.broadcast_shapes(value.shape[:-1], log_p.shape[:-2])
        told = log_p.expand(*shape, *log_p.shape[-2:]).gather(-1, value.clamp_min(END).expand(*shape, -1)[..., None]).squeeze(-1)
        log_end, log_more = log_p[..., END], log_p[..., UNKNOWN:].logsumexp(-1)
        within, beyond = log_p.new_zeros(shape), log_p.new_full(shape, NEVER)
        for t in range(value.shape[-1]):
            token, known, last = value[..., t], observed[..., t], t == self.length - 1
            ends = within if last else within + log_end[..., t]
            more = torch.full_like(within, NEVER) if last else within + torch.where(known, told[..., t], log_more[..., t])
            end, pad = known & (token == END), known & (token == PAD)
            beyond = torch.where(known, torch.where(end, ends, torch.where(pad, beyond, NEVER)), torch.logaddexp(beyond, ends))
            within = torch.where(end | pad, NEVER, more)
        total = torch.logaddexp(within, beyond)
        return total.masked_fill(total < NEVER / 2, -torch.inf)


def _gaps(observed: Tensor) -> bool:
    """Whether something is observed after something that is not."""
    return bool((observed[..., 1:] & ~observed[..., :-1]).any())


def without_padding(logits: Tensor) -> Tensor:
    """Logits (..., V), under which no string goes on with PAD."""
    return F.pad(logits[..., PAD + 1 :], (1, 0), value=-torch.inf)
