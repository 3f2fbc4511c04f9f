"""One latent vector per item."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaeworks.latents.base import Latents
from vaeworks.trace import Batch, Latent

__all__ = ["FlatLatents"]


class FlatLatents(Latents):
    """z ~ q(z | x) to learn, z ~ p(z) to generate."""

    def infer(self, encoder: nn.Module, prior: nn.Module, batch: Batch, k: int) -> tuple[Latent, ...]:
        q = encoder(batch.x, batch.observed)
        return (Latent(z=q.rsample((k,)), q=q, p=prior(batch.context)),)

    def generate(self, prior: nn.Module, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        p = prior(context)
        z: Tensor = p.sample(() if p.batch_shape else (n,))  # a prior that heeds its context has one distribution per item
        return z if temperature == 1 else torch.lerp(p.mean.expand_as(z), z, temperature)
