"""What each objective is worth on a linear-Gaussian model, in closed form or by quadrature over the codes: numpy's arithmetic, none of the objectives'.

Shape legend: B items of X numbers, D latent dimensions, P quadrature points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from vaeworks.check.linear_gaussian import LinearGaussian

__all__ = [
    "Case", "Expected", "Truth", "correlated_by_a_line", "deceived_by_a_line", "decorrelated", "discrepancy", "floored", "importance_weighted", "seen_by_a_line",
    "similar", "smooth", "taken_apart", "weighted",
]  # fmt: skip

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Truth:
    """A model, items x (B, X), and the mean (B, D) and scale (B, D) of q: what the closed forms are made of, in float64 on the CPU."""

    model: LinearGaussian
    x: Tensor
    mean: Tensor
    scale: Tensor

    @property
    def kl(self) -> Tensor:
        """Of each dimension, (B, D)."""
        return self.model.kl(self.mean, self.scale)

    @property
    def distortion(self) -> Tensor:
        """-E_q[log p(x | z)], averaged over items."""
        return -self.model.log_likelihood(self.x, self.mean, self.scale).mean()

    @property
    def loss(self) -> Tensor:
        """-ELBO, averaged over items."""
        return self.kl.sum(-1).mean() + self.distortion

    def over(self, number: int) -> tuple[Array, Array]:
        """Gauss-Hermite points of q, (P, B, D), P = number^D, and weights (P,) that sum to one."""
        node, weight = np.polynomial.hermite_e.hermegauss(number)
        size = self.mean.shape[1]
        points = np.stack(np.meshgrid(*[node] * size, indexing="ij"), -1).reshape(-1, 1, size)
        weights = np.stack(np.meshgrid(*[weight / weight.sum()] * size, indexing="ij"), -1).reshape(-1, size).prod(1)
        return self.mean.numpy() + self.scale.numpy() * points, weights


Expected = Callable[[Any, Truth], Tensor | float]
"""(objective, truth) -> the expected value of the loss."""


@dataclass(frozen=True)
class Case:
    """An objective with its knobs, and what its value should be."""

    expected: Expected
    knobs: dict[str, Any] = field(default_factory=dict)
    averages: Literal["samples", "items", "neither"] = "samples"
    """What may be repeated without moving the expected value, beside items with samples: where weights are normalised over samples, only items; where pairs count, neither."""
    surrogate: bool = False
    """Whether the gradient is another than that of the value under the same noise."""
    event: tuple[int, ...] = (4,)


def _log_normal(x: Array, mean: Array | float = 0.0, scale: Array | float = 1.0) -> Array:
    density: Array = -0.5 * ((x - mean) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2 * math.pi)
    return density


def _log_sum_exp(values: Array, axis: int) -> Array:
    total: Array = np.logaddexp.reduce(values, axis=axis)
    return total


def weighted(beta: float) -> Expected:
    """The KL beta times."""
    return lambda _, t: beta * t.kl.sum(-1).mean() + t.distortion


def floored(floor: float, beta: float = 1.0) -> Expected:
    """Free bits."""
    return lambda _, t: beta * t.kl.mean(0).clamp_min(floor).sum() + t.distortion


def importance_weighted(beta: float = 1.0, share: float = 0.0) -> Expected:
    """-E[log (w_1 + w_2) / 2] by quadrature over two codes; ``share`` of it the ELBO."""

    def expected(_: Any, t: Truth) -> float:
        z, weight = t.over(24)
        error = t.x.numpy() - z @ t.model.weight.numpy().T - t.model.bias.numpy()
        log_w = _log_normal(error, 0.0, t.model.scale).sum(-1) + beta * (_log_normal(z) - _log_normal(z, t.mean.numpy(), t.scale.numpy())).sum(-1)
        pairs = np.logaddexp(log_w[:, None], log_w[None]) - np.log(2)
        bound, elbo = np.einsum("i,j,ijb->b", weight, weight, pairs), weight @ log_w
        return float(-(share * elbo + (1 - share) * bound).mean())

    return expected


def _parts_of_the_kl(t: Truth) -> tuple[float, float, float]:
    """Mutual information, total correlation and dimension-wise KL where q(z) is the mixture of the items' posteriors, by quadrature."""
    z, weight = t.over(40)
    pairs = _log_normal(z[:, :, None], t.mean.numpy(), t.scale.numpy())  # (P, B of z, B of x, D)
    own = _log_normal(z, t.mean.numpy(), t.scale.numpy()).sum(-1)
    log_q = _log_sum_exp(pairs.sum(-1), 2) - np.log(len(t.x))
    product = (_log_sum_exp(pairs, 2) - np.log(len(t.x))).sum(-1)
    ratios = (own - log_q, log_q - product, product - _log_normal(z).sum(-1))
    information, correlation, dimensions = (float((weight @ ratio).mean()) for ratio in ratios)
    return information, correlation, dimensions


