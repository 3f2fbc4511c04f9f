"""Noise about a number, measured on the raw scale: probabilities of the cells of a grid and of atoms, densities elsewhere; without a difference of nearly equal numbers."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaeworks.distributions.margins import Margin

__all__ = ["Cell", "Cells", "log_normal_cell", "log_normal_density", "log_student_cell"]

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
FARTHEST = 1e12
"""Greatest |x| that is told apart: squares of standardised numbers stay finite in float32."""
_nodes, _weights = np.polynomial.legendre.leggauss(4)
NODES: list[tuple[float, float]] = [(float(t), float(w)) for t, w in zip(_nodes[2:], _weights[2:], strict=True)]


class Cell(NamedTuple):
    """Where x lies, all of its shape (..., D)."""

    centre: Tensor
    half: Tensor
    """Half the width of its cell in x; 0 where x has a density."""
    log_measure: Tensor
    """log of the width of a cell, or log dx/dv of a density."""
    below: Tensor
    above: Tensor
    """Whether the cell reaches to -infinity, to infinity."""


def log_normal_density(z: Tensor) -> Tensor:
    """log of the standard normal's density."""
    return -0.5 * z.square() - HALF_LOG_TWO_PI


def log_normal_cell(z: Tensor, half: Tensor) -> Tensor:
    """log (Phi(z + half) - Phi(z - half)) - log(2 half), of a standard normal; the log density where half = 0.

    A narrow cell is integrated by Gauss and Legendre's rule of 4 nodes, relative to the density at its centre (error below 2e-9); a wide one is a difference of error
    functions, scaled in the tail by exp(t^2 / 2), t its edge nearest to the mean.
    """
    far = z.abs()
    narrow = (far * half < 0.5) & (half < 0.25)
    small_z, small = z.masked_fill(~narrow, 0), half.masked_fill(~narrow, 0)
    total = torch.zeros_like(small_z)
    for node, weight in NODES:
        total = total + weight * torch.exp(-0.5 * (node * small).square()) * torch.cosh(small_z * small * node)
    inside = log_normal_density(small_z) + total.log()
    # Wide: P = exp(-t^2/2) [erfcx(t/s) - exp(-2 far half) erfcx((far + half)/s)] / 2 with s = sqrt 2; the mean within the cell (t < 0): a sum of two positive terms.
    root = math.sqrt(0.5)
    wide = half.masked_fill(narrow, 1)
    far = far.masked_fill(narrow, 0)
    near = far - wide
    outside = near > 0
    t = near.clamp_min(0)
    scaled = torch.special.erfcx(t * root) - torch.exp(-2 * far * wide) * torch.special.erfcx((far + wide) * root)
    tail = -0.5 * t.square() + scaled.masked_fill(~outside, 1).log()
    around = (torch.erf((far + wide) * root) + torch.erf(-near.clamp_max(0) * root)).masked_fill(outside, 1).log()
    spanned = torch.where(outside, tail, around) - math.log(2) - (2 * wide).log()
    return torch.where(narrow, inside, spanned)


def log_student_cell(z: Tensor, half: Tensor) -> Tensor:
    """log (F(z + half) - F(z - half)) - log(2 half) of a Student's t of 4 degrees of freedom; the log density where half = 0.

    With u = t / sqrt(t^2 + 4), F = 1/2 + 3/4 u - 1/4 u^3, and q = 1 - u is known without cancellation: F(b) - F(a) = (u_b - u_a) (3 (q_a + q_b) - q_a^2 - q_a q_b - q_b^2) / 4.
    """
    far = z.abs()
    upper, lower = far + half, far - half
    ru, rl = (upper.square() + 4).sqrt(), (lower.square() + 4).sqrt()
    # (u_b - u_a) / (b - a) = 4 share / (r_a r_b), with share = (a + b) / (b r_a + a r_b) where both have one sign.
    same = lower > 0
    one_sided = 2 * far / (upper * rl + lower * ru).masked_fill(~same, 1)
    width = (2 * half).masked_fill(same | (half == 0), 1)
    two_sided = torch.where(half == 0, 1 / ru, (upper * rl - lower * ru) / width / 4)
    log_slope = torch.where(same, one_sided, two_sided).log() - ru.log() - rl.log()
    qu, ql = _survival(upper, ru), _survival(lower, rl)
    return log_slope + (3 * (qu + ql) - qu.square() - qu * ql - ql.square()).log()


