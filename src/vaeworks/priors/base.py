"""Prior: p(z), without or with a context."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaeworks.distributions.mixture import Mixture

__all__ = ["Prior"]


class Prior(nn.Module):
    """() or context (B, C) -> p(z), batch shape () or (B,), event shape (D,)."""

    space: ClassVar[str] = "flat"
    """Where codes live; a posterior on another space has no KL to this prior."""

    def __init__(self, latent_size: int, context_size: int = 0):
        super().__init__()
        self.latent_size, self.context_size = latent_size, context_size

    def join(self, encoder: nn.Module) -> None:
        """Meet the encoder whose codes this is the prior of; only a prior made of it needs to."""

    def settle(self, examples: Tensor) -> None:
        """Look at some items (N, *event) before training; only a prior that starts from data needs to."""

    def draw(self, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """n codes (n, D), each deviation from the mean, in a mixture that of its own component, scaled by ``temperature``."""
        p = self(context)
        shape = () if p.batch_shape else (n,)  # a prior that heeds its context has one distribution per item
        if isinstance(p, Mixture):
            return p.draw(shape, temperature)
        z: Tensor = p.sample(shape)
        return z if temperature == 1 else torch.lerp(p.mean.expand_as(z), z, temperature)

    @abstractmethod
    def forward(self, context: Tensor | None = None) -> Distribution:
        """p(z), or p(z | context)."""

    def __call__(self, context: Tensor | None = None) -> Distribution:
        distribution: Distribution = super().__call__(context)
        return distribution
