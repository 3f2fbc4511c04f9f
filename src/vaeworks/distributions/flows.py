"""Normalising flows: the one file that knows zuko.

For priors and posteriors alike:

    module = make_flow(kind, size, context_size, transforms=3, hidden=(64, 64))  # an nn.Module
    p = module()                                                                 # Flow, batch shape (), when context_size is 0
    q = module(context)                                                          # Flow, batch shape (B,), for context (B, C)
    q = module(context, loc, scale)                                              # the same, moved and stretched: loc + scale * z
"""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call

__all__ = ["Bijection", "Flow", "FlowKind", "FlowModule", "make_flow", "normal_points", "standard_normal"]

FlowKind = Literal["realnvp", "maf", "iaf", "spline"]
"""realnvp: affine couplings (Dinh et al. 2017, arXiv:1605.08803), cheap both ways. maf: masked autoregressive (Papamakarios et al. 2017, arXiv:1705.07057), cheap to evaluate, D
passes a transform to draw. iaf: its inverse (Kingma et al. 2016, arXiv:1606.04934), cheap to draw. spline: rational-quadratic couplings (Durkan et al. 2019, arXiv:1906.04032)."""

LOG_SCALE = 12.0
"""Bound on the log scale of all affine transforms together: codes of 100 stay finite in float32, squared and differentiated."""
STEEPEST = 20.0
"""Bound on the slope of a spline and its inverse, within which the quadratic that inverts it keeps its sign in float32."""
MEAN_POINTS = 128
"""Sobol points, each used with both signs, whose images are averaged for ``Flow.mean``."""


def make_flow(kind: FlowKind, size: int, context_size: int, *, transforms: int, hidden: tuple[int, ...]) -> FlowModule:
    """A flow over codes (..., size), near the identity before training; its conditioner networks read ``context_size`` numbers beside the code.

    Raises ValueError for an unknown kind, or less than one transform.
    """
    if transforms < 1:
        raise ValueError(f"transforms={transforms}: a flow needs at least one; without any it is the normal itself")
    flows = _zuko().flows
    univariate = _zuko().transforms
    shared: dict[str, Any] = {"features": size, "context": context_size, "transforms": transforms, "hidden_features": hidden, "activation": nn.ELU}
    affine = functools.partial(univariate.MonotonicAffineTransform, slope=math.exp(-LOG_SCALE / transforms))
    if kind == "realnvp":
        flow = flows.RealNVP(univariate=affine, **shared)
    elif kind in {"maf", "iaf"}:
        flow = flows.MAF(univariate=affine, **shared)
    elif kind == "spline":
        flow = flows.NSF(slope=1 / STEEPEST, passes=2, **shared)
    else:
        raise ValueError(f"no flow is called {kind!r}; there are realnvp, maf, iaf and spline")
    return FlowModule(size, context_size, Bijection(flow.transform, forwards=kind == "iaf"))


def _zuko() -> Any:
    """zuko, whose import turns torch's validation of distributions off for everybody: it is put back as it was."""
    before = Distribution._validate_args
    import zuko  # type: ignore[import-untyped]

    Distribution.set_default_validate_args(before)
    return zuko


class Bijection(nn.Module):
    """Noise (..., D) to code, and back, each with the log determinant of its Jacobian, (...).

    ``lazy`` is a zuko transform, context -> Transform, from noise to code when ``forwards``, from code to noise otherwise.
    """

    def __init__(self, lazy: nn.Module, *, forwards: bool):
        super().__init__()
        self.lazy, self.forwards = lazy, forwards
        for module in lazy.modules():
            if "hyper" in module._modules:
                network = module.get_submodule("hyper")
                _shrink(list(network[-1].parameters()))  # type: ignore[index]
                module.hyper = nn.Sequential(_Bounded(), network)
            elif "phi" in module._modules:
                _shrink(list(module.get_submodule("phi").parameters()))

    def forward(self, value: Tensor, context: Tensor | None, to_code: bool) -> tuple[Tensor, Tensor]:
        transform = self.lazy(context)
        if to_code != self.forwards:
            transform = transform.inv
        image, log_det = transform.call_and_ladj(value)
        return image, log_det


