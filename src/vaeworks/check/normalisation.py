"""Every likelihood sums, or integrates, to one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Final, Literal

import torch
from torch import Tensor

from vaeworks.check.quadrature import Support, nodes, product
from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.check.rows import column_totals, example_margins, total_of_rows
from vaeworks.distributions import Observable
from vaeworks.distributions.tokens import END, PAD
from vaeworks.likelihoods import LIKELIHOODS, Likelihood, TableLikelihood

__all__ = ["SUPPORTS", "check_normalisation", "log_total"]

SUPPORTS: Final[dict[str, tuple[Support | Literal["strings"], int]]] = {
    "bernoulli": ("levels", 2),
    "continuous-bernoulli": ("unit", 0),
    "gaussian": ("real", 0),
    "laplace": ("real", 0),
    "discretised-logistic": ("levels", 32),
    "discretised-logistic-mixture": ("levels", 32),
    "categorical": ("levels", 32),
    "sound": ("real", 0),
    "table": ("real", 0),
    "tokens": ("strings", 5),
}
"""Likelihood -> what a coordinate of x can be, and its number of levels; of strings the number of tokens with PAD and END. Of rows of tables the columns' raw values are visited instead."""

EVENT = (2, 1, 1)
"""One pixel of two channels: small enough to visit all there is, large enough for dependence between coordinates."""

PLACES = 5
"""Of a string, its end among them."""


def check_normalisation(setting: Setting) -> Iterator[CheckResult]:
    """One result per likelihood: of ordinary, wide and extreme features the total furthest from one."""
    for name, family in LIKELIHOODS.items():
        if family is TableLikelihood:
            yield _rows(setting)
            continue
        support, levels = SUPPORTS[name]
        likelihood = family((PLACES,) if support == "strings" else EVENT, levels).to(setting.device, setting.dtype).eval()
        what = {"levels": "sum", "strings": "sum"}.get(support, "integral")
        where = f"strings of at most {PLACES - 1} tokens" if support == "strings" else "x of two coordinates"
        totals = [total for spread in (1.0, 10.0, 100.0) for total in _totals(likelihood, support, spread, setting)]
        yield compare(
            f"normalisation: {name}",
            f"{what} of p(x | z) over all {where}; the total of a probability is 1",
            max(totals, key=lambda each: abs(each - 1)),
            1.0,
            setting.rounding(1e-6, 1e-3),
        )


@torch.no_grad()
def _rows(setting: Setting) -> CheckResult:
    """Rows with a column of every kind: they are independent, so that each has a total of its own."""
    margins = example_margins()
    likelihood = TableLikelihood((len(margins),), margins, scale=0.5, scale_kind="column").to(setting.device, setting.dtype).eval()
    symbols = tuple(margin for margin in margins if margin.kind in ("ordinal", "categorical", "boolean"))
    small = TableLikelihood((len(symbols),), symbols).to(setting.device, setting.dtype).eval()
    totals: list[float] = []
    for spread in (0.0, 1.0, 10.0, 100.0):
        rows, few = (spread * torch.randn(each.parameter_shape).to(setting.device, setting.dtype) for each in (likelihood, small))
        totals += [*column_totals(likelihood.forward(rows), margins).tolist(), float(total_of_rows(small.forward(few), symbols))]
    about = f"sum or integral over the raw values of {len(margins)} columns of every kind, and over all rows of {len(symbols)} columns; the total of a probability is 1"
    return compare("normalisation: table", about, max(totals, key=lambda each: abs(each - 1)), 1.0, setting.rounding(1e-6, 1e-3))


@torch.no_grad()
def _totals(likelihood: Likelihood, support: Support | Literal["strings"], spread: float, setting: Setting) -> Iterator[float]:
    """Totals at two draws of features of the given spread."""
    for features in spread * torch.randn(2, *likelihood.parameter_shape):
        p = likelihood(features.to(setting.device, setting.dtype))
        total = _log_total_of_strings(p, likelihood.levels) if support == "strings" else log_total(p, support, likelihood.levels)
        yield float(total.exp())


def _log_total_of_strings(p: Observable, tokens: int) -> Tensor:
    """log of the sum of p over all strings with their end, of a vocabulary of ``tokens``."""
    (length,) = p.event_shape
    strings = [
        (*own, END, *(PAD,) * (length - 1 - count)) for count in range(length) for own in itertools.product(range(END + 1, tokens), repeat=count)
    ]
    log_p: Tensor = p.log_prob(torch.tensor(strings, device=p.estimate().device))
    return log_p.logsumexp(0)


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
