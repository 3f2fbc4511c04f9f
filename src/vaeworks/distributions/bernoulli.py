"""Bernoulli and continuous Bernoulli, both by their logits."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

__all__ = ["Bernoulli", "ContinuousBernoulli"]


class Bernoulli(Distribution):
    """p(x) = sigmoid(logits)^x sigmoid(-logits)^(1-x) for x in {0, 1}: log p(x) = x logits - log(1 + exp(logits)), finite for every logit."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = False

    def __init__(self, logits: Tensor):
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(self.logits)

    @property
    def mode(self) -> Tensor:
        return (self.logits >= 0).to(self.logits)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        shape = torch.Size(sample_shape) + self.batch_shape
        with torch.no_grad():
            return (torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device) < self.mean).to(self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        return value * self.logits - F.softplus(self.logits)

    def log_prob_sum(self, value: Tensor, dims: int) -> Tensor:
        """log_prob summed over the last ``dims`` dimensions; in half the time where no gradient is wanted, as when importance samples are many.

        log(1 + exp(l)) = max(l, 0) + log(1 + exp(-|l|)), and a sum of those logarithms is the logarithm of a product of factors between 1 and 2, sixteen at a time.
        """
        rank = self.logits.dim() - dims
        if torch.is_grad_enabled() or self.logits.device.type != "cpu" or self.logits.dtype not in (torch.float32, torch.float64):
            terms = self.log_prob(value)
            return terms.flatten(terms.dim() - dims).sum(-1)
        x, logits = value.flatten(value.dim() - dims), self.logits.flatten(rank)
        factors = logits.abs().neg_().exp_().add_(1)
        for _ in range(4):
            half, odd = divmod(factors.shape[-1], 2)
            if odd or half == 0:
                break
            factors = factors[..., :half] * factors[..., half:]
        return (x * logits).sub_(logits.clamp_min(0)).sum(-1).sub_(factors.log_().sum(-1))


class ContinuousBernoulli(Distribution):
    """The density on [0, 1] proportional to exp(x logits), normalised (Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845).

    log p(x) = x logits - softplus(logits) + log C, with C = logits / tanh(logits / 2), which tends to 2 at zero. Everything is computed from the logits, so it stays
    exact where sigmoid(logits) rounds to 0 or 1.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = True

    def __init__(self, logits: Tensor):
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    def _split(self, bound: float) -> tuple[Tensor, Tensor, Tensor]:
        """Where logits are near zero, the logits there (zero elsewhere), and the logits elsewhere (one there): both branches of a where stay finite."""
        small = self.logits.abs() < bound
        return small, self.logits.masked_fill(~small, 0), self.logits.masked_fill(small, 1)

    def log_normaliser(self) -> Tensor:
        """log C, by its Taylor series where |logits| < 0.1 (error below 1e-9)."""
        small, near, far = self._split(0.1)
        size = far.abs()
        exact = size.log() + torch.log1p(torch.exp(-size)) - torch.log(-torch.expm1(-size))
        square = near.square()
        return torch.where(small, math.log(2) + square / 12 - 7 * square.square() / 1440, exact)

    @property
    def mean(self) -> Tensor:
        small, near, far = self._split(0.1)
        return torch.where(small, 0.5 + near / 12 - near**3 / 720, -1 / torch.expm1(-far) - 1 / far)

    @property
    def mode(self) -> Tensor:
        return (self.logits >= 0).to(self.logits)

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        shape = torch.Size(sample_shape) + self.batch_shape
        u = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        small, near, far = self._split(1e-3)
        size = -far.abs()  # the inverse distribution function at -|logits|, mirrored where logits > 0
        x = torch.log1p(u * torch.expm1(size)) / size
        return torch.where(small, u + near * u * (1 - u) / 2, torch.where(far > 0, 1 - x, x)).clamp(0, 1)

    def log_prob(self, value: Tensor) -> Tensor:
        return value * self.logits - F.softplus(self.logits) + self.log_normaliser()
