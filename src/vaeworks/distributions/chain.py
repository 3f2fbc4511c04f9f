"""A distribution over two vectors, the second given the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaeworks.distributions.detached import detached

__all__ = ["Chain", "Marginal"]


class Chain(Distribution):
    """p(a) p(b | a), a and b of D numbers each: event (2 D,), (a, b) or, where ``swapped``, (b, a).

    ``then``: a (..., D) -> p(b | a), batch shape (...); ``held``, the same with its parameters out of reach of the gradient, for ``detached``. The parts of the last sample drawn are
    remembered, so that a density of ``first`` that is known only where it drew is known there.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(
        self,
        first: Distribution,
        then: Callable[[Tensor], Distribution],
        *,
        swapped: bool = False,
        held: Callable[[Tensor], Distribution] | None = None,
    ):
        self.first, self.then, self.swapped, self.held = first, then, swapped, held
        self.drawn: tuple[Tensor, Tensor, Tensor] | None = None
        super().__init__(first.batch_shape, torch.Size((2 * first.event_shape[0],)), validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.first.has_rsample

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([b, a] if self.swapped else [a, b], -1)

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        a = self.first.rsample(torch.Size(sample_shape))
        b = self.then(a).rsample()
        self.drawn = self._join(a, b), a, b
        return self.drawn[0]

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        with torch.no_grad():
            a = self.first.sample(torch.Size(sample_shape))
            return self._join(a, self.then(a).sample())

    def log_prob(self, value: Tensor) -> Tensor:
        if self.drawn is not None and value is self.drawn[0]:
            _, a, b = self.drawn
        else:
            b, a = value.chunk(2, -1) if self.swapped else value.chunk(2, -1)[::-1]
        log_p: Tensor = self.first.log_prob(a) + self.then(a).log_prob(b)
        return log_p

    @property
    def mean(self) -> Tensor:
        """The mean of a, and that of b there: the mean itself where the mean of b is linear in a."""
        a = self.first.mean
        return self._join(a, self.then(a).mean)

    def detached(self) -> Chain:
        """The same density, no gradient reaching its parameters; NotImplementedError where ``first`` or ``then`` cannot be held."""
        if self.held is None:
            raise NotImplementedError("this chain cannot be held fixed: the parameters of its second part are not known")
        return Chain(detached(self.first), self.held, swapped=self.swapped, held=self.held)


class Marginal(Distribution):
    """b of a ``Chain`` alone, event (D,): it can be drawn, but its density is an integral over a."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, chain: Chain):
        self.chain = chain
        super().__init__(chain.batch_shape, chain.first.event_shape, validate_args=False)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        return self.chain.sample(sample_shape).chunk(2, -1)[0 if self.chain.swapped else 1]

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError("the density of a marginal is an integral: only a posterior that has a density itself bounds it, as 'diagonal' has")
