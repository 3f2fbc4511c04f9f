"""Posterior: the encoder's last word."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn
from torch.distributions import Distribution

__all__ = ["Posterior"]


class Posterior(nn.Module):
    """features (B, *parameter_shape) -> q(z | x), batch shape (B,), event shape (D,)."""

    def __init__(self, latent_size: int):
        super().__init__()
        self.latent_size = latent_size

    @property
    @abstractmethod
    def parameter_shape(self) -> tuple[int, ...]:
        """Shape of the features for one item."""

    @abstractmethod
    def forward(self, features: Tensor) -> Distribution:
        """q(z | x) for features (B, *parameter_shape)."""

    def __call__(self, features: Tensor) -> Distribution:
        distribution: Distribution = super().__call__(features)
        return distribution
