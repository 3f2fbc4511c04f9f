"""Prior: p(z), without or with a context."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn
from torch.distributions import Distribution

__all__ = ["Prior"]


class Prior(nn.Module):
    """() or context (B, C) -> p(z), batch shape () or (B,), event shape (D,)."""

    def __init__(self, latent_size: int):
        super().__init__()
        self.latent_size = latent_size

    @abstractmethod
    def forward(self, context: Tensor | None = None) -> Distribution:
        """p(z), or p(z | context)."""

    def __call__(self, context: Tensor | None = None) -> Distribution:
        distribution: Distribution = super().__call__(context)
        return distribution
