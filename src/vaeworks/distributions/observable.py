"""Distributions over whole items that can be restricted to what was observed."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Distribution

__all__ = ["Factorised", "Observable"]


class Observable(Distribution):
    """A distribution over items of shape ``event_shape`` whose marginals over any subset of coordinates are known."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 (torch declares it so)

    @abstractmethod
    def marginal(self, observed: Tensor | None) -> Self:
        """The distribution of the coordinates where ``observed`` (B, *event) is True; the others are summed or integrated out, whatever they hold."""

    def rest(self, value: Tensor, observed: Tensor) -> Observable:
        """The distribution of whole items given that they are ``value`` (B, *event) where ``observed`` (B, *event) is True: what is drawn from it is to be looked at elsewhere alone."""
        raise NotImplementedError(f"{type(self).__name__} does not know the distribution of some coordinates given others")

    def estimate(self) -> Tensor:
        """The one item that stands for the distribution, batch shape (..., *event): its mean, or the most probable where items are symbols."""
        return self.mean

    def terms(self, value: Tensor) -> Tensor:
        """What each coordinate of ``value`` (..., *event) adds to its log-probability, in nats, zero where nothing is observed: (..., *event). Their sum is ``log_prob``.

        Raises NotImplementedError where no single coordinates can be told to add anything.
        """
        raise NotImplementedError(f"the log-probability of {type(self).__name__} is no sum over coordinates")

    def coordinates(self) -> Distribution:
        """The same as one independent distribution per coordinate, batch shape (..., *event); NotImplementedError where coordinates depend on each other."""
        raise NotImplementedError(f"{type(self).__name__} does not factorise over coordinates")


class Factorised(Observable):
    """Independent coordinates: log p(x) = sum over observed i of log p_i(x_i).

    ``base`` has batch shape (..., *event) and scalar events; its last ``event_dims`` batch dimensions become the event.
    """

    def __init__(self, base: Distribution, event_dims: int, observed: Tensor | None = None):
        self.base, self.event_dims, self.observed = base, event_dims, observed
        split = len(base.batch_shape) - event_dims
        super().__init__(base.batch_shape[:split], base.batch_shape[split:], validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base.has_rsample

    @property
    def mean(self) -> Tensor:
        return self.base.mean

    @property
    def mode(self) -> Tensor:
        return self.base.mode

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        return self.base.sample(torch.Size(sample_shape))

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        return self.base.rsample(torch.Size(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self.observed is None:
            together = getattr(self.base, "log_prob_sum", None)
            if together is not None:
                total: Tensor = together(value, self.event_dims)
                return total
        terms = self.terms(value)
        return terms.flatten(terms.dim() - self.event_dims).sum(-1)

    def terms(self, value: Tensor) -> Tensor:
        if self.observed is None:
            return self.base.log_prob(value)
        # zero lies in every support, so that what is missing (NaN, even) meets neither value nor gradient
        return self.base.log_prob(value.masked_fill(~self.observed, 0)).masked_fill(~self.observed, 0)

    def marginal(self, observed: Tensor | None) -> Factorised:
        return Factorised(self.base, self.event_dims, observed)

    def rest(self, value: Tensor, observed: Tensor) -> Observable:
        return self  # coordinates tell nothing of each other

    def coordinates(self) -> Distribution:
        return self.base
