"""Posterior: the encoder's last word."""

from __future__ import annotations

from abc import abstractmethod
from enum import IntEnum
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

__all__ = ["Known", "Posterior", "bent", "scale_of"]


class Known(IntEnum):
    """What can be told of q(z | x) beside draws from it, each level with all those below."""

    NOTHING = 0
    DRAWN = 1
    """Its density at the last samples drawn."""
    DENSITY = 2
    """Its density at any point, its parameters held fixed where the gradient wants that."""
    MOMENTS = 3
    """Mean and covariance, in closed form."""
    FACTORS = 4
    """Its dimensions are independent, and the density of each is known."""


class Posterior(nn.Module):
    """features (B, *parameter_shape) -> q(z | x), batch shape (B,), event shape (D,)."""

    space: ClassVar[str] = "flat"
    """Where codes live: flat, sphere or ball; the prior must live there too."""
    known: ClassVar[Known] = Known.DENSITY
    """What can be told of q: priors, latents and objectives may need more than draws."""

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


def bent(value: Tensor, bound: float = 7.0) -> Tensor:
    """``value``, bent smoothly into (-bound, bound), its slope 1 at zero."""
    return bound * torch.tanh(value / bound)


def scale_of(log_scale: Tensor) -> Tensor:
    """A scale between exp(-7) and exp(7): no useful posterior reaches the ends, and no bad step gets past them to NaN."""
    return torch.exp(bent(log_scale))