def _survival(t: Tensor, r: Tensor) -> Tensor:
    """1 - t / r, r = sqrt(t^2 + 4)."""
    positive = t > 0
    return torch.where(positive, 4 / (r * (r + t.clamp_min(0))), 1 - t.clamp_max(0) / r)


class Cells:
    """The cells of D numbers x, from their margins: pieces between the breaks of each column's map, each cut into cells of equal width, or of a density.

    Tables of D rows and one entry per piece are kept in float64, and once for every device and dtype that asks.
    """

    def __init__(self, margins: tuple[Margin, ...]):
        rows = [_pieces(margin) for margin in margins]
        most = max(len(breaks) for breaks, _ in rows)
        breaks = np.full((len(rows), most), np.inf)
        tables = np.zeros((len(rows), 5, most + 1))
        for i, (own, pieces) in enumerate(rows):
            breaks[i, : len(own)] = own
            tables[i, :, : pieces.shape[1]] = pieces
            tables[i, :, pieces.shape[1] :] = pieces[:, -1:]
        self.any_mass = any(margin.is_mass or any(a < b for a, b in zip(margin.lower, margin.upper, strict=True)) for margin in margins)
        self.any_open = any(margin.kind == "ordinal" or (margin.kind == "log-normal" and margin.step > 0) for margin in margins)
        self.is_mass = tuple(margin.is_mass for margin in margins)
        logs = [i for i, margin in enumerate(margins) if margin.kind == "log-normal"]
        self._logs = logs
        about = [[margins[i].scale, margins[i].shift, margins[i].step, margins[i].low - margins[i].origin] for i in logs]
        self._double = (
            torch.from_numpy(breaks),
            torch.from_numpy(tables),
            torch.tensor(about, dtype=torch.float64).reshape(-1, 4),
            torch.tensor(logs),
        )
        self._kept: dict[Any, tuple[Tensor, ...]] = {}

    def _tables(self, like: Tensor) -> tuple[Tensor, ...]:
        key = (like.device, like.dtype)
        if key not in self._kept:
            breaks, tables, about, logs = self._double
            self._kept[key] = (breaks.to(like), *(t.to(like) for t in tables.unbind(1)), about.to(like), logs.to(like.device))
        return self._kept[key]

    def __call__(self, x: Tensor) -> Cell:
        """The cells of x (..., D)."""
        breaks, anchors, widths, _, measures, atoms, about, logs = self._tables(x)
        shape = x.shape
        flat = x.clamp(-FARTHEST, FARTHEST).reshape(-1, shape[-1]).T.contiguous()
        piece = torch.searchsorted(breaks, flat.detach(), right=True)
        anchor, width, measure = (table.gather(1, piece) for table in (anchors, widths, measures))
        atom = atoms.gather(1, piece)
        cell = width.masked_fill(width == 0, 1)
        index = torch.floor((flat - anchor) / cell).masked_fill(atom != 0, 0)
        centre = torch.where(width > 0, anchor + (index + 0.5) * cell, flat)
        never = torch.zeros_like(centre, dtype=torch.bool)
        out = Cell(centre, width / 2, measure, *((atom == 2, atom == 3) if self.any_open else (never, never)))
        if self.any_open:  # an ordinal of one value reaches both ways
            out = out._replace(below=(atom == 2) | (atom == 4), above=(atom == 3) | (atom == 4))
        if self._logs:
            own = _log_cells(flat[logs], about)
            out = Cell(*(table.index_copy(0, logs, part.to(table)) for table, part in zip(out, own, strict=True)))
        return Cell(*(part.T.reshape(shape) for part in out))

    def snap(self, x: Tensor) -> Tensor:
        """x (..., D) brought to the number that stands for its cell: what ``Margin.to_x`` would give."""
        breaks, anchors, widths, centres, _, atoms, about, logs = self._tables(x)
        flat = x.clamp(-FARTHEST, FARTHEST).reshape(-1, x.shape[-1]).T.contiguous()
        piece = torch.searchsorted(breaks, flat, right=True)
        atom, width, anchor = atoms.gather(1, piece), widths.gather(1, piece), anchors.gather(1, piece)
        cell = width.masked_fill(width == 0, 1)
        even = anchor + (torch.floor((flat - anchor) / cell) + 0.5) * cell
        out = torch.where(atom != 0, centres.gather(1, piece), torch.where(width > 0, even, flat))
        if self._logs:
            scale, shift, step, _ = about.T[..., None]
            y = _on_log_grid(flat[logs], about)
            out = out.index_copy(0, logs, torch.where(step > 0, (y.log() - shift) / scale, flat[logs]))
        return out.T.reshape(x.shape)


