"""Every likelihood sums, or integrates, to one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from vaeworks.check.quadrature import Support, nodes, product
from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.distributions import Observable
from vaeworks.likelihoods import LIKELIHOODS, Likelihood

__all__ = ["SUPPORTS", "check_normalisation", "log_total"]

SUPPORTS: Final[dict[str, tuple[Support, int]]] = {
    "bernoulli": ("levels", 2),
    "continuous-bernoulli": ("unit", 0),
    "gaussian": ("real", 0),
    "laplace": ("real", 0),
    "discretised-logistic": ("levels", 32),
    "discretised-logistic-mixture": ("levels", 32),
    "categorical": ("levels", 32),
}
"""Likelihood -> what a coordinate of x can be, and its number of levels."""

EVENT = (2, 1, 1)
"""One pixel of two channels: small enough to visit all there is, large enough for dependence between coordinates."""


def check_normalisation(setting: Setting) -> Iterator[CheckResult]:
    """One result per likelihood: of ordinary, wide and extreme features the total furthest from one."""
    for name, family in LIKELIHOODS.items():
        support, levels = SUPPORTS[name]
        likelihood = family(EVENT, levels).to(setting.device, setting.dtype).eval()
        totals = [total for spread in (1.0, 10.0, 100.0) for total in _totals(likelihood, support, spread, setting)]
        yield compare(
            f"normalisation: {name}",
            f"{'sum' if support == 'levels' else 'integral'} of p(x | z) over all x of two coordinates; the total of a probability is 1",
            max(totals, key=lambda total: abs(total - 1)),
            1.0,
            setting.rounding(1e-6, 1e-3),
        )


@torch.no_grad()
def _totals(likelihood: Likelihood, support: Support, spread: float, setting: Setting) -> Iterator[float]:
    """Totals at two draws of features of the given spread."""
    for features in spread * torch.randn(2, *likelihood.parameter_shape):
        yield float(log_total(likelihood(features.to(setting.device, setting.dtype)), support, likelihood.levels).exp())


def log_total(p: Observable, support: Support, levels: int, given: Tensor | None = None) -> Tensor:
    """log of the sum or integral of p, of batch shape (), over the coordinates that are NaN in ``given`` (*event), the others fixed there.

    Over all coordinates where ``given`` is None.
    """
    mean = p.mean
    place = torch.full(p.event_shape, torch.nan) if given is None else given
    rules = []
    for value, centre in zip(place.flatten().tolist(), mean.flatten().tolist(), strict=True):
        fixed = (torch.tensor([value], dtype=torch.float64), torch.ones(1, dtype=torch.float64))
        rules.append(nodes(support, levels=levels, centre=centre) if math.isnan(value) else fixed)
    points, log_weight = product(rules)
    log_p: Tensor = p.log_prob(points.reshape(-1, *p.event_shape).to(mean))
    return (log_p + log_weight.to(mean)).logsumexp(0)
