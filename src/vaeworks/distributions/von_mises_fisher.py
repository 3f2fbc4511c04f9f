"""Codes on the unit sphere: the von Mises-Fisher distribution, and the uniform one.

With m the ambient dimension and theta the angle between z and the mean direction, everything is an integral over one angle:
h(theta) = exp(kappa (cos(theta) - 1)) sin(theta)^(m - 2). It is smooth and has one peak, so Gauss-Legendre panels around that peak are exact to rounding
for any dimension and concentration; Bessel functions of high order, which under- and overflow, are never formed.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, register_kl

__all__ = ["UniformSphere", "VonMisesFisher", "log_angular_integral", "log_bessel"]

PANELS, ORDER = 32, 10
REACH = 12.0
"""Half the width of what is integrated, in standard deviations of the peak: beyond, h is below 1e-17 of its maximum."""
NEWTON = 60
"""Most steps of the safeguarded Newton iteration that inverts a distribution function; a handful suffice but in the farthest tails."""


@functools.cache
def _rule(order: int = ORDER) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    with torch.inference_mode(False):
        node, weight = np.polynomial.legendre.leggauss(order)
        return torch.from_numpy((node + 1) / 2), torch.from_numpy(weight / 2)


def _exact(value: Tensor) -> Tensor:
    """In double precision where the device has it."""
    return value if value.device.type == "mps" else value.double()


def _log_h(angle: Tensor, kappa: Tensor, size: int) -> Tensor:
    """kappa (cos(angle) - 1) + (m - 2) log sin(angle)."""
    log_h = -2 * kappa * torch.sin(angle / 2).square()
    return log_h if size == 2 else log_h + (size - 2) * torch.log(torch.sin(angle))


def _edges(kappa: Tensor, size: int) -> Tensor:
    """The ends of the panels, (..., PANELS + 1), over all of [0, pi] that matters."""
    n = size - 2
    cosine = 2 * kappa / (n + torch.sqrt(n**2 + 4 * kappa.square())) if n else torch.ones_like(kappa)
    peak = torch.acos(cosine.clamp(-1, 1))
    curvature = kappa * cosine + (n / (1 - cosine.square()).clamp_min(1e-300) if n else 0)
    reach = REACH / curvature.clamp_min(1e-6).sqrt()
    low, high = (peak - reach).clamp_min(0), (peak + reach).clamp_max(math.pi)
    return low.unsqueeze(-1) + (high - low).unsqueeze(-1) * torch.linspace(0, 1, PANELS + 1, dtype=kappa.dtype, device=kappa.device)


def _nodes(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights (..., ORDER) of the intervals from ``start`` to ``end``, (...)."""
    node, weight = (t.to(start) for t in _rule())
    length = (end - start).unsqueeze(-1)
    return start.unsqueeze(-1) + length * node, length * weight


def log_angular_integral(kappa: Tensor, size: int) -> Tensor:
    """log of the integral of h over [0, pi], in double precision; differentiable to any order in ``kappa`` >= 0, any shape."""
    kappa = _exact(kappa)
    with torch.no_grad():
        edges = _edges(kappa, size)
        angle, weight = (t.flatten(-2) for t in _nodes(edges[..., :-1], edges[..., 1:]))
    return (_log_h(angle, kappa.unsqueeze(-1), size) + weight.log()).logsumexp(-1)


def log_bessel(order: float, x: Tensor) -> Tensor:
    """log(exp(-x) I_order(x)), the modified Bessel function of the first kind exponentially scaled, x > 0 and twice the order an integer >= 0.

    I_v(x) = (x / 2)^v / (sqrt(pi) Gamma(v + 1/2)) times the integral of exp(x cos(theta)) sin(theta)^(2 v) (DLMF 10.32.2).
    """
    return log_angular_integral(x, round(2 * order) + 2) + order * torch.log(_exact(x) / 2) - 0.5 * math.log(math.pi) - math.lgamma(order + 0.5)


def _log_area(size: int) -> float:
    """log of the area of the unit sphere in ``size`` dimensions."""
    return math.log(2) + size / 2 * math.log(math.pi) - math.lgamma(size / 2)


