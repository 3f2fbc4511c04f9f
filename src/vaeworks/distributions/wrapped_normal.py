"""The wrapped normal on the Poincare ball: hyperbolic space of curvature -c as the ball of radius 1 / sqrt(c)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaeworks.distributions.flows import normal_points

__all__ = ["WrappedNormal", "exp_origin", "log_origin", "mobius_add"]


def _norm(x: Tensor) -> Tensor:
    """|x| (..., 1), away from zero so that ratios and gradients stay finite."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-15)
    return norm


def _inside(z: Tensor, c: float) -> Tensor:
    """Codes that rounding put on the rim, moved back to a distance of log(2 / edge) from the origin at most (12 in float32, 29 in float64; times 1 / sqrt(c))."""
    edge = 1e-5 if torch.finfo(z.dtype).eps > 1e-10 else 1e-13
    norm = _norm(z)
    most = (1 - edge) / math.sqrt(c)
    return torch.where(norm > most, z * (most / norm), z)


def mobius_add(x: Tensor, y: Tensor, c: float) -> Tensor:
    """x (+) y on the ball, (..., D): what translation is in flat space (Ungar 2008)."""
    xy, xx, yy = (x * y).sum(-1, keepdim=True), x.square().sum(-1, keepdim=True), y.square().sum(-1, keepdim=True)
    return ((1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y) / (1 + 2 * c * xy + c**2 * xx * yy)


def exp_origin(v: Tensor, c: float) -> Tensor:
    """The point (..., D) at distance |v| from the origin in the direction of v."""
    norm = math.sqrt(c) * _norm(v)
    return _inside(torch.tanh(norm / 2) / norm * v, c)


def log_origin(z: Tensor, c: float) -> Tensor:
    """The inverse of ``exp_origin``."""
    z = _inside(z, c)
    norm = math.sqrt(c) * _norm(z)
    return 2 * torch.atanh(norm) / norm * z


class WrappedNormal(Distribution):
    """z = loc (+) exp_0(v), v ~ N(0, diag(scale^2)): a normal in the tangent space at ``loc`` laid on the ball (Nagano et al. 2019, arXiv:1902.02992; Mathieu et al. 2019, arXiv:1901.06033).

    |v| is the distance from loc to z. The density is with respect to the Lebesgue measure of the ball's coordinates, as everywhere in this package:
    log p(z) = log N(v; 0, scale^2) - (D - 1) log(sinh(s) / s) + D log(2 / (1 - c |z|^2)), s = sqrt(c) |v|; without the last term it is the Riemannian density.

    ``loc`` (..., D) inside the ball, ``scale`` (..., D) in units of distance. At the origin it is the matching prior.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, curvature: float = 1.0):
        if not curvature > 0:
            raise ValueError(f"curvature={curvature}: the ball has curvature -c with c > 0; for flat space use a 'diagonal' posterior")
        self.loc: Tensor
        self.scale: Tensor
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        self.curvature = float(curvature)
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:], validate_args=False)

    def _lay(self, noise: Tensor) -> Tensor:
        """Standard normal noise (..., D) to codes."""
        c = self.curvature
        return _inside(mobius_add(self.loc, exp_origin(self.scale * noise, c), c), c)

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        return self._lay(torch.randn(torch.Size(sample_shape) + self.loc.shape, dtype=self.loc.dtype, device=self.loc.device))

    def log_prob(self, value: Tensor) -> Tensor:
        c, size = self.curvature, self.loc.shape[-1]
        value = _inside(value, c)
        v = log_origin(mobius_add(-self.loc, value, c), c)
        flat = -0.5 * ((v / self.scale).square() + math.log(2 * math.pi)) - self.scale.log()
        s = math.sqrt(c) * _norm(v)
        stretch = s + torch.log(-torch.expm1(-2 * s) / (2 * s))  # log(sinh(s) / s) without overflow
        volume = math.log(2) - torch.log1p(-c * value.square().sum(-1))
        return flat.sum(-1) - (size - 1) * stretch.squeeze(-1) + size * volume

    @property
    def mean(self) -> Tensor:
        """The mean of the coordinates to within quadrature, a point of the ball: the average of 256 fixed noise points (Sobol, with both signs)."""
        size = self.loc.shape[-1]
        points = normal_points(size).to(self.loc).view(-1, *(1 for _ in self.batch_shape), size)
        return self._lay(points).mean(0)

    @property
    def mode(self) -> Tensor:
        """Where the Riemannian density is largest: ``loc``."""
        return self.loc

    def detached(self) -> WrappedNormal:
        """The same density, no gradient reaching its parameters."""
        return WrappedNormal(self.loc.detach(), self.scale.detach(), self.curvature)
