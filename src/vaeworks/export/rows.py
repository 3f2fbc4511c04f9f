"""Rows of tables in graphs: medians, and draws by explicit noise, of every kind of column, in operations that ONNX has."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vaeworks.distributions import Columns, Row
from vaeworks.distributions.count_columns import CountColumns
from vaeworks.distributions.margins import COUNTS
from vaeworks.distributions.number_columns import ColumnGroup, NormalColumns, StudentColumns
from vaeworks.distributions.symbol_columns import BooleanColumns, CategoryColumns
from vaeworks.errors import ArtifactError
from vaeworks.likelihoods.table import TableLikelihood

__all__ = ["MOST_COUNTS", "Rows", "row_parameters"]

MOST_COUNTS = 4096
"""The largest count whose distribution function a graph adds up."""
HALVINGS = 40


class Rows:
    """What is made of the rows of a ``TableLikelihood``: numbers as x has them, not yet brought to their grid."""

    def __init__(self, likelihood: TableLikelihood):
        self.size = len(likelihood.margins)
        self.places: list[list[int]] = [part.order for part in likelihood.parts]  # type: ignore[misc]
        """The columns of each group."""
        self.most = [[likelihood.margins[j].high for j in places] for places in self.places]
        """The greatest value of each in training, beyond which no count is written."""
        highest = max((margin.high for margin in likelihood.margins if margin.kind in COUNTS), default=0)
        if highest > MOST_COUNTS:
            raise ArtifactError(
                f"a column of counts up to {highest:,.0f} cannot be exported: a graph adds up probabilities of {MOST_COUNTS:,} at most;"
                " train with that column as --column NAME=quantile, or use --format safetensors"
            )

    def median(self, row: Row) -> Tensor:
        """Medians of numbers and counts, the most probable of categories, (..., D)."""
        return self._together(row.base, lambda group, i: _median(group, self.most[i]))

    def draw(self, row: Row, uniform: Tensor, noise: Tensor) -> Tensor:
        """A draw of each column (..., D) by its own ``uniform`` and standard normal ``noise`` (..., D)."""
        return self._together(row.base, lambda group, i: _draw(group, uniform[..., self.places[i]], noise[..., self.places[i]], self.most[i]))

    def _together(self, columns: Columns, part: Callable[[ColumnGroup, int], Tensor]) -> Tensor:
        made = [part(group, i) for i, (_, group) in enumerate(columns.groups)]
        place = [0] * self.size
        for at, j in enumerate(j for places in self.places for j in places):
            place[j] = at
        return torch.cat(made, -1)[..., place]


def row_parameters(row: Row) -> dict[str, Tensor]:
    """What each group of columns is made of, by name: ``places`` of their columns are told by ``group_columns``."""
    found: dict[str, Tensor] = {}
    for i, (_, group) in enumerate(row.base.groups):
        for name, value in _parts(group).items():
            found[f"group{i}_{name}"] = value
    return found


def _parts(group: ColumnGroup) -> dict[str, Tensor]:
    if isinstance(group, NormalColumns):
        weights = {} if group.log_weights is None else {"log_weights": group.log_weights}
        return {"loc": group.loc, "log_scale": group.log_scale, **weights}
    if isinstance(group, StudentColumns):
        return {"student_loc": group.loc, "log_scale": group.log_scale}
    if isinstance(group, CategoryColumns):
        return {"log_probabilities": group.log_p}
    if isinstance(group, BooleanColumns):
        return {"logits": group.logits}
    assert isinstance(group, CountColumns)
    told = {"log_mean": group.log_mean, "log_dispersion": group.log_r, "zero_logits": group.zero_logits}
    return {name: value.float() for name, value in told.items() if value is not None}


def _median(group: ColumnGroup, most: list[float]) -> Tensor:
    if isinstance(group, CountColumns):
        return _count(group, torch.full_like(group.log_mean, 0.5), most)
    if isinstance(group, NormalColumns) and group.log_weights is not None:
        low, high, shrink, weight = group.loc.amin(-1), group.loc.amax(-1), torch.exp(-group.log_scale), group.log_weights.exp()
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            below = 0.5 + 0.5 * torch.erf((middle.unsqueeze(-1) - group.loc) * shrink * math.sqrt(0.5))
            less = (weight * below).sum(-1) < 0.5
            low, high = torch.where(less, middle, low), torch.where(less, high, middle)
        return (low + high) / 2
    if isinstance(group, NormalColumns):
        return group.loc[..., 0]
    return group.loc if isinstance(group, StudentColumns) else group.mode


def _draw(group: ColumnGroup, uniform: Tensor, noise: Tensor, most: list[float]) -> Tensor:
    if isinstance(group, NormalColumns):
        if group.log_weights is None:
            return group.loc[..., 0] + group.log_scale[..., 0].exp() * noise
        at = _component(group.log_weights.exp(), uniform).unsqueeze(-1)
        loc, log_scale = (t.gather(-1, at).squeeze(-1) for t in (group.loc, group.log_scale))
        return loc + log_scale.exp() * noise
    if isinstance(group, StudentColumns):  # closed form of the quantile of 4 degrees of freedom
        few = torch.minimum(uniform, 1 - uniform).clamp_min(1e-7)
        root = (4 * few * (1 - few)).sqrt()
        t = 2 * (torch.cos(torch.acos(root.clamp_max(1)) / 3) / root - 1).clamp_min(0).sqrt()
        return group.loc + group.log_scale.exp() * torch.where(uniform > 0.5, t, -t)
    if isinstance(group, CategoryColumns):
        return _component(group.log_p.exp(), uniform).to(uniform.dtype)
    if isinstance(group, BooleanColumns):
        return (uniform < torch.sigmoid(group.logits)).to(uniform.dtype)
    assert isinstance(group, CountColumns)
    return _count(group, uniform.to(group.log_mean.dtype), most)


def _component(weights: Tensor, uniform: Tensor) -> Tensor:
    """(..., d) of ``weights`` (..., d, K)."""
    return (weights.cumsum(-1) <= uniform.unsqueeze(-1)).long().sum(-1).clamp_max(weights.shape[-1] - 1)


def _count(group: CountColumns, p: Tensor, most: list[float]) -> Tensor:
    """The least count whose distribution function reaches p (..., d), or the greatest one of training: probabilities from 0 up, each from the one before."""
    k = torch.arange(max(int(max(most)), 1), dtype=group.log_mean.dtype)
    log_mean = group.log_mean.unsqueeze(-1)
    if group.log_r is None:
        log_p = k * log_mean - log_mean.exp() - torch.lgamma(k + 1)
    else:
        log_r = group.log_r.unsqueeze(-1)
        ratio = log_mean - log_r
        rising = torch.log((k[:-1] + log_r.exp()) / (k[:-1] + 1)).cumsum(-1)  # of Gamma(k + r) / (Gamma(r) k!)
        start = -log_r.exp() * torch.nn.functional.softplus(ratio)
        log_p = start + k * torch.nn.functional.logsigmoid(ratio) + torch.cat([torch.zeros_like(start), rising], -1)
    reached = log_p.exp().cumsum(-1)
    if group.zero_logits is not None:
        none = torch.sigmoid(group.zero_logits).unsqueeze(-1)
        reached = none + (1 - none) * reached
    found = (reached < p.unsqueeze(-1)).long().sum(-1)
    return torch.minimum(found.to(torch.float32), torch.tensor(most, dtype=torch.float32))