def _pieces(margin: Margin) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Breaks (M,) in x and, of the M + 1 pieces: anchor, width of a cell, the x of an atom, log measure, and what it is (0 piece, 1 atom, 2 open below, 3 above, 4 both)."""
    step = margin.step
    if margin.kind == "ordinal":
        lower, upper = np.array(margin.lower), np.array(margin.upper)
        what = np.ones(len(lower))
        what[0], what[-1] = 2, 3
        if len(what) == 1:
            what[0] = 4
        width = upper - lower
        return upper[:-1], np.stack([lower, width, margin.to_x(margin.knots), np.log(width), what])
    if margin.kind == "quantile":
        raw, scores, atom = margin.breaks()
        knots, edge = np.array(margin.knots), np.where(np.array(margin.lower) < np.array(margin.upper))[0]
        with np.errstate(divide="ignore"):
            slope = np.diff(scores) / np.diff(raw)
        slope = np.concatenate([[1 / margin.tails[0]], slope, [1 / margin.tails[1]]])
        what = np.concatenate([[0.0], atom, [0.0]])
        anchor = np.concatenate([scores[:1], scores])
        width = np.where(what == 1, np.concatenate([[0.0], np.diff(scores), [0.0]]), step * np.where(what == 1, 0, slope))
        centre = np.zeros_like(anchor)
        centre[what == 1] = margin.to_x(knots[edge])
        return scores, np.stack([anchor, width, centre, np.log(np.where(width > 0, width, slope)), what])
    if margin.kind == "log-normal":
        return np.zeros(1), np.zeros((5, 2))
    start = (margin.low - step / 2 - margin.shift) / margin.scale
    log_measure = math.log(step / margin.scale) if step else -math.log(margin.scale)
    return np.array([start]), np.array([[start] * 2, [step / margin.scale] * 2, [0.0] * 2, [log_measure] * 2, [0.0] * 2])


def _on_log_grid(x: Tensor, about: Tensor) -> Tensor:
    """v - origin of log-normal columns (L, N), at the nearest value of the grid where there is one that float32 can tell."""
    scale, shift, step, first = about.T[..., None]
    y = torch.exp((x * scale + shift).clamp(-80, 80))
    whole = step.masked_fill(step == 0, 1)
    rounded = first + torch.round((y - first) / whole) * whole
    rounded = torch.where(rounded < 0.4 * whole, rounded + whole, rounded)
    return torch.where((step > 0) & (y < 1e5 * step), rounded, y)


def _log_cells(x: Tensor, about: Tensor) -> tuple[Tensor, ...]:
    """As ``Cell``, of log-normal columns (L, N): a cell [v - h, v + h] is no longer even about x, and its measure varies with v."""
    scale, shift, step, _ = about.T[..., None]
    y = _on_log_grid(x, about)
    share = 0.5 * step / y
    below = (step > 0) & (share > 0.7)  # reaches down to the origin
    up, down = torch.log1p(share) / scale, -torch.log1p(-share.clamp_max(0.7)) / scale
    mass = step > 0
    at = torch.where(mass, (y.log() - shift) / scale, x)
    centre, half = torch.where(mass, at + (up - down) / 2, x), torch.where(mass, (up + down) / 2, 0)
    measure = torch.where(mass, (2 * half).masked_fill(~mass, 1).log(), -scale.log() - shift - scale * x)
    return centre, half, measure, below, torch.zeros_like(below)