def taken_apart(alpha: float, beta: float, gamma: float, log_factor: float = 0.0) -> Expected:
    """The parts of the KL weighed apart; ``log_factor``: what the estimate of log q(z) and of each log q(z_d) lacks."""

    def expected(_: Any, t: Truth) -> Tensor:
        information, correlation, dimensions = _parts_of_the_kl(t)
        lacking = log_factor * np.array([-1, 1 - t.mean.shape[1], t.mean.shape[1]])
        kl = alpha * (information + lacking[0]) + beta * (correlation + lacking[1]) + gamma * (dimensions + lacking[2])
        return float(kl) + t.distortion

    return expected


def decorrelated(variant: str, off_diagonal: float, diagonal: float) -> Expected:
    """The covariance of means (I) or codes (II) against the identity."""

    def expected(_: Any, t: Truth) -> Tensor:
        covariance = np.cov(t.mean.numpy().T, bias=True) + (np.diag(t.scale.square().mean(0).numpy()) if variant == "II" else 0)
        apart = covariance[~np.eye(len(covariance), dtype=bool)]
        return t.loss + off_diagonal * float((apart**2).sum()) + diagonal * float(((np.diag(covariance) - 1) ** 2).sum())

    return expected


def discrepancy(t: Truth, kernel: str) -> float:
    """E of MMD^2 over pairs of different items: normal integrals of exp(-u r^2 / c), and for the inverse multiquadratic c / (c + r^2) = int_0^inf e^-u exp(-u r^2 / c) du."""
    apart = ~np.eye(len(t.x), dtype=bool)
    mean, variance = t.mean.numpy(), t.scale.square().numpy()
    here, prior = (mean, variance), (np.zeros_like(mean), np.ones_like(mean))
    node, weight = np.polynomial.legendre.leggauss(200)
    node, weight = 20 * (node + 1), 20 * weight * np.exp(-20 * (node + 1))  # of int_0^40 e^-u f(u) du

    def decay(rate: float, a: tuple[Array, Array], b: tuple[Array, Array]) -> float:
        shift, spread = a[0][:, None] - b[0], a[1][:, None] + b[1]
        values = np.exp(-rate * shift**2 / (1 + 2 * rate * spread)) / np.sqrt(1 + 2 * rate * spread)
        return float(values.prod(-1)[apart].mean())

    total = 0.0
    for scale in (0.1, 0.2, 0.5, 1, 2, 5, 10):
        c = 2 * mean.shape[1] * scale
        for sign, a, b in ((1, here, here), (1, prior, prior), (-2, here, prior)):
            if kernel == "gaussian":
                total += sign * decay(1 / c, a, b) / 7
            else:
                total += sign * float(weight @ np.array([decay(u / c, a, b) for u in node])) / 7
    return total


