"""Columns of counts."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from scipy.special import betainc, betaincc, gammainc, gammaincc
from torch import Tensor
from torch.nn import functional as F

from vaeworks.distributions.number_columns import ColumnGroup

__all__ = ["CountColumns"]


class CountColumns(ColumnGroup):
    """D columns of counts: ``log_mean`` (..., D); ``log_dispersion`` log r, of a negative binomial of variance mean + mean^2 / r, else Poisson; ``zero_logits``, of a zero
    that is none of the negative binomial's.

    Computed in float64 where the device has it: log Gamma(x + r) - log Gamma(r) is a difference of large numbers.
    """

    def __init__(self, log_mean: Tensor, log_dispersion: Tensor | None = None, zero_logits: Tensor | None = None):
        self.dtype = log_mean.dtype
        exact = torch.float32 if log_mean.device.type == "mps" else torch.float64
        self.log_mean = log_mean.to(exact)
        self.log_r = None if log_dispersion is None else log_dispersion.to(exact)
        self.zero_logits = None if zero_logits is None else zero_logits.to(exact)
        super().__init__(log_mean.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        x = value.to(self.log_mean).round().clamp_min(0)
        return self._log_prob(x).to(self.dtype)

    def _log_prob(self, x: Tensor) -> Tensor:
        if self.log_r is None:
            return x * self.log_mean - self.log_mean.exp() - torch.lgamma(x + 1)
        r, ratio = self.log_r.exp(), self.log_mean - self.log_r
        log_p = torch.lgamma(x + r) - torch.lgamma(r) - torch.lgamma(x + 1) - r * F.softplus(ratio) + x * F.logsigmoid(ratio)
        if self.zero_logits is None:
            return log_p
        none = F.logsigmoid(-self.zero_logits)
        return torch.where(x == 0, torch.logaddexp(F.logsigmoid(self.zero_logits), none + log_p), none + log_p)

    def _numpy(self) -> tuple[Any, Any, Any]:
        mean, r, zero = (None if t is None else t.detach().double().cpu().numpy() for t in (self.log_mean.exp(), self.log_r, self.zero_logits))
        return mean, None if r is None else np.exp(r), None if zero is None else 1 / (1 + np.exp(-zero))

    def _tail(self, k: Any, side: Literal["below", "above"], parameters: tuple[Any, Any, Any]) -> Any:
        """P(x <= k), or P(x > k), of whole numbers k >= -1."""
        mean, r, zero = parameters
        at = np.maximum(k, 0)
        if r is None:
            p = gammaincc(at + 1, mean) if side == "below" else gammainc(at + 1, mean)
        else:
            share = r / (r + mean)
            p = betainc(r, at + 1, share) if side == "below" else betaincc(r, at + 1, share)
        if zero is not None:
            p = zero + (1 - zero) * p if side == "below" else (1 - zero) * p
        return np.where(k < 0, 0.0 if side == "below" else 1.0, p)

    def _bounds(self, low: Tensor, high: Tensor) -> tuple[Any, Any]:
        shape = self.batch_shape
        a, b = (bound.detach().double().cpu().expand(shape).numpy() for bound in (low, high))
        return np.ceil(np.maximum(a, 0) - 1e-3), np.floor(b + 1e-3)

    def log_interval(self, low: Tensor, high: Tensor) -> Tensor:
        a, b = self._bounds(low, high)
        parameters = self._numpy()
        upper = self._tail(a - 1, "below", parameters) > 0.5  # in the upper tail, from above
        last = np.minimum(b, 1e15)
        p = np.where(
            upper,
            self._tail(a - 1, "above", parameters) - np.where(b > 1e15, 0, self._tail(last, "above", parameters)),
            np.where(b > 1e15, 1, self._tail(last, "below", parameters)) - self._tail(a - 1, "below", parameters),
        )
        with np.errstate(divide="ignore"):
            log_p = np.where(b < a, -np.inf, np.log(np.maximum(p, 0)))
        rare = (p < 1e-12) & (a <= b)  # nothing left of a difference: the terms nearest to the mean
        if rare.any():
            start = torch.from_numpy(np.where(upper, a, np.maximum(np.minimum(b, 1e15) - 255, a)))
            k = (start + torch.arange(256, dtype=torch.float64).reshape(-1, *[1] * start.dim())).to(self.log_mean)
            terms = self._log_prob(k).double().cpu().masked_fill(k.cpu() > torch.from_numpy(b), -math.inf).logsumexp(0)
            log_p = np.where(rare, terms.detach().numpy(), log_p)
        return torch.from_numpy(log_p).to(device=self.log_mean.device, dtype=self.dtype).clamp_max(0)

    def _quantile(self, p: Any, upper: Any, a: Any, b: Any) -> Tensor:
        """The least k in [a, b] with P(x <= k) >= p; where ``upper``, p is P(x > k), which falls below it."""
        parameters = self._numpy()
        mean, r, _ = parameters
        deviation = np.sqrt(mean + (0 if r is None else mean**2 / r))
        last = np.minimum(b, a + np.ceil(mean + 60 * deviation) + 1000)
        first = a
        while (first < last).any():
            middle = np.floor((first + last) / 2)
            enough = np.where(upper, self._tail(middle, "above", parameters) <= p, self._tail(middle, "below", parameters) >= p)
            first, last = np.where(enough, first, np.minimum(middle + 1, last)), np.where(enough, middle, last)
        return torch.from_numpy(first).to(device=self.log_mean.device, dtype=self.dtype)

    def sample_interval(self, low: Tensor, high: Tensor) -> Tensor:
        a, b = self._bounds(low, high)
        parameters = self._numpy()
        upper = self._tail(a - 1, "below", parameters) > 0.5
        bounded = np.minimum(b, 1e15)
        below = np.where(upper, self._tail(a - 1, "above", parameters), self._tail(a - 1, "below", parameters))
        above = np.where(upper, self._tail(bounded, "above", parameters), self._tail(bounded, "below", parameters))
        u = torch.rand(self.batch_shape, dtype=torch.float64).numpy()
        return self._quantile(below + u * (above - below), upper, a, np.maximum(bounded, a))

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self.batch_shape
            mean = self.log_mean.exp().expand(shape)
            if self.log_r is not None:
                r = self.log_r.exp().expand(shape)
                mean = mean / r * torch._standard_gamma(r)
            x = torch.poisson(mean.clamp(1e-30, 1e15))
            if self.zero_logits is not None:
                x = x.masked_fill(torch.rand_like(mean) < torch.sigmoid(self.zero_logits), 0)
            return x.to(self.dtype)

    @property
    def mean(self) -> Tensor:
        mean = self.log_mean.exp()
        return (mean if self.zero_logits is None else mean * torch.sigmoid(-self.zero_logits)).to(self.dtype)

    @property
    def mode(self) -> Tensor:
        mean = self.log_mean.exp()
        mode = torch.floor(mean) if self.log_r is None else torch.floor(mean * (1 - torch.exp(-self.log_r)).clamp_min(0))
        if self.zero_logits is not None:
            mode = torch.where(self._log_prob(torch.zeros_like(mode)) > self._log_prob(mode), 0, mode)
        return mode.to(self.dtype)

    @property
    def median(self) -> Tensor:
        nothing = np.zeros(self.batch_shape)
        return self._quantile(nothing + 0.5, nothing > 0, nothing, nothing + 1e15)
