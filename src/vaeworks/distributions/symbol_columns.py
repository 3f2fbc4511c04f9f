"""Columns of categories, and of yes and no."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from vaeworks.distributions.number_columns import ColumnGroup

__all__ = ["BooleanColumns", "CategoryColumns"]

NEVER = -1e30
"""log 0 among numbers whose gradients are finite."""


class CategoryColumns(ColumnGroup):
    """D columns of at most S categories: ``logits`` (..., D, S), NEVER where a column has fewer. x is the index."""

    def __init__(self, logits: Tensor):
        self.log_p = logits.log_softmax(-1)
        super().__init__(logits.shape[:-1], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        size = self.log_p.shape[-1]
        index = value.round().long().clamp(0, size - 1)
        shape = torch.broadcast_shapes(index.shape, self.batch_shape)
        return self.log_p.expand(*shape, size).gather(-1, index.expand(shape).unsqueeze(-1)).squeeze(-1)

    def _allowed(self, low: Tensor, high: Tensor) -> Tensor:
        index = torch.arange(self.log_p.shape[-1], device=self.log_p.device)
        return (index >= low.unsqueeze(-1) - 1e-3) & (index <= high.unsqueeze(-1) + 1e-3)

    def log_interval(self, low: Tensor, high: Tensor) -> Tensor:
        return self.log_p.masked_fill(~self._allowed(low, high), -math.inf).logsumexp(-1).clamp_max(0)

    def sample_interval(self, low: Tensor, high: Tensor) -> Tensor:
        return self._draw(self.log_p.masked_fill(~self._allowed(low, high), -math.inf))

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        return self._draw(self.log_p.expand(torch.Size(sample_shape) + self.log_p.shape))

    @staticmethod
    def _draw(log_p: Tensor) -> Tensor:
        with torch.no_grad():
            noise = -torch.log(-torch.log(torch.rand_like(log_p).clamp(1e-7, 1 - 1e-7)))
            return (log_p + noise).argmax(-1).to(log_p)

    @property
    def mean(self) -> Tensor:
        return self.log_p.exp() @ torch.arange(self.log_p.shape[-1], dtype=self.log_p.dtype, device=self.log_p.device)

    @property
    def mode(self) -> Tensor:
        return self.log_p.argmax(-1).to(self.log_p)

    @property
    def median(self) -> Tensor:
        return self.mode


class BooleanColumns(ColumnGroup):
    """D columns of no (0) and yes (1): ``logits`` (..., D) of yes."""

    def __init__(self, logits: Tensor):
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        return F.logsigmoid(torch.where(value > 0.5, self.logits, -self.logits))

    def log_interval(self, low: Tensor, high: Tensor) -> Tensor:
        no, yes = ((low <= index + 1e-3) & (high >= index - 1e-3) for index in (0, 1))
        one = F.logsigmoid(torch.where(yes, self.logits, -self.logits))
        return torch.where(no & yes, 0, torch.where(no | yes, one, -math.inf))

    def sample_interval(self, low: Tensor, high: Tensor) -> Tensor:
        no, yes = ((low <= index + 1e-3) & (high >= index - 1e-3) for index in (0, 1))
        return torch.where(no & yes, self.sample(), torch.where(yes, 1.0, 0.0).to(self.logits))

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        with torch.no_grad():
            p = torch.sigmoid(self.logits).expand(torch.Size(sample_shape) + self.batch_shape)
            return (torch.rand_like(p) < p).to(p)

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(self.logits)

    @property
    def mode(self) -> Tensor:
        return (self.logits > 0).to(self.logits)

    @property
    def median(self) -> Tensor:
        return self.mode
