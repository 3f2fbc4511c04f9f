"""One latent vector per item."""

from __future__ import annotations

from torch import Tensor

from vaeworks.latents.base import Latents, Parts, context_of
from vaeworks.priors import Prior
from vaeworks.trace import Batch, Latent

__all__ = ["FlatLatents"]


class FlatLatents(Latents):
    """z ~ q(z | x) to learn, z ~ p(z) to generate."""

    def infer(self, parts: Parts, batch: Batch, k: int) -> tuple[Latent, ...]:
        q = parts.encoder(batch.x, batch.observed, *context_of(batch))
        return (Latent(z=q.rsample((k,)), q=q, p=parts.prior(batch.context)),)

    def generate(self, prior: Prior, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return prior.draw(n, context, temperature)
