"""Rows of a table: the total probability of every column over all of its raw values."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaeworks.distributions import Margin, Row, fit_margin

__all__ = ["column_totals", "example_margins", "total_of_rows"]

NEAR = 400
"""Values of a grid that are added up one by one on either side of the median; what lies beyond is an interval's probability."""


def example_margins() -> tuple[Margin, ...]:
    """One of every kind, on a grid and continuous, fitted to a few hundred numbers."""
    generator = np.random.default_rng(0)
    normal, heavy, positive = generator.normal(5, 2, 400), generator.standard_t(2, 400), generator.lognormal(1, 0.7, 400)
    counts, few = generator.negative_binomial(2, 0.3, 400).astype(float), generator.integers(0, 5, 400)
    spiked = np.where(generator.random(400) < 0.4, 5.0, normal)
    zeros = np.where(generator.random(400) < 0.5, 0.0, counts)
    return (
        *(fit_margin(kind, normal) for kind in ("gaussian", "mixture", "quantile")),
        *(fit_margin(kind, np.rint(10 * normal), step=1.0) for kind in ("gaussian", "mixture", "quantile")),
        fit_margin("quantile", spiked),
        fit_margin("quantile", np.rint(10 * spiked) / 10, step=0.1),
        fit_margin("student", heavy),
        fit_margin("student", np.round(heavy, 1), step=0.1),
        fit_margin("log-normal", positive),
        fit_margin("log-normal", np.rint(4 * positive), step=1.0),
        fit_margin("ordinal", few.astype(float), step=1.0),
        fit_margin("categorical", few, size=6),
        fit_margin("boolean", few > 3),
        fit_margin("poisson", counts),
        fit_margin("negative-binomial", counts),
        fit_margin("zero-inflated", zeros),
    )


def column_totals(p: Row, margins: tuple[Margin, ...]) -> Tensor:
    """Sum or integral of p(x_j) over the raw values of each column, (D,), for p of batch shape (): 1 of what is a probability."""
    centre = p.base.median
    rules = [_rule(margin, float(x)) for margin, x in zip(margins, centre, strict=True)]
    most = max(len(points) for points, _, _, _ in rules)
    x, weight = torch.zeros(most, len(margins), dtype=torch.float64), torch.zeros(most, len(margins), dtype=torch.float64)
    for j, (points, weights, _, _) in enumerate(rules):
        x[: len(points), j], weight[: len(points), j] = torch.from_numpy(points), torch.from_numpy(weights)
    near = (p.base.log_prob(x.to(centre)).exp() * weight.to(centre)).sum(0)
    below, above = (torch.tensor([rule[i] for rule in rules], dtype=torch.float64).to(centre) for i in (2, 3))
    free = torch.full_like(below, math.inf)
    return near + p.base.log_interval(-free, below).exp() + p.base.log_interval(above, free).exp()


def total_of_rows(p: Row, margins: tuple[Margin, ...]) -> Tensor:
    """Sum of p over all rows of ordinal, categorical and boolean columns, (), for p of batch shape ()."""
    each = [margin.to_x(margin.knots or np.arange(margin.size)) for margin in margins]
    rows = torch.from_numpy(np.array(list(itertools.product(*each))))
    return p.log_prob(rows.to(p.mean)).exp().sum()


def _rule(margin: Margin, centre: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], float, float]:
    """Values x, their weights, and the x beyond which intervals stand for the rest (infinite where nothing is left); raw values are passed through ``Margin.to_x``."""
    if margin.kind in ("categorical", "boolean"):
        return np.arange(margin.size, dtype=float), np.ones(margin.size), -math.inf, math.inf
    if margin.kind == "ordinal":
        return margin.to_x(margin.knots), np.ones(len(margin.knots)), -math.inf, math.inf
    free = replace(margin, low=margin.low - 1e9 * margin.step if margin.step else -1e300, high=1e300)
    middle = float(free.to_values(np.array([centre]))[0])
    if margin.step:
        raw = middle + margin.step * np.arange(-NEAR - 1, NEAR + 2)
        if margin.kind not in ("gaussian", "student", "mixture", "quantile"):  # nothing lies below zero
            raw = raw[raw > min(margin.low, 0) - margin.step / 2]
            x = margin.to_x(raw)
            lowest = middle <= margin.step * NEAR + min(margin.low, 0)
            return (x[:-1], np.ones(len(x) - 1), -math.inf, x[-1]) if lowest else (x[1:-1], np.ones(len(x) - 2), x[0], x[-1])
        x = margin.to_x(raw)
        return x[1:-1], np.ones(len(x) - 2), x[0], x[-1]
    outward = np.concatenate([[0], 2.0 ** np.arange(-12, 2), np.arange(3, 12)])
    edges = centre + np.concatenate([-outward[:0:-1], outward])
    atoms = np.array([knot for knot, a, b in zip(margin.knots, margin.lower, margin.upper, strict=True) if a < b])
    between = edges[:-1, None] + np.diff(edges)[:, None] * np.linspace(0, 1, 5)[:-1]
    raw = np.unique(np.concatenate([free.to_values(between.ravel()), free.to_values(edges[-1:]), margin.knots]))
    unit, share = np.polynomial.legendre.leggauss(16)
    half = np.diff(raw)[:, None] / 2
    points = (raw[1:] + raw[:-1])[:, None] / 2 + half * unit
    x = np.concatenate([margin.to_x(points.ravel()), margin.to_x(atoms)])
    return x, np.concatenate([(half * share).ravel(), np.ones(len(atoms))]), float(margin.to_x(raw[:1])[0]), float(margin.to_x(raw[-1:])[0])
