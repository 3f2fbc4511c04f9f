"""Latents: the order in which levels of z are drawn."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from vaeworks.trace import Batch, Latent

__all__ = ["Latents"]


class Latents(nn.Module):
    """Draws every level of z, from the posterior to learn and from the prior to generate."""

    @abstractmethod
    def infer(self, encoder: nn.Module, prior: nn.Module, batch: Batch, k: int) -> tuple[Latent, ...]:
        """k samples per item from q(z | x), a Latent for each level."""

    @abstractmethod
    def generate(self, prior: nn.Module, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """n codes (n, D) from p(z), each deviation from the mean scaled by ``temperature``."""
