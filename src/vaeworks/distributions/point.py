"""A point mass: the posterior of a plain autoencoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

__all__ = ["PointMass"]


class PointMass(Distribution):
    """All probability at ``loc`` (..., D). It has no density, so ``log_prob`` refuses, and with it every bound on log p(x)."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = True

    def __init__(self, loc: Tensor):
        self.loc = loc
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        return self.loc.expand(torch.Size(sample_shape) + self.loc.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError(
            "a point mass has no density: a plain autoencoder gives no log p(x); train a recipe with a posterior of full width for that"
        )
