"""The normal prior of a context."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vaeworks.networks import MLP
from vaeworks.priors.base import Prior
from vaeworks.trace import given

__all__ = ["ConditionalNormalPrior"]


class ConditionalNormalPrior(Prior):
    """p(z | c) = N(m(c), diag(s(c)^2)), mean and log scale by a small network of the context (Sohn et al. 2015, the CVAE). Starts as N(0, I).

    hidden: sizes of the network's hidden layers. Without a context, mean and scale are learned numbers. Log scales are bent into (-7, 7).
    """

    def __init__(self, latent_size: int, context_size: int = 0, *, hidden: tuple[Annotated[int, Field(gt=0)], ...] = (64,)):
        super().__init__(latent_size, context_size)
        self.network = MLP((context_size,), (2 * latent_size,), hidden=hidden) if context_size else None
        self.values = None if context_size else nn.Parameter(torch.zeros(2 * latent_size))
        if self.network is not None:
            last = self.network.body[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)

    def forward(self, context: Tensor | None = None) -> Distribution:
        values = self.values if self.network is None else self.network(given(context, self.context_size))
        assert values is not None
        mean, log_scale = values.chunk(2, -1)
        return Independent(Normal(mean, torch.exp(7 * torch.tanh(log_scale / 7)), validate_args=False), 1, validate_args=False)
