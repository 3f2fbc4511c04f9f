"""A latent vector that follows the model's own forces before it is decoded."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from vaeworks.distributions import Observable, UniformSphere, VonMisesFisher, WrappedNormal
from vaeworks.distributions.flows import standard_normal
from vaeworks.latents.base import Latents, Parts, context_of
from vaeworks.networks import MLP
from vaeworks.priors import Prior
from vaeworks.trace import Batch, Latent

__all__ = ["HamiltonianLatents", "Path", "WithMomentum", "leapfrog"]


def leapfrog(z: Tensor, momentum: Tensor, slope: Callable[[Tensor], Tensor], step: Tensor, cooling: Tensor) -> tuple[Tensor, Tensor]:
    """The end (z, momentum) of a path downhill: half a step in momentum, one in position, half a step in momentum, each a shear of volume one.

    ``slope`` is the gradient of the energy, ``step`` (D,) the step sizes; after step l the momentum is multiplied by ``cooling`` (L,)[l]. Slopes are taken L + 1 times.
    """
    force = slope(z)
    for cool in cooling:
        momentum = momentum - step / 2 * force
        z = z + step * momentum
        force = slope(z)
        momentum = cool * (momentum - step / 2 * force)
    return z, momentum


class Path(Distribution):
    """q(z, r | x), event (2 D,): z0 ~ q0 and r0 ~ N(0, I), moved by a map of volume one, so that the density at the end is that at the start.

    It is known at the last sample drawn, and nowhere else.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = True

    def __init__(self, start: Distribution, follow: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]):
        self.start, self.follow = start, follow
        self.drawn: tuple[Tensor, Tensor] | None = None
        super().__init__(start.batch_shape, torch.Size((2 * start.event_shape[0],)), validate_args=False)

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        z = self.start.rsample(torch.Size(sample_shape))
        noise = torch.randn_like(z)
        log_q = self.start.log_prob(z) + standard_normal(noise)
        self.drawn = torch.cat(self.follow(z, noise), -1), log_q
        return self.drawn[0]

    def log_prob(self, value: Tensor) -> Tensor:
        if self.drawn is None or value is not self.drawn[0]:
            raise NotImplementedError(
                "the density of a Hamiltonian path is known only for the very samples last drawn: use latents.kind = 'flat' where it is needed elsewhere"
            )
        return self.drawn[1]

    @property
    def mean(self) -> Tensor:
        """The end of the path that starts at rest from q0's mean: deterministic, and the mean only where forces are linear."""
        start = self.start.mean
        return torch.cat(self.follow(start, torch.zeros_like(start)), -1)


class WithMomentum(Distribution):
    """p(z) N(r; 0, I), event (2 D,)."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, position: Distribution):
        self.position = position
        super().__init__(position.batch_shape, torch.Size((2 * position.event_shape[0],)), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        z, momentum = value.chunk(2, -1)
        log_p: Tensor = self.position.log_prob(z) + standard_normal(momentum)
        return log_p

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        z = self.position.sample(torch.Size(sample_shape))
        return torch.cat([z, torch.randn_like(z)], -1)

    @property
    def mean(self) -> Tensor:
        return torch.cat([self.position.mean, torch.zeros_like(self.position.mean)], -1)


class HamiltonianLatents(Latents):
    """z0 ~ q(z | x) with a momentum r0 ~ N(0, I), then leapfrog steps on the energy -log p(x, z): the Hamiltonian VAE (Caterini et al. 2018, arXiv:1805.11328).

    One Latent over (z, r), (K, B, 2 D): log w = log p(x | z) + log p(z) + log N(r; 0, I) - log q(z0 | x) - log N(r0; 0, I), a bound on log p(x) whatever the steps, and an
    importance weight. The decoder reads z. A step costs a pass through the decoder and back, and training differentiates that again.

    steps: leapfrog steps. step_size: of each dimension, in units of z. learned: train step sizes and temperature with the rest.
    tempering: momentum starts 1 / tempering times as long and is cooled along the path (the paper's quadratic schedule), the whole still of volume one. Cooling is what tightens
    the bound: with 1 a path keeps its energy, and with it the weight that it started with, but for the error of the steps.
    """

    def __init__(
        self,
        latent_size: int,
        event_shape: tuple[int, ...] = (),
        network: Callable[[tuple[int, ...], tuple[int, ...]], nn.Module] = MLP,
        context_size: int = 0,
        *,
        steps: Annotated[int, Field(gt=0)] = 3,
        step_size: Annotated[float, Field(gt=0)] = 0.05,
        learned: bool = True,
        tempering: Annotated[float, Field(gt=0, le=1)] = 0.8,
    ):
        super().__init__(latent_size)
        self.steps = steps
        self.log_step = nn.Parameter(torch.full((latent_size,), math.log(step_size)), requires_grad=learned)
        excess = 1 / tempering - 1
        self.heat = nn.Parameter(torch.tensor(excess + math.log(-math.expm1(-excess))), requires_grad=learned) if excess else None

    def temperatures(self) -> Tensor:
        """How long the momentum is at each point of the path, relative to its end, (L + 1,), the last 1."""
        along = torch.linspace(0, 1, self.steps + 1, dtype=self.log_step.dtype, device=self.log_step.device)
        return torch.ones_like(along) if self.heat is None else 1 + F.softplus(self.heat) * (1 - along.square())

    def infer(self, parts: Parts, batch: Batch, k: int) -> tuple[Latent, ...]:
        q = self._path(parts, batch)
        return (Latent(z=q.rsample((k,)), q=q, p=WithMomentum(parts.prior(batch.context))),)

    def code(self, latents: tuple[Latent, ...]) -> Tensor:
        return latents[-1].z[..., : self.latent_size]

    def means(self, parts: Parts, batch: Batch) -> Tensor:
        return self._path(parts, batch).mean[..., : self.latent_size]

    def generate(self, prior: Prior, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return prior.draw(n, context, temperature)

    def _path(self, parts: Parts, batch: Batch) -> Path:
        start = parts.encoder(batch.x, batch.observed, *context_of(batch))
        if isinstance(start, UniformSphere | VonMisesFisher | WrappedNormal):
            raise ValueError(
                f"{type(start).__name__} lives on a curved space, and these paths are straight: use latents.kind = 'flat', or posterior.kind = 'diagonal'"
            )
        return Path(start, partial(self.follow, parts, batch))

    def follow(self, parts: Parts, batch: Batch, z: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The end (z, r) of the path from z (..., B, D) with momentum ``noise`` times the starting temperature.

        The forces are gradients, so they are computed with gradients on, even where the caller wants none: then nothing is kept of how they came about.
        """
        differentiable = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            if not differentiable:  # a clone made here is an ordinary tensor, whatever the mode that its original was made in
                batch = Batch(*(None if t is None else t.clone() for t in (batch.x, batch.observed, batch.context)))  # type: ignore[arg-type]
                z, noise = z.detach().clone(), noise.detach().clone()
            prior = parts.prior(batch.context)

            def slope(at: Tensor) -> Tensor:
                if not (differentiable and at.requires_grad):
                    at = at.detach().requires_grad_()
                p: Observable = parts.decoder(at, *context_of(batch))
                p = p if batch.observed is None else p.marginal(batch.observed)
                energy = -(p.log_prob(batch.x) + prior.log_prob(at)).sum()
                (force,) = torch.autograd.grad(energy, at, create_graph=differentiable)
                return force

            heat = self.temperatures()
            step = self.log_step.exp()
            if not differentiable:
                heat, step = heat.detach(), step.detach()
            return leapfrog(z, heat[0] * noise, slope, step, heat[1:] / heat[:-1])
