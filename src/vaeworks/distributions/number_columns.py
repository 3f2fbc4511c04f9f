"""Columns of numbers: mixtures of normals, or Student's t, about x, measured in the cells of each column's margin."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from scipy.special import log_ndtr, ndtri_exp
from torch import Tensor
from torch.distributions import Distribution

from vaeworks.distributions.cells import FARTHEST, Cells, log_normal_cell, log_normal_density, log_student_cell

__all__ = ["ColumnGroup", "NormalColumns", "StudentColumns"]


class ColumnGroup(Distribution):
    """Independent columns that compute the same, batch shape (..., D), scalar events."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = False

    @property
    @abstractmethod
    def median(self) -> Tensor:
        """The median (..., D); of categories, which have no order, the most probable one."""

    @abstractmethod
    def log_interval(self, low: Tensor, high: Tensor) -> Tensor:
        """log P(low <= x <= high) (..., D), for bounds that broadcast to it; infinite ones leave a side free."""

    @abstractmethod
    def sample_interval(self, low: Tensor, high: Tensor) -> Tensor:
        """One sample each of x given low <= x <= high, (..., D)."""


class _NumberColumns(ColumnGroup):
    """Noise of one family in x; a sample is brought to the number that stands for its cell. ``mean`` is that of the noise."""

    cells: Cells

    def _edges(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The outer edges of the cells whose own number lies in [low, high], whatever rounding has done to the bounds."""

        def edge(bound: Tensor, side: int) -> Tensor:
            finite = bound.isfinite()
            cell = self.cells(bound.masked_fill(~finite, 0))
            own = self.cells.snap(bound.masked_fill(~finite, 0))
            slack = 1e-4 * cell.half + 4 * torch.finfo(bound.dtype).eps * bound.masked_fill(~finite, 0).abs()
            inside = (own - bound) * side <= slack * (cell.half > 0)
            at = torch.where(inside, cell.centre + side * cell.half, cell.centre - side * cell.half)
            free = cell.above & inside if side > 0 else cell.below & inside
            return torch.where(finite, at.masked_fill(free, side * math.inf), bound)

        shape = torch.broadcast_shapes(low.shape, self.batch_shape[-1:])
        return edge(low.expand(shape), -1), edge(high.expand(shape), 1)

    def _within(self, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(self.cells.snap(x), low), high)


class NormalColumns(_NumberColumns):
    """p(x_j) = sum_c w_jc N(x_j; loc_jc, scale_jc^2): ``loc`` and ``log_scale`` (..., D, C), ``logits`` (..., D, C), or None where C = 1."""

    def __init__(self, cells: Cells, loc: Tensor, log_scale: Tensor, logits: Tensor | None = None):
        self.cells, self.loc, self.log_scale = cells, loc, log_scale.expand_as(loc)
        self.log_weights = None if logits is None else logits.log_softmax(-1)
        super().__init__(loc.shape[:-1], validate_args=False)

    def _mix(self, terms: Tensor) -> Tensor:
        return terms.squeeze(-1) if self.log_weights is None else (terms + self.log_weights).logsumexp(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        cell = self.cells(value)
        shrink = torch.exp(-self.log_scale)
        z = (cell.centre[..., None] - self.loc) * shrink
        if not self.cells.any_mass:
            return self._mix(log_normal_density(z) - self.log_scale) + cell.log_measure
        half = cell.half[..., None] * shrink
        terms = log_normal_cell(z, half) - self.log_scale + cell.log_measure[..., None]
        if self.cells.any_open:
            below, above = cell.below[..., None], cell.above[..., None]
            edge = torch.where(below, z + half, half - z).masked_fill(~(below | above), 0)
            terms = torch.where(below | above, torch.special.log_ndtr(edge), terms).masked_fill(below & above, 0)
        return self._mix(terms)

    def _log_between(self, low: Tensor, high: Tensor) -> Tensor:
        """log of the probability of each component (..., D, C) between two edges, -inf where they are out of order."""
        shrink = torch.exp(-self.log_scale)
        a, b = ((edge[..., None].clamp(-FARTHEST, FARTHEST) - self.loc) * shrink for edge in (low, high))
        # An edge so far beyond the other that nothing lies outside of it: a sum and a difference with it would only lose digits.
        free_below, free_above = a < -15 - (-b).clamp_min(0), b > 15 + a.clamp_min(0)
        half = ((b - a) / 2).clamp_min(0).masked_fill(free_below | free_above, 1)
        closed = log_normal_cell(((a + b) / 2).masked_fill(free_below | free_above, 0), half) + (2 * half).log()
        upper, lower = torch.special.log_ndtr(b), torch.special.log_ndtr(-a)
        log_p = torch.where(free_below, upper, torch.where(free_above, lower, closed)).masked_fill(free_below & free_above, 0)
        nothing = (low > high) | (low == math.inf) | (high == -math.inf)
        return log_p.masked_fill(nothing[..., None], -math.inf)

    def log_interval(self, low: Tensor, high: Tensor) -> Tensor:
        return self._mix(self._log_between(*self._edges(low, high)))

    def sample_interval(self, low: Tensor, high: Tensor) -> Tensor:
        with torch.no_grad():
            a, b = self._edges(low, high)
            loc, log_scale = self._pick(self._log_between(a, b))
            scale = log_scale.exp()
            first, last = ((torch.broadcast_to(edge, loc.shape) - loc) / scale for edge in (a, b))
            x = loc + scale * _truncated_normal(first, last)
            return self._within(x, low, high)

    def _pick(self, log_share: Tensor | None = None, sample_shape: torch.Size | tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """Location and log scale of a component drawn as often as it weighs, times exp(log_share)."""
        shape = torch.Size(sample_shape) + self.loc.shape
        if self.log_weights is None:
            return self.loc.expand(shape)[..., 0], self.log_scale.expand(shape)[..., 0]
        logits = (self.log_weights if log_share is None else self.log_weights + log_share).expand(shape)
        noise = -torch.log(-torch.log(torch.rand_like(logits).clamp(1e-7, 1 - 1e-7)))
        index = (logits + noise).argmax(-1, keepdim=True)
        return self.loc.expand(shape).gather(-1, index)[..., 0], self.log_scale.expand(shape).gather(-1, index)[..., 0]

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        with torch.no_grad():
            loc, log_scale = self._pick(None, sample_shape)
            return self.cells.snap(loc + log_scale.exp() * torch.randn_like(loc))

    @property
    def mean(self) -> Tensor:
        return self.loc[..., 0] if self.log_weights is None else (self.log_weights.exp() * self.loc).sum(-1)

    @property
    def mode(self) -> Tensor:
        """Of the components' locations the most probable in x."""
        if self.log_weights is None:
            return self.cells.snap(self.loc[..., 0])
        z = (self.loc[..., :, None] - self.loc[..., None, :]) * torch.exp(-self.log_scale)[..., None, :]
        density = (log_normal_density(z) - self.log_scale[..., None, :] + self.log_weights[..., None, :]).logsumexp(-1)
        return self.cells.snap(self.loc.gather(-1, density.argmax(-1, keepdim=True))[..., 0])

    @property
    def median(self) -> Tensor:
        if self.log_weights is None:
            return self.cells.snap(self.loc[..., 0])
        with torch.no_grad():  # it lies between the components' own; halved until rounding ends it
            low, high, shrink, weight = self.loc.amin(-1), self.loc.amax(-1), torch.exp(-self.log_scale), self.log_weights.exp()
            for _ in range(60 if self.loc.dtype == torch.float64 else 30):
                middle = (low + high) / 2
                less = (weight * torch.special.ndtr((middle[..., None] - self.loc) * shrink)).sum(-1) < 0.5
                low, high = torch.where(less, middle, low), torch.where(less, high, middle)
            return self.cells.snap((low + high) / 2)


def _truncated_normal(low: Tensor, high: Tensor) -> Tensor:
    """Standard normal given low <= x <= high, by its distribution function in logarithms, from the tail that is nearer."""
    a, b = (edge.double().cpu().numpy() for edge in (low, high))
    flip = np.maximum(a, -1e300) + np.minimum(b, 1e300) > 0
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)
    log_a, log_b = log_ndtr(a), log_ndtr(b)
    u = torch.rand(low.shape, dtype=torch.float64).clamp_min(1e-300).numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        x = ndtri_exp(np.minimum(log_b + np.log(u + (1 - u) * np.exp(np.minimum(log_a - log_b, 0))), 0))
    x = np.clip(np.where(np.isfinite(x), x, b), a, np.maximum(a, b))
    return torch.from_numpy(np.where(flip, -x, x)).to(low)


