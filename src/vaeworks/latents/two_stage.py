"""A latent vector whose prior is a VAE of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call

from vaeworks.distributions import Chain, Marginal, PointMass
from vaeworks.latents.base import Latents, Parts, context_of
from vaeworks.latents.hamiltonian import flat
from vaeworks.latents.two_level import beside
from vaeworks.networks import MLP
from vaeworks.posteriors import DiagonalNormalPosterior, Known
from vaeworks.priors import Prior
from vaeworks.trace import Batch, Latent

__all__ = ["TwoStageLatents"]


class TwoStageLatents(Latents):
    """p(z) = integral of p(z | u) p(u) du, with q(z, u | x) = q(z | x) q(u | z): a second VAE, whose data are the codes of the first (Dai & Wipf 2019, arXiv:1903.05789).

    The recipe's prior is that of u, which has as many numbers as z; p(z | u) and q(u | z) are diagonal normals by networks of their own. The density of z is an integral, so (z, u) is one
    Latent, (K, B, 2 D), and log w = log p(x | z) + log p(z | u) + log p(u) - log q(z | x) - log q(u | z): its exponential has the mean p(x), and nothing is left out of the bound.
    The decoder reads z. ``vae fit-prior RUN DATA --kind two-stage`` fits the second VAE to the codes of a trained model, as the paper does; trained from the start, both are one model.

    A posterior without density has no bound, and teaches the second stage nothing: fit it afterwards. hidden: sizes of the hidden layers of both networks.
    """

    space = "flat"
    known = Known.DENSITY

    def __init__(
        self,
        latent_size: int,
        event_shape: tuple[int, ...] = (),
        network: Callable[[tuple[int, ...], tuple[int, ...]], nn.Module] = MLP,
        context_size: int = 0,
        *,
        hidden: tuple[Annotated[int, Field(gt=0)], ...] = (256, 256),
    ):
        super().__init__(latent_size)
        self.context_size = context_size
        self.normal = DiagonalNormalPosterior(latent_size)
        self.recognition, self.generation = (MLP((latent_size + context_size,), self.normal.parameter_shape, hidden=hidden) for _ in range(2))

    def infer(self, parts: Parts, batch: Batch, k: int) -> tuple[Latent, ...]:
        q = flat(parts.encoder(batch.x, batch.observed, *context_of(batch)))
        p = Chain(parts.prior(batch.context), partial(self.below, batch.context), swapped=True)
        if isinstance(q, PointMass):
            return (Latent(z=q.rsample((k,)), q=q, p=Marginal(p)),)
        both = Chain(q, partial(self.above, batch.context), held=partial(self.above, batch.context, held=True))
        return (Latent(z=both.rsample((k,)), q=both, p=p),)

    def code(self, latents: tuple[Latent, ...]) -> Tensor:
        return latents[-1].z[..., : self.latent_size]

    def generate(self, prior: Prior, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        p = self.below(context, prior.draw(n, context, temperature))
        return torch.lerp(p.mean, p.sample(), temperature)

    def log_prior(self, prior: Prior, z: Tensor, context: Tensor | None = None) -> Tensor:
        """log p(u) + log p(z | u) - log q(u | z) at a draw of u, for codes (N, D): a bound on log p(z) in the mean, (N,)."""
        q = self.above(context, z)
        u = q.rsample()
        log_p: Tensor = prior(context).log_prob(u) + self.below(context, u).log_prob(z) - q.log_prob(u)
        return log_p

    def above(self, context: Tensor | None, z: Tensor, *, held: bool = False) -> Distribution:
        """q(u | z), batch shape (...), for z (..., D); the network's parameters out of reach of the gradient where ``held``."""
        network: Callable[[Tensor], Tensor] = self.recognition
        if held:
            fixed = {name: parameter.detach() for name, parameter in self.recognition.named_parameters()}
            network = partial(functional_call, self.recognition, fixed)
        return self.normal(beside(network, z, context, self.context_size))

    def below(self, context: Tensor | None, u: Tensor) -> Distribution:
        """p(z | u), batch shape (...), for u (..., D)."""
        return self.normal(beside(self.generation, u, context, self.context_size))
