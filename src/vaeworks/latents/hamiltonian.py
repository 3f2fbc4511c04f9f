"""A latent vector that follows the model's own forces before it is decoded."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from torch.nn import functional as F

from vaeworks.distributions import Chain, Observable, UniformSphere, VonMisesFisher, WrappedNormal
from vaeworks.latents.base import Latents, Parts, context_of
from vaeworks.networks import MLP
from vaeworks.posteriors import Known
from vaeworks.priors import Prior
from vaeworks.trace import Batch, Latent

__all__ = ["Euclidean", "Geometry", "HamiltonianLatents", "Path", "PathLatents", "Slope", "flat", "leapfrog"]

Slope = Callable[[Tensor], Tensor]
"""The gradient of the energy at z (..., B, D)."""


def leapfrog(z: Tensor, momentum: Tensor, slope: Slope, step: Tensor, cooling: Tensor) -> tuple[Tensor, Tensor]:
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


def flat(q: Distribution) -> Distribution:
    """``q``, whose codes are any numbers; ValueError where they lie on a curved space."""
    if isinstance(q, UniformSphere | VonMisesFisher | WrappedNormal):
        raise ValueError(
            f"{type(q).__name__} lives on a curved space, and the paths and levels of these latents do not: use latents.kind = 'flat', or posterior.kind = 'diagonal'"
        )
    return q


class Geometry(Protocol):
    """How momenta are distributed, and how they move."""

    def momentum(self, z: Tensor) -> Distribution:
        """p(r | z), batch shape (..., B), at z (..., B, D)."""

    def walk(self, z: Tensor, momentum: Tensor, slope: Slope, step: Tensor, cooling: Tensor) -> tuple[Tensor, Tensor]:
        """The end (z, r) of a path, by a map of volume one but for ``cooling``; the arguments are those of ``leapfrog``. NaN for r says that this volume could not be kept."""


class Euclidean:
    """The same momenta everywhere, r ~ N(0, I)."""

    def momentum(self, z: Tensor) -> Distribution:
        return Independent(Normal(torch.zeros_like(z), torch.ones_like(z), validate_args=False), 1, validate_args=False)

    walk = staticmethod(leapfrog)


class Path(Distribution):
    """q(z, r | x), event (2 D,): (z0, r0) ~ ``start``, moved by a map of volume one, so that the density at the end is that at the start.

    It is known at the last sample drawn, and nowhere else. Where ``follow`` lost its way, and says so by a momentum of NaN, it counts as infinite: a weight of zero, with which the mean
    weight is p(x) or less, and a bound of -inf.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = True

    def __init__(self, start: Chain, follow: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]):
        self.start, self.follow = start, follow
        self.drawn: tuple[Tensor, Tensor] | None = None
        super().__init__(start.batch_shape, start.event_shape, validate_args=False)

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        start = self.start.rsample(sample_shape)
        z, momentum = self.follow(*start.chunk(2, -1))
        lost = momentum.isnan().any(-1)
        self.drawn = torch.cat([z, momentum.masked_fill(lost.unsqueeze(-1), 0)], -1), self.start.log_prob(start).masked_fill(lost, math.inf)
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
        return torch.cat(self.follow(*self.start.mean.chunk(2, -1)), -1)


class PathLatents(Latents):
    """z0 ~ q(z | x) with a momentum r0 ~ p(r | z0), then ``steps`` steps on the energy -log p(x, z) of a geometry that the latents choose.

    One Latent over (z, r), (K, B, 2 D): log w = log p(x | z) + log p(z) + log p(r | z) - log q(z0 | x) - log p(r0 | z0), a bound on log p(x) whatever the steps, and an
    importance weight. The decoder reads z. A step costs a pass through the decoder and back, and training differentiates that again.
    """

    space = "flat"
    known = Known.DRAWN
    needs = Known.DRAWN

    def __init__(self, latent_size: int, steps: int, step_size: float, learned: bool, tempering: float):
        super().__init__(latent_size)
        self.steps = steps
        self.log_step = nn.Parameter(torch.full((latent_size,), math.log(step_size)), requires_grad=learned)
        excess = 1 / tempering - 1
        self.heat = nn.Parameter(torch.tensor(excess + math.log(-math.expm1(-excess))), requires_grad=learned) if excess else None

    @abstractmethod
    def geometry(self, parts: Parts, batch: Batch, q: Distribution) -> Geometry:
        """The geometry in which codes of ``batch`` move, ``q`` being their posterior."""

    def step(self, geometry: Geometry, heat: Tensor) -> Tensor:
        """Step sizes (D,), momenta being ``heat`` times as long as their distribution has them."""
        return self.log_step.exp()

    def temperatures(self) -> Tensor:
        """How long the momentum is at each point of the path, relative to its end, (L + 1,), the last 1."""
        along = torch.linspace(0, 1, self.steps + 1, dtype=self.log_step.dtype, device=self.log_step.device)
        return torch.ones_like(along) if self.heat is None else 1 + F.softplus(self.heat) * (1 - along.square())

    def path(self, parts: Parts, batch: Batch) -> Path:
        """q(z, r | x)."""
        q = flat(parts.encoder(batch.x, batch.observed, *context_of(batch)))
        geometry = self.geometry(parts, batch, q)
        return Path(Chain(q, geometry.momentum), partial(self._follow, parts, batch, geometry))

    def infer(self, parts: Parts, batch: Batch, k: int) -> tuple[Latent, ...]:
        q = self.path(parts, batch)
        return (Latent(z=q.rsample((k,)), q=q, p=Chain(parts.prior(batch.context), q.start.then)),)

    def code(self, latents: tuple[Latent, ...]) -> Tensor:
        return latents[-1].z[..., : self.latent_size]

    def means(self, parts: Parts, batch: Batch) -> Tensor:
        return self.path(parts, batch).mean[..., : self.latent_size]

    def generate(self, prior: Prior, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return prior.draw(n, context, temperature)

    def _follow(self, parts: Parts, batch: Batch, geometry: Geometry, z: Tensor, momentum: Tensor) -> tuple[Tensor, Tensor]:
        """The end (z, r) of the path from z (..., B, D) with ``momentum`` times the starting temperature.

        The forces are gradients, so they are computed with gradients on, even where the caller wants none: then nothing is kept of how they came about.
        """
        differentiable = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            if not differentiable:  # a clone made here is an ordinary tensor, whatever the mode that its original was made in
                batch = Batch(*(None if t is None else t.clone() for t in (batch.x, batch.observed, batch.context)))  # type: ignore[arg-type]
                z, momentum = z.detach().clone(), momentum.detach().clone()
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
            step = self.step(geometry, heat[0])
            if not differentiable:
                heat, step = heat.detach(), step.detach()
            return geometry.walk(z, heat[0] * momentum, slope, step, heat[1:] / heat[:-1])


class HamiltonianLatents(PathLatents):
    """Leapfrog steps with momenta r ~ N(0, I): the Hamiltonian VAE (Caterini et al. 2018, arXiv:1805.11328).

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
        super().__init__(latent_size, steps, step_size, learned, tempering)

    def geometry(self, parts: Parts, batch: Batch, q: Distribution) -> Geometry:
        return Euclidean()
