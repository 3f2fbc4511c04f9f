"""The contract between rooms: three typed values.

Shape legend, used throughout the package: K samples of z per item, B items in a batch, C context size, D latent size,
``*event`` the shape of one item (an image: channels, height, width).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.distributions import Distribution

__all__ = ["Batch", "Latent", "Trace", "given"]


@dataclass(frozen=True)
class Batch:
    """Data on its way to the model."""

    x: Tensor
    """(B, *event), what the likelihood scores."""
    observed: Tensor | None = None
    """(B, *event) bool; False marks a missing value or padding. None: everything is observed."""
    context: Tensor | None = None
    """(B, C), what generation is conditioned on."""

    def __len__(self) -> int:
        return self.x.shape[0]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``."""
        return Batch(*(None if t is None else t.to(device) for t in (self.x, self.observed, self.context)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Latent:
    """One level of z."""

    z: Tensor
    """(K, B, *latent), drawn from q."""
    q: Distribution
    """q(z_l | z_<l, x), batch shape (B,) or (K, B)."""
    p: Distribution
    """p(z_l | z_<l), batch shape (), (B,) or (K, B)."""

    def log_ratio(self) -> Tensor:
        """log p(z) - log q(z | x) of this level, in nats: (K, B)."""
        ratio: Tensor = self.p.log_prob(self.z) - self.q.log_prob(self.z)
        return ratio


@dataclass(frozen=True)
class Trace:
    """What the model made of a batch: everything an objective or an estimator needs."""

    x: Distribution
    """p(x | z), batch shape (K, B); its mask already covers what the batch did not observe."""
    latents: tuple[Latent, ...]
    """One entry when flat, one per level when hierarchical, none when there is no latent variable."""
    penalties: Mapping[str, Tensor] = field(default_factory=dict)
    """Terms that are no density, by name; each (B,) or scalar."""

    def log_likelihood(self, batch: Batch) -> Tensor:
        """log p(x | z) of the observed part of each item, in nats: (K, B)."""
        return self.x.log_prob(batch.x)

    def log_ratio(self) -> Tensor:
        """The sum over levels of log p(z) - log q(z | x), in nats: (K, B)."""
        terms = [latent.log_ratio() for latent in self.latents]
        return sum(terms[1:], start=terms[0])

    def log_weight(self, batch: Batch) -> Tensor:
        """log w = log p(x | z) + log p(z) - log q(z | x), in nats: (K, B). Its mean estimates the ELBO without bias."""
        return self.log_likelihood(batch) + self.log_ratio()


def given(context: Tensor | None, size: int) -> Tensor:
    """``context`` (..., size), checked: a conditional model cannot do without."""
    if context is None or context.shape[-1] != size:
        have = "none was given" if context is None else f"one of shape {tuple(context.shape)} was given"
        raise ValueError(f"this model is conditional on a context of {size} numbers an item, and {have}")
    return context