class StudentColumns(_NumberColumns):
    """x_j = loc_j + scale_j t, t Student's of 4 degrees of freedom, whose distribution function is known in closed form: ``loc`` and ``log_scale`` (..., D)."""

    def __init__(self, cells: Cells, loc: Tensor, log_scale: Tensor):
        self.cells, self.loc, self.log_scale = cells, loc, log_scale.expand_as(loc)
        super().__init__(loc.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        cell = self.cells(value)
        shrink = torch.exp(-self.log_scale)
        return log_student_cell((cell.centre - self.loc) * shrink, cell.half * shrink) - self.log_scale + cell.log_measure

    def _tail_edges(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self._edges(low, high)
        return tuple((edge.clamp(-FARTHEST, FARTHEST) - self.loc) * torch.exp(-self.log_scale) for edge in (a, b))  # type: ignore[return-value]

    def log_interval(self, low: Tensor, high: Tensor) -> Tensor:
        a, b = self._tail_edges(low, high)
        half, middle = (b - a) / 2, (a + b) / 2
        narrow = log_student_cell(middle, half.clamp_min(0)) + (2 * half).clamp_min(0).log()
        flip = middle > 0
        wide = (_student_below(torch.where(flip, -a, b)) - _student_below(torch.where(flip, -b, a))).log()
        log_p = torch.where(half < 0.5 * middle.abs(), narrow, wide)  # a sum and a difference of far edges would lose digits
        return log_p.masked_fill((half < 0) | (low > high), -math.inf).clamp_max(0)

    def sample_interval(self, low: Tensor, high: Tensor) -> Tensor:
        with torch.no_grad():
            a, b = self._tail_edges(low, high)
            flip = a + b > 0
            a, b = (edge.double() for edge in (torch.where(flip, -b, a), torch.where(flip, -a, b)))
            u = torch.rand_like(a)
            p = _student_below(a) * (1 - u) + _student_below(b) * u
            few = torch.minimum(p, 1 - p).clamp_min(1e-300)  # closed form of the quantile, 4 degrees of freedom
            root = (4 * few * (1 - few)).sqrt()
            t = -2 * (torch.cos(torch.acos(root.clamp_max(1)) / 3) / root - 1).clamp_min(0).sqrt()
            t = torch.minimum(torch.maximum(torch.where(p > 0.5, -t, t), a), b)
            x = self.loc + self.log_scale.exp() * torch.where(flip, -t, t).to(self.loc)
            return self._within(x, low, high)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        with torch.no_grad():
            noise = torch.randn(torch.Size(sample_shape) + self.batch_shape + (5,), dtype=self.loc.dtype, device=self.loc.device)
            t = noise[..., 0] / (noise[..., 1:].square().mean(-1)).sqrt()
            return self.cells.snap(self.loc + self.log_scale.exp() * t)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.cells.snap(self.loc)

    @property
    def median(self) -> Tensor:
        return self.cells.snap(self.loc)


def _student_below(t: Tensor) -> Tensor:
    """Distribution function of Student's t of 4 degrees of freedom, exact in the lower tail."""
    r = (t.square() + 4).sqrt()
    q = torch.where(t < 0, 4 / (r * (r - t.clamp_max(0))), 1 + t / r)
    return q.square() * (3 - q) / 4