def _linear(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a network that is one linear layer."""
    (found,) = (module for module in layer.modules() if isinstance(module, nn.Linear))
    return found.weight.detach().cpu().double(), found.bias.detach().cpu().double()


def _mean_deceit(direction: Tensor, offset: Tensor, t: Truth) -> Tensor:
    """E[log(1 + exp(-(direction . z + offset)))] over items, by quadrature."""
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    centre, spread = t.mean @ direction + offset, (t.scale.square() @ direction.square()).sqrt()
    odds = centre[:, None] + spread[:, None] * torch.from_numpy(node)
    deceit: Tensor = (nn.functional.softplus(-odds) @ torch.from_numpy(weight / weight.sum())).mean()
    return deceit


def correlated_by_a_line(objective: Any, t: Truth) -> Tensor:
    """FactorVAE with a discriminator that is one linear layer."""
    weight, bias = _linear(objective.discriminator)
    loss: Tensor = t.loss + objective.gamma * (t.mean @ weight[0] + bias).mean()
    return loss


def deceived_by_a_line(objective: Any, t: Truth) -> Tensor:
    """The adversarial autoencoder with a discriminator that is one linear layer."""
    weight, bias = _linear(objective.discriminators)
    loss: Tensor = t.distortion + objective.strength * _mean_deceit(weight[0], bias, t)
    return loss


def seen_by_a_line(objective: Any, t: Truth) -> Tensor:
    """The VAE-GAN with a discriminator that is two linear layers."""
    (see, look), (judge, threshold) = (_linear(layer) for layer in objective.discriminator)
    error = (t.x - t.mean @ t.model.weight.T - t.model.bias) @ see.T
    spread = t.scale.square() @ (see @ t.model.weight).square().sum(0)
    distance = (error.square().sum(-1) + spread).mean() / 2
    direction, offset = judge[0] @ see @ t.model.weight, judge[0] @ (see @ t.model.bias + look) + threshold
    deceit = _mean_deceit(direction, offset, t)
    loss: Tensor = t.kl.sum(-1).mean() + objective.likelihood * t.distortion + objective.similarity * distance + objective.strength * deceit
    return loss


def smooth(code: float, gradient: float) -> Expected:
    """The regularised autoencoder."""

    def expected(_: Any, t: Truth) -> Tensor:
        return t.distortion + code * (t.mean.square() + t.scale.square()).sum(-1).mean() / 2 + gradient * t.model.weight.square().sum()

    return expected


def similar(strength: float, likelihood: float, beta: float) -> Expected:
    """The structural similarity of 4 x 4 pixels, whose window is 3 x 3, written out in numpy and averaged over q by quadrature."""

    def expected(_: Any, t: Truth) -> Tensor:
        z, weight = t.over(20)
        bell = np.exp(-(np.arange(-1, 2) ** 2) / (2 * 1.5**2))
        window = np.outer(bell, bell) / np.outer(bell, bell).sum()
        images = (z @ t.model.weight.numpy().T + t.model.bias.numpy()).reshape(-1, len(t.x), 4, 4)
        truth = np.broadcast_to(t.x.numpy().reshape(-1, 4, 4), images.shape)
        terms = []
        for i in range(2):
            for j in range(2):
                a, b = (of[..., i : i + 3, j : j + 3] for of in (truth, images))
                m, n = ((of * window).sum((-2, -1)) for of in (a, b))
                v, w = ((of**2 * window).sum((-2, -1)) - mean**2 for of, mean in ((a, m), (b, n)))
                both = (a * b * window).sum((-2, -1)) - m * n
                terms.append((2 * m * n + 1e-4) * (2 * both + 9e-4) / ((m**2 + n**2 + 1e-4) * (v + w + 9e-4)))
        similarity = np.clip(np.mean(terms, 0), 1e-4, None)
        return beta * t.kl.sum(-1).mean() + likelihood * t.distortion + strength * float((1 - weight @ similarity).mean())

    return expected
