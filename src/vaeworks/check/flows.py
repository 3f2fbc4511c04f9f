"""The log determinant of every flow, against the determinant of its Jacobian by autograd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import get_args

import torch
from torch import Tensor, nn

from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.distributions import ForwardFlow
from vaeworks.distributions.flows import FlowKind, make_flow
from vaeworks.posteriors import PlanarPosterior, RadialPosterior

__all__ = ["check_flows"]

Map = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(D,) -> its image (D,), and the log of the absolute value of the Jacobian's determinant, ()."""

SIZE, CONTEXT, POINTS = 4, 3, 12


def check_flows(setting: Setting) -> Iterator[CheckResult]:
    """Flows moved far from the identity that they start at, at points two scales wide; those that can be followed backwards must come back."""
    points = 2 * torch.randn(POINTS, SIZE).to(setting.device, setting.dtype)
    for kind in get_args(FlowKind):
        flow = make_flow(kind, SIZE, CONTEXT, transforms=3, hidden=(16,)).to(setting.device, setting.dtype)
        _move(flow)
        context = torch.randn(CONTEXT).to(points)

        to_code, to_noise = (partial(flow.bijection, context=context, to_code=forwards) for forwards in (True, False))
        yield _determinant(kind, to_code, points, setting)
        yield _determinant(f"{kind}, inverse", to_noise, points, setting)
        with torch.no_grad():
            back = max(float((to_noise(to_code(point)[0])[0] - point).abs().max()) for point in points)
        about = "greatest difference of a point from itself, sent through the flow and back"
        yield compare(f"flows: {kind}, round trip", about, back, 0.0, setting.rounding(1e-8, 1e-2))
    for name, posterior in (("planar", PlanarPosterior(SIZE)), ("radial", RadialPosterior(SIZE))):
        flow_of_steps = posterior(torch.randn(*posterior.parameter_shape).to(points))
        assert isinstance(flow_of_steps, ForwardFlow)
        yield _determinant(name, flow_of_steps.transform, points, setting)


@torch.no_grad()
def _move(flow: nn.Module) -> None:
    """Its parameters as large as after long training."""
    for parameter in flow.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))


def _determinant(name: str, flow: Map, points: Tensor, setting: Setting) -> CheckResult:
    worst = 0.0
    for point in points:
        jacobian = torch.autograd.functional.jacobian(lambda u: flow(u)[0], point)
        exact = torch.linalg.slogdet(jacobian.double()).logabsdet
        with torch.no_grad():
            worst = max(worst, abs(float(flow(point)[1]) - float(exact)))
    about = f"log |det| of the flow at {len(points)} points, against that of its Jacobian by autograd: greatest difference in nats"
    return compare(f"flows: {name}", about, worst, 0.0, setting.rounding(1e-8, 1e-2))
