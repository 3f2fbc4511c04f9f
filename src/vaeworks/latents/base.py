"""Latents: the order in which levels of z are drawn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol

from torch import Tensor, nn

from vaeworks.networks import MLP
from vaeworks.posteriors import Known
from vaeworks.priors import Prior
from vaeworks.trace import Batch, Latent

__all__ = ["Latents", "Parts", "context_of"]


class Parts(Protocol):
    """What z is drawn with."""

    encoder: nn.Module
    decoder: nn.Module
    prior: Prior


def context_of(batch: Batch) -> tuple[Tensor, ...]:
    """The context as a further argument, where there is one: parts that know of none need not name it."""
    return () if batch.context is None else (batch.context,)


class Latents(nn.Module):
    """Draws every level of z, from the posterior to learn and from the prior to generate.

    ``latent_size`` is that of the posterior and the prior, ``event_shape`` that of an item. ``network`` makes networks of the encoder's kind,
    (in_shape, out_shape) -> module. Only latents with networks of their own need to know more than the first.
    """

    space: ClassVar[str] = "any"
    """Where the posterior's codes must live."""
    known: ClassVar[Known] = Known.FACTORS
    """What can be told of q at most, whatever the posterior."""
    needs: ClassVar[Known] = Known.NOTHING
    """What must be known of the posterior."""

    def __init__(
        self,
        latent_size: int = 0,
        event_shape: tuple[int, ...] = (),
        network: Callable[[tuple[int, ...], tuple[int, ...]], nn.Module] = MLP,
        context_size: int = 0,
    ):
        super().__init__()
        self.latent_size = latent_size

    @property
    def code_size(self) -> int:
        """The size of what the decoder reads, D."""
        return self.latent_size

    @abstractmethod
    def infer(self, parts: Parts, batch: Batch, k: int) -> tuple[Latent, ...]:
        """k samples per item from q(z | x), a Latent for each level."""

    def means(self, parts: Parts, batch: Batch) -> Tensor:
        """The codes (B, D) at the posterior means: deterministic."""
        mean: Tensor = parts.encoder(batch.x, batch.observed, *context_of(batch)).mean
        return mean

    def alternatives(self, parts: Parts, batch: Batch) -> tuple[Batch, Tensor] | None:
        """Where a batch leaves open what it might have told, such as a label: its items with that told in each of A ways, (A B), and log q (A, B) of each way; None where nothing is open.

        p(x) is the sum over ways of p(x, way), so that no estimate of it needs to draw one. A way that is ruled out has log q = -inf.
        """
        return None

    def code(self, latents: tuple[Latent, ...]) -> Tensor:
        """What the decoder reads of them, (K, B, D)."""
        return latents[-1].z

    @abstractmethod
    def generate(self, prior: Prior, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """n codes (n, D) from p(z), each deviation from the mean scaled by ``temperature``."""