class UniformSphere(Distribution):
    """Uniform on the unit sphere in ``size`` dimensions; densities are with respect to its area."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = True

    def __init__(self, like: Tensor):
        """``like`` (..., D) gives batch shape (...), the dimension, the dtype and the device; its values do not matter."""
        if like.shape[-1] < 2:
            raise ValueError(f"a sphere in {like.shape[-1]} dimension is two points: at least two dimensions are needed")
        self.like = like
        super().__init__(like.shape[:-1], like.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return torch.zeros_like(self.like)

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        noise = torch.randn(torch.Size(sample_shape) + self.like.shape, dtype=self.like.dtype, device=self.like.device)
        return torch.nn.functional.normalize(noise, dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return value.new_full(shape, -_log_area(value.shape[-1])) + 0 * value.sum(-1)  # a gradient of zero, not none

    def detached(self) -> UniformSphere:
        """Itself: it has no parameters."""
        return self


class VonMisesFisher(Distribution):
    """p(z) proportional to exp(kappa loc.z) on the unit sphere, with respect to its area (Davidson et al. 2018, arXiv:1804.00891).

    ``loc`` (..., D) of unit length, ``concentration`` (...) >= 0, D >= 2. Samples invert the distribution function of the angle to ``loc``, so their gradient is that of the
    distribution itself (implicit reparameterisation, Figurnov et al. 2018, arXiv:1805.08498): a rejection sampler's needs a correction of high variance.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = True

    def __init__(self, loc: Tensor, concentration: Tensor):
        if loc.shape[-1] < 2:
            raise ValueError(f"a sphere in {loc.shape[-1]} dimension is two points: at least two dimensions are needed")
        self.loc, self.concentration, self.size = loc, concentration, loc.shape[-1]
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    def mean_cosine(self) -> Tensor:
        """E[loc.z] = I_{D/2}(kappa) / I_{D/2-1}(kappa), (...)."""
        kappa = _exact(self.concentration)
        with torch.no_grad():
            edges = _edges(kappa, self.size)
            angle, weight = (t.flatten(-2) for t in _nodes(edges[..., :-1], edges[..., 1:]))
        probability = (_log_h(angle, kappa.unsqueeze(-1), self.size) + weight.log()).softmax(-1)
        return (probability * torch.cos(angle)).sum(-1).to(self.concentration)

    @property
    def mean(self) -> Tensor:
        """The mean, inside the sphere; the direction nearest to it is ``mode``."""
        return self.mean_cosine().unsqueeze(-1) * self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        # kappa (loc.z - 1) from the difference of the two, which cancels nothing when they are close
        exponent = -0.5 * self.concentration * (value - self.loc).square().sum(-1)
        log_total = log_angular_integral(self.concentration, self.size) + _log_area(self.size - 1)
        return exponent - log_total.to(exponent)

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        shape = torch.Size(sample_shape) + self.loc.shape
        angle = _angle(self.concentration, self.size, shape[:-1]).to(self.loc)
        noise = torch.randn(*shape[:-1], self.size - 1, dtype=self.loc.dtype, device=self.loc.device)
        around = torch.nn.functional.normalize(noise, dim=-1)
        # The reflection that takes the first axis, signed against loc, to loc: never near singular.
        sign = torch.where(self.loc[..., :1] > 0, -1.0, 1.0).to(self.loc)
        z = torch.cat([sign * torch.cos(angle).unsqueeze(-1), torch.sin(angle).unsqueeze(-1) * around], -1)
        normal = torch.cat([sign - self.loc[..., :1], -self.loc[..., 1:]], -1)
        return z - 2 * (z * normal).sum(-1, keepdim=True) / normal.square().sum(-1, keepdim=True) * normal

    def detached(self) -> VonMisesFisher:
        """The same density, no gradient reaching its parameters."""
        return VonMisesFisher(self.loc.detach(), self.concentration.detach())


def _angle(concentration: Tensor, size: int, shape: torch.Size) -> Tensor:
    """Angles to the mean direction, ``shape`` with the concentration's shape last, differentiable in the concentration.

    F(theta; kappa) = u at fixed u gives d theta / d kappa = -(dF / d kappa) / (dF / d theta), the integral of h (cos - E cos) up to theta over -h(theta).
    """
    kappa = _exact(concentration)
    with torch.no_grad():
        edges = _edges(kappa, size)
        angle, weight = _nodes(edges[..., :-1], edges[..., 1:])
        log_h = _log_h(angle, kappa[..., None, None], size)
        top = log_h.amax((-2, -1), keepdim=True)
        mass = torch.exp(log_h - top) * weight
        total = mass.sum((-2, -1), keepdim=True)
        mass /= total
        mean = (mass * torch.cos(angle)).sum((-2, -1))
        reached = torch.nn.functional.pad(mass.sum(-1).cumsum(-1), (1, 0))  # F at the edges
        u = torch.rand(shape, dtype=kappa.dtype, device=kappa.device).clamp(1e-12, 1 - 1e-12)
        panel = (u.unsqueeze(-1) > reached[..., 1:-1]).sum(-1, keepdim=True)
        low, high, start = (t.expand(*shape, -1).gather(-1, panel).squeeze(-1) for t in (edges[..., :-1], edges[..., 1:], reached[..., :-1]))
        log_top = (top + total.log())[..., 0, 0]

        def density(theta: Tensor) -> Tensor:
            extra = (1,) * (theta.dim() - len(shape))
            return torch.exp(_log_h(theta, kappa.reshape(kappa.shape + extra), size) - log_top.reshape(log_top.shape + extra))

        theta, least, most, done = (low + high) / 2, low, high, torch.zeros_like(u, dtype=torch.bool)
        settled = torch.finfo(theta.dtype).eps ** 0.5  # Newton squares the error: what moved by so little is there
        for _ in range(NEWTON):
            points, weights = _nodes(low, theta)
            excess = start + (density(points) * weights).sum(-1) - u
            most, least = torch.where(excess > 0, theta, most), torch.where(excess > 0, least, theta)
            guess = theta - excess / density(theta)
            inside = (guess >= least) & (guess <= most)
            step = torch.where(inside, guess, (least + most) / 2) - theta
            theta = torch.where(done, theta, theta + step)
            done |= step.abs() <= settled * (high - low)
            if bool(done.all()):
                break
        if not concentration.requires_grad:
            return theta
        points, weights = _nodes(low, theta)
        moved = torch.nn.functional.pad((mass * (torch.cos(angle) - mean[..., None, None])).sum(-1).cumsum(-1), (1, 0))
        change = moved[..., :-1].expand(*shape, -1).gather(-1, panel).squeeze(-1)
        change = change + (density(points) * (torch.cos(points) - mean.unsqueeze(-1)) * weights).sum(-1)
        slope = -change / density(theta)
    return theta + slope * (kappa - kappa.detach())


@register_kl(VonMisesFisher, UniformSphere)  # type: ignore[untyped-decorator]
def _kl_to_uniform(q: VonMisesFisher, _: UniformSphere) -> Tensor:
    """kappa (E cos - 1) - log Z(kappa) + log Z(0), (...): it does not depend on the direction."""
    kappa = _exact(q.concentration)
    nothing = _log_area(q.size) - _log_area(q.size - 1)
    return (kappa * (_exact(q.mean_cosine()) - 1) - log_angular_integral(kappa, q.size) + nothing).to(q.concentration)
