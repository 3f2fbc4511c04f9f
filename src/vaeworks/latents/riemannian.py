"""A latent vector that follows the model's own forces through a space whose metric is learned from the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal

from vaeworks.latents.base import Parts
from vaeworks.latents.hamiltonian import Geometry, PathLatents, Slope
from vaeworks.latents.two_level import centred
from vaeworks.networks import MLP
from vaeworks.trace import Batch

__all__ = ["TOLERANCE", "Metric", "RiemannianLatents"]

TOLERANCE: Final = 1e-4
"""What may be left unsolved of an implicit equation, as the last iteration's change: of z in units of T, of r relative to 1 + |r|."""


@dataclass(frozen=True)
class Metric:
    """G^-1(z) = sum_i M_i exp(-|z - c_i|^2 / T^2) + floor I: small steps far from the data, where distances are long."""

    centroids: Tensor
    """c, (N, D)."""
    products: Tensor
    """M, (N, D, D), symmetric and positive."""
    width: float
    """T, in units of z."""
    floor: float
    iterations: int
    """Fixed-point iterations for each of the two implicit equations of a step."""

    def weights(self, z: Tensor) -> Tensor:
        """exp(-|z - c_i|^2 / T^2) for z (..., D): (..., N)."""
        square = z.square().sum(-1, keepdim=True) + self.centroids.square().sum(-1) - 2 * z @ self.centroids.T
        return torch.exp(-square / self.width**2)

    def inverse(self, z: Tensor) -> Tensor:
        """G^-1 at z (..., D): (..., D, D)."""
        return self._inverse(self.weights(z))

    def _inverse(self, weights: Tensor) -> Tensor:
        size = self.centroids.shape[1]
        inverse: Tensor = (weights @ self.products.flatten(1)).unflatten(-1, (size, size)) + self.floor * torch.eye(size).to(weights)
        return inverse

    def momentum(self, z: Tensor) -> Distribution:
        """N(0, G(z)): the fluctuations of a particle whose kinetic energy is r' G^-1 r / 2."""
        flipped = torch.linalg.cholesky_ex(self.inverse(z).flip(-2, -1)).L  # NaN where z is, and no error: training skips such a step
        root = torch.linalg.solve_triangular(flipped.flip(-2, -1).mT, torch.eye(z.shape[-1]).to(z), upper=False)
        return MultivariateNormal(torch.zeros_like(z), scale_tril=root, validate_args=False)

    def velocity(self, z: Tensor, momentum: Tensor) -> Tensor:
        """G^-1(z) r, (..., D)."""
        return (self.inverse(z) @ momentum.unsqueeze(-1)).squeeze(-1)

    def force(self, z: Tensor, momentum: Tensor) -> Tensor:
        """The gradient by z of (r' G^-1 r - log det G^-1) / 2, (..., D): -1/T^2 sum_i s_i w_i (z - c_i), s_i = r' M_i r - tr(G M_i)."""
        weights = self.weights(z)
        spread = momentum.unsqueeze(-1) * momentum.unsqueeze(-2) - torch.linalg.inv_ex(self._inverse(weights)).inverse
        pull: Tensor = weights * (spread.flatten(-2) @ self.products.flatten(1).T)
        return (pull @ self.centroids - z * pull.sum(-1, keepdim=True)) / self.width**2

    def walk(self, z: Tensor, momentum: Tensor, slope: Slope, step: Tensor, cooling: Tensor) -> tuple[Tensor, Tensor]:
        """The generalised leapfrog (Girolami & Calderhead 2011): r and z move by half steps that hold the end as well as the start, so that the volume lost by each is what the next gains.

        That is exact where the implicit equations are solved; their error falls by about step x speed / T with every iteration. Where one stays unsolved, r is NaN and z that of the start.
        """
        departure, force = z, slope(z)
        solved = torch.ones_like(z[..., :1], dtype=torch.bool)
        for cool in cooling:
            start = half = last = momentum - step / 2 * force
            for _ in range(self.iterations):
                half, last = start - step / 2 * self.force(z, half), half
            solved = solved & (_length(half - last) <= TOLERANCE * (1 + _length(half)))
            first = z + step / 2 * self.velocity(z, half)
            end = last = z + 2 * (first - z)
            for _ in range(self.iterations):
                end, last = first + step / 2 * self.velocity(end, half), end
            solved = solved & (_length(end - last) <= TOLERANCE * self.width)
            z, force = end, slope(end)
            momentum = cool * (half - step / 2 * (force + self.force(z, half)))
        return torch.where(solved, z, departure), momentum.masked_fill(~solved, torch.nan)

    def longest(self, heat: Tensor) -> Tensor:
        """The step size with which a path at nearly any momentum drawn at nearly any centroid, and made ``heat`` times as long, is solved to within ``TOLERANCE``, scalar.

        The square of a path's speed is r' G^-2 r, tr G^-1 in the mean; it is taken as fast as where each of D equal directions has |n| = sqrt(D) + 3, n of D independent normals.
        """
        square: Tensor = self.inverse(self.centroids).diagonal(dim1=-2, dim2=-1).sum(-1).max()
        speed = square.sqrt() * heat * (1 + 3 / self.centroids.shape[1] ** 0.5)
        step: Tensor = self.width * TOLERANCE ** (1 / self.iterations) / speed
        return step


