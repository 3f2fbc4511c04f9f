"""Likelihood: the decoder's last word, from the network's output to p(x | z)."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from vaeworks.distributions import Observable

__all__ = ["Likelihood", "ScaledLikelihood", "soft_clamp"]


class Likelihood(nn.Module):
    """features (..., *parameter_shape) -> p(x | z), batch shape (...), event shape ``event_shape``.

    ``levels`` is the number of values a coordinate of x can take (2 for binary, 256 for 8-bit pixels, 0 for real numbers).
    """

    discrete: bool
    """True where p(x | z) is a probability mass (nats and bits per dimension are absolute), False where it is a density, or partly one."""
    parameters_per_coordinate: int = 1

    def __init__(self, event_shape: tuple[int, ...], levels: int):
        super().__init__()
        self.event_shape, self.levels = tuple(event_shape), levels

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Shape of the features for one item: the event's, with its first axis repeated for each parameter of a coordinate."""
        first, *rest = self.event_shape
        return (first * self.parameters_per_coordinate, *rest)

    def split(self, features: Tensor) -> tuple[Tensor, ...]:
        """features (..., n * C, H, W) -> n tensors (..., C, H, W)."""
        if self.parameters_per_coordinate == 1:
            return (features,)
        rank = len(self.event_shape)
        parts: tuple[Tensor, ...] = features.unflatten(-rank, (self.parameters_per_coordinate, self.event_shape[0])).unbind(-rank - 1)
        return parts

    @abstractmethod
    def forward(self, features: Tensor) -> Observable:
        """p(x | z) for features (..., *parameter_shape)."""

    def __call__(self, features: Tensor) -> Observable:
        distribution: Observable = super().__call__(features)
        return distribution


class ScaledLikelihood(Likelihood):
    """A likelihood whose features give a location, and whose scale is one learned number shared by all coordinates.

    A learned scale weighs reconstruction against the KL by itself: no beta needs tuning (Rybkin et al. 2021, arXiv:2006.13202).
    """

    def __init__(self, event_shape: tuple[int, ...], levels: int, *, initial_scale: float):
        super().__init__(event_shape, levels)
        # A tenth of log scale: Adam's steps have a fixed size, and the scale has further to go than a weight.
        self.tenth_of_log_scale = nn.Parameter(torch.tensor(initial_scale).log() / 10)

    @property
    def log_scale(self) -> Tensor:
        """log of the shared scale, in units of x; no smaller than log 1e-4."""
        return (10 * self.tenth_of_log_scale).clamp_min(-9.2)


def soft_clamp(value: Tensor, bound: float) -> Tensor:
    """value, bent smoothly into (-bound, bound): keeps a log scale finite without ever killing its gradient."""
    return bound * torch.tanh(value / bound)
