"""The standard normal prior."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from vaeworks.distributions import StandardNormal
from vaeworks.priors.base import Prior

__all__ = ["StandardNormalPrior"]


class StandardNormalPrior(Prior):
    """p(z) = N(0, I), whatever the context."""

    def __init__(self, latent_size: int, context_size: int = 0):
        super().__init__(latent_size, context_size)
        self.loc: Tensor
        self.scale: Tensor
        self.register_buffer("loc", torch.zeros(latent_size), persistent=False)
        self.register_buffer("scale", torch.ones(latent_size), persistent=False)

    def forward(self, context: Tensor | None = None) -> Distribution:
        return Independent(StandardNormal(self.loc, self.scale, validate_args=False), 1, validate_args=False)