@torch.no_grad()
def _length(x: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return length


class RiemannianLatents(PathLatents):
    """Generalised leapfrog steps with momenta r ~ N(0, G(z)), G a metric learned from the data: the Riemannian Hamiltonian VAE (Chadebec et al. 2020, arXiv:2010.11518).

    G^-1(z) = sum_i L_i L_i' exp(-|z - c_i|^2 / T^2) + floor I, c_i the posterior mean of item i and L_i, lower triangular, what a second network of the encoder's kind makes of it. While
    training the sum is over the batch; the last ``centroids`` items seen are kept, and make the metric from then on. The prior is the model's own p(z): what the paper draws from after
    training, the metric's volume, is none. Whatever the metric, weights are those of p(x): it shapes q alone.

    steps, step_size, learned, tempering: as in ``HamiltonianLatents``; step sizes are in units of z where G = I.
    iterations: fixed-point iterations of each implicit equation. Steps are as long as these can solve, whatever was learned; where one is unsolved nevertheless, its path weighs nothing.
    width: T. floor: the least eigenvalue of G^-1.
    """

    def __init__(
        self,
        latent_size: int,
        event_shape: tuple[int, ...],
        network: Callable[[tuple[int, ...], tuple[int, ...]], nn.Module] = MLP,
        context_size: int = 0,
        *,
        steps: Annotated[int, Field(gt=0)] = 3,
        step_size: Annotated[float, Field(gt=0)] = 0.01,
        learned: bool = True,
        tempering: Annotated[float, Field(gt=0, le=1)] = 0.8,
        iterations: Annotated[int, Field(gt=0)] = 6,
        width: Annotated[float, Field(gt=0)] = 1.0,
        floor: Annotated[float, Field(gt=0)] = 0.01,
        centroids: Annotated[int, Field(gt=0)] = 200,
    ):
        super().__init__(latent_size, steps, step_size, learned, tempering)
        self.iterations, self.width, self.floor = iterations, width, floor
        self.reader = network(event_shape, (latent_size * (latent_size + 1) // 2,))
        self.centroids: Tensor
        self.products: Tensor
        self.turn: Tensor
        self.register_buffer("centroids", torch.zeros(centroids, latent_size))
        self.register_buffer("products", torch.zeros(centroids, latent_size, latent_size))
        self.register_buffer("turn", torch.zeros((), dtype=torch.long))

    def geometry(self, parts: Parts, batch: Batch, q: Distribution) -> Metric:
        if not self.training:
            return Metric(self.centroids, self.products, self.width, self.floor, self.iterations)
        centroids, products = q.mean, self._products(self.reader(centred(parts, batch)))
        self._keep(centroids, products)
        return Metric(centroids, products, self.width, self.floor, self.iterations)

    def step(self, geometry: Geometry, heat: Tensor) -> Tensor:
        step = super().step(geometry, heat)
        assert isinstance(geometry, Metric)
        return torch.minimum(step, geometry.longest(heat).to(step))

    def _products(self, features: Tensor) -> Tensor:
        """L L' for features (B, D (D + 1) / 2), near the identity where they are small: (B, D, D)."""
        size = self.latent_size
        rows, columns = torch.tril_indices(size, size, device=features.device)
        bent = 3 * torch.tanh(features / 30)
        lower = torch.zeros(len(features), size, size, dtype=features.dtype, device=features.device)
        lower[:, rows, columns] = torch.where(rows == columns, bent.exp(), bent)
        return lower @ lower.mT

    @torch.no_grad()
    def _keep(self, centroids: Tensor, products: Tensor) -> None:
        """The newest items take the places of the oldest."""
        count = min(len(centroids), len(self.centroids))
        places = (self.turn + torch.arange(count, device=self.turn.device)) % len(self.centroids)
        self.centroids[places], self.products[places] = centroids[:count].detach(), products[:count].detach()
        self.turn += count