class _Bounded(nn.Module):
    """Bends what a conditioner network reads into (-10, 10), so that far codes and wild features give no wild transform."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(1 + (x / 10).square())


@torch.no_grad()
def _shrink(parameters: list[nn.Parameter]) -> None:
    """The transform that small parameters give is near the identity; not zero, so that gradients pass."""
    for parameter in parameters:
        parameter.mul_(0.01)


class FlowModule(nn.Module):
    """() or context (..., C), loc and scale (..., D) -> Flow."""

    def __init__(self, size: int, context_size: int, bijection: Bijection):
        super().__init__()
        self.size, self.context_size, self.bijection = size, context_size, bijection

    def forward(self, context: Tensor | None = None, loc: Tensor | None = None, scale: Tensor | None = None) -> Flow:
        return Flow(self, context if self.context_size else None, loc, scale)

    def __call__(self, context: Tensor | None = None, loc: Tensor | None = None, scale: Tensor | None = None) -> Flow:
        distribution: Flow = super().__call__(context, loc, scale)
        return distribution


class Flow(Distribution):
    """z = loc + scale * f(u), u ~ N(0, I): log q(z) = log N(u; 0, I) - log |det df/du| - sum log scale.

    ``f`` acts on standardised codes, where a transform bends a narrow posterior as well as a wide one. The density of the last sample drawn is remembered: ``log_prob`` of that very
    tensor inverts nothing, which for an inverse autoregressive flow saves D passes a transform.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = True

    def __init__(self, module: FlowModule, context: Tensor | None, loc: Tensor | None, scale: Tensor | None, *, fixed: bool = False):
        self.module, self.context, self.loc, self.scale, self.fixed = module, context, loc, scale, fixed
        self.parameter = next(module.parameters())
        self.drawn: tuple[Tensor, Tensor] | None = None
        shapes = [t.shape[:-1] for t in (context, loc, scale) if t is not None]
        super().__init__(torch.broadcast_shapes(*shapes) if shapes else torch.Size(), torch.Size((module.size,)), validate_args=False)

    @property
    def kept(self) -> int:
        """About how many numbers autograd keeps for a log density, for each number of a code: the layers of all conditioner networks, as often as they are asked."""
        bijection, size = self.module.bijection, self.module.size
        layers = sum(int(getattr(layer, "out_features", 0)) for layer in bijection.modules())
        return max(4, 3 * layers // (1 if bijection.forwards else size))  # an inverse autoregressive flow asks D times, once for each number

    def _map(self, value: Tensor, to_code: bool) -> tuple[Tensor, Tensor]:
        bijection = self.module.bijection
        if not self.fixed:
            image, log_det = bijection(value, self.context, to_code)
        else:
            image, log_det = functional_call(bijection, {n: p.detach() for n, p in bijection.named_parameters()}, (value, self.context, to_code))
        return image, log_det

    def _to_code(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """z (..., D), and log |det dz/du|, (...)."""
        z, log_det = self._map(u, True)
        if self.scale is not None:
            z, log_det = z * self.scale, log_det + self.scale.log().sum(-1)
        return (z if self.loc is None else z + self.loc), log_det

    def rsample_and_log_prob(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Samples (*sample_shape, *batch_shape, D) and their log densities."""
        shape = torch.Size(sample_shape) + self.batch_shape + self.event_shape
        u = torch.randn(shape, dtype=self.parameter.dtype, device=self.parameter.device)
        z, log_det = self._to_code(u)
        self.drawn = z, standard_normal(u) - log_det
        return self.drawn

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        return self.rsample_and_log_prob(sample_shape)[0]

    def log_prob(self, value: Tensor) -> Tensor:
        if self.drawn is not None and value is self.drawn[0] and (self.drawn[1].requires_grad or not torch.is_grad_enabled()):
            return self.drawn[1]
        y = value if self.loc is None else value - self.loc
        y = y if self.scale is None else y / self.scale
        u, log_det = self._map(y.expand(torch.broadcast_shapes(y.shape, self.batch_shape + self.event_shape)), False)
        log_p = standard_normal(u) + log_det
        return log_p if self.scale is None else log_p - self.scale.log().sum(-1)

    @property
    def mean(self) -> Tensor:
        """The mean to within quadrature: the average of 256 fixed noise points (Sobol, with both signs) sent through the flow."""
        points = normal_points(self.module.size).to(self.parameter)
        z, _ = self._to_code(points.view(-1, *(1 for _ in self.batch_shape), self.module.size).expand(-1, *self.batch_shape, -1))
        return z.mean(0)

    def detached(self) -> Flow:
        """The same density, no gradient reaching the module's parameters, the context, loc or scale. Inverts even the remembered sample: that is what the gradient needs."""
        context, loc, scale = (None if t is None else t.detach() for t in (self.context, self.loc, self.scale))
        return Flow(self.module, context, loc, scale, fixed=True)


def standard_normal(u: Tensor) -> Tensor:
    """log N(u; 0, I) over the last dimension."""
    return -0.5 * (u.square() + math.log(2 * math.pi)).sum(-1)


@functools.cache
def normal_points(size: int) -> Tensor:
    """Normal points (2 * MEAN_POINTS, size) of low discrepancy, antithetic, always the same."""
    with torch.inference_mode(False), torch.no_grad():
        uniform = torch.quasirandom.SobolEngine(size, scramble=True, seed=0).draw(MEAN_POINTS, dtype=torch.float64)
        normal = torch.special.ndtri(uniform.clamp(1e-9, 1 - 1e-9))
        return torch.cat([normal, -normal])
