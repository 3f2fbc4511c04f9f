"""Two latent vectors per item, one above the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from vaeworks.latents.base import Latents, Parts, context_of
from vaeworks.networks import MLP
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import Prior
from vaeworks.trace import Batch, Latent, given

__all__ = ["TwoLevelLatents", "beside", "centred"]


def centred(parts: Parts, batch: Batch) -> Tensor:
    """The items (B, *event) as the encoder's own network sees them: less the mean item, where it knows one, and zero where a value is missing."""
    own = getattr(parts.encoder, "centred", None)
    if own is not None:
        seen: Tensor = own(batch.x, batch.observed)
        return seen
    return batch.x if batch.observed is None else batch.x.masked_fill(~batch.observed, 0)


def beside(network: Callable[[Tensor], Tensor], inputs: Tensor, context: Tensor | None, context_size: int) -> Tensor:
    """``network`` of inputs (..., A) beside their context, where the model has one: (..., F)."""
    if context_size:
        inputs = torch.cat([inputs, given(context, context_size).expand(*inputs.shape[:-1], -1)], -1)
    features: Tensor = network(inputs.flatten(0, -2)).unflatten(0, inputs.shape[:-1])
    return features


class TwoLevelLatents(Latents):
    """p(z1, z2) = p(z1 | z2) p(z2) with q(z1, z2 | x) = q(z1 | x, z2) q(z2 | x): the HVAE of Tomczak & Welling 2018 (arXiv:1705.07120).

    The upper level z2 is the encoder's posterior and the prior; the two distributions of the lower level z1 are diagonal normals by networks of their own, and what reads x for
    q(z1 | x, z2) is a second network of the encoder's kind. A decoder reads (z2, z1), in the order of ``Trace.latents``; with a context all of them read that too.

    lower_size: dimensions of z1; 0, as many as z2 has. hidden: sizes of the hidden layers of the lower level's networks.
    """

    def __init__(
        self,
        latent_size: int,
        event_shape: tuple[int, ...],
        network: Callable[[tuple[int, ...], tuple[int, ...]], nn.Module] = MLP,
        context_size: int = 0,
        *,
        lower_size: Annotated[int, Field(ge=0)] = 0,
        hidden: tuple[Annotated[int, Field(gt=0)], ...] = (256,),
    ):
        super().__init__(latent_size)
        self.lower_size, self.context_size, self.activated = lower_size or latent_size, context_size, bool(hidden)
        self.normal = DiagonalNormalPosterior(self.lower_size)
        shape, above = self.normal.parameter_shape, latent_size + context_size
        features = hidden[0] if hidden else shape[0]
        self.reader = network(event_shape, (features,))
        self.recognition = MLP((features + above,), shape, hidden=hidden)
        self.generation = MLP((above,), shape, hidden=hidden)
        last = self.generation.body[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():  # p(z1 | z2) starts near N(0, I), and not at it, where z2 would be cut off
            last.weight.mul_(0.1)

    @property
    def code_size(self) -> int:
        return self.latent_size + self.lower_size

    def infer(self, parts: Parts, batch: Batch, k: int) -> tuple[Latent, ...]:
        upper_q = parts.encoder(batch.x, batch.observed, *context_of(batch))
        upper = upper_q.rsample((k,))
        lower_q = self._lower_q(self._read(parts, batch), upper, batch.context)
        return (
            Latent(z=upper, q=upper_q, p=parts.prior(batch.context)),
            Latent(z=lower_q.rsample(), q=lower_q, p=self._lower_p(upper, batch.context)),
        )

    def means(self, parts: Parts, batch: Batch) -> Tensor:
        """The mean of q(z2 | x) and that of q(z1 | x, z2) there, (B, D)."""
        upper = super().means(parts, batch)
        return torch.cat([upper, self._lower_q(self._read(parts, batch), upper, batch.context).mean], -1)

    def code(self, latents: tuple[Latent, ...]) -> Tensor:
        return torch.cat([latent.z for latent in latents], -1)

    def generate(self, prior: Prior, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        upper = prior.draw(n, context, temperature)
        p = self._lower_p(upper, context)
        return torch.cat([upper, torch.lerp(p.mean, p.sample(), temperature)], -1)

    def _read(self, parts: Parts, batch: Batch) -> Tensor:
        """What q(z1 | x, z2) knows of the items, (B, F)."""
        features: Tensor = self.reader(centred(parts, batch))
        return F.silu(features) if self.activated else features

    def _lower_q(self, features: Tensor, upper: Tensor, context: Tensor | None) -> Distribution:
        """q(z1 | x, z2), batch shape (..., B), for features (B, F) and z2 (..., B, D)."""
        return self._normal(self.recognition, torch.cat([features.expand(*upper.shape[:-1], -1), upper], -1), context)

    def _lower_p(self, upper: Tensor, context: Tensor | None) -> Distribution:
        """p(z1 | z2), batch shape (..., B), for z2 (..., B, D)."""
        return self._normal(self.generation, upper, context)

    def _normal(self, network: nn.Module, inputs: Tensor, context: Tensor | None) -> Distribution:
        return self.normal(beside(network, inputs, context, self.context_size))
