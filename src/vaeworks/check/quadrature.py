"""Sums and integrals over a few coordinates, exact to rounding for everything that a likelihood can be."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

__all__ = ["Support", "nodes", "product"]

Support = Literal["levels", "unit", "real"]
"""A coordinate of x: one of so many levels in [0, 1]; a number in [0, 1]; any number."""


def nodes(support: Support, *, levels: int = 0, centre: float = 0.0) -> tuple[Tensor, Tensor]:
    """Points (P,) and weights (P,), float64, with sum_i weights_i f(points_i) = the sum or integral of f over the support.

    Integrals use Gauss-Legendre panels that double in length away from where a density may be steep: from both ends of the unit interval,
    from ``centre`` on the real line (a kink there does no harm).
    """
    if support == "levels":
        return torch.linspace(0, 1, levels, dtype=torch.float64), torch.ones(levels, dtype=torch.float64)
    if support == "unit":
        half = 2.0 ** np.arange(-12, 0)
        return _panels(np.concatenate([[0], half, 1 - half[-2::-1], [1]]))
    outward = np.concatenate([[0], 2.0 ** np.arange(-12, 15)])
    return _panels(centre + np.concatenate([-outward[:0:-1], outward]))


def _panels(edges: np.ndarray, order: int = 12) -> tuple[Tensor, Tensor]:
    """Gauss-Legendre quadrature of the given order between each two edges."""
    unit, weight = np.polynomial.legendre.leggauss(order)
    half = np.diff(edges)[:, None] / 2
    middle = (edges[1:] + edges[:-1])[:, None] / 2
    return torch.from_numpy((middle + half * unit).ravel()), torch.from_numpy((half * weight).ravel())


def product(coordinates: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The product rule: points (P, n) and log weights (P,) from n rules of one coordinate."""
    points = torch.cartesian_prod(*(x for x, _ in coordinates))
    weights = torch.cartesian_prod(*(weight for _, weight in coordinates))
    if len(coordinates) == 1:
        points, weights = points[:, None], weights[:, None]
    return points, weights.log().sum(-1)
