"""The likelihood of rows of a table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Annotated, Final, Literal, cast

import numpy as np
import torch
from pydantic import Field
from scipy.special import ndtri
from torch import Tensor, nn

from vaeworks.distributions import Columns, Row
from vaeworks.distributions.cells import Cells
from vaeworks.distributions.count_columns import CountColumns
from vaeworks.distributions.margins import Margin
from vaeworks.distributions.number_columns import ColumnGroup, NormalColumns, StudentColumns
from vaeworks.distributions.symbol_columns import NEVER, BooleanColumns, CategoryColumns
from vaeworks.likelihoods.base import Likelihood, soft_clamp

__all__ = ["TableLikelihood"]

BEND: Final = 6.0
"""How far a feature moves a log scale, or the log of a dispersion."""
COUNT_BEND: Final = 12.0
"""How far a feature moves a log mean count."""


class TableLikelihood(Likelihood):
    """p(row | z) = product over columns of p(x_j | z), each of its margin's kind, on the raw scale: see ``Columns``.

    At features of zero each column follows about its own training margin: learning starts at independent columns. ``components``: normals in the noise of a mixture margin,
    ``quantile_components``: of a quantile margin. ``scale``: where the noise in x starts, 1 being all of the column's own spread. scale_kind: ``row``, a log scale from the network for every
    number of every row; ``column``, one learned number for each column.
    """

    discrete = False

    def __init__(
        self,
        event_shape: tuple[int, ...],
        margins: tuple[Margin, ...],
        *,
        components: Annotated[int, Field(gt=0, le=100)] = 3,
        quantile_components: Annotated[int, Field(gt=0, le=100)] = 1,
        scale: Annotated[float, Field(gt=0)] = 1.0,
        scale_kind: Literal["row", "column"] = "row",
    ):
        super().__init__(event_shape, 0)
        if event_shape != (len(margins),):
            raise ValueError(f"rows of shape {event_shape} need {math.prod(event_shape)} margins, not {len(margins)}")
        self.margins, self.scale_kind = margins, scale_kind
        self.discrete = all(margin.is_mass for margin in margins)
        many = {"mixture": components, "quantile": quantile_components}
        found: dict[tuple[str, int], list[int]] = {}
        for j, margin in enumerate(margins):
            found.setdefault(_group_of(margin, many), []).append(j)
        parts = [_PARTS[key[0]](columns, [margins[j] for j in columns], key[1], scale, scale_kind) for key, columns in sorted(found.items())]
        self.parts = nn.ModuleList(parts)
        place = torch.empty(len(margins), dtype=torch.long)
        place[torch.tensor([j for part in parts for j in part.order])] = torch.arange(len(margins))
        self.place: Tensor
        self.register_buffer("place", place, persistent=False)
        self.sizes = [part.size for part in parts]

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return (sum(self.sizes),)

    def forward(self, features: Tensor) -> Row:
        pieces = features.split(self.sizes, -1)
        parts = cast("Iterable[_Part]", self.parts)
        groups = tuple((part.columns, part(piece)) for part, piece in zip(parts, pieces, strict=True))
        return Row(Columns(groups, self.place))


def _group_of(margin: Margin, many: dict[str, int]) -> tuple[str, int]:
    """What computes the column, and one number that its group has in common."""
    if margin.kind == "categorical":
        return ("category", math.ceil(math.log(max(margin.size, 2), 4) - 1e-9))  # sizes up to 4, 16, 64 ...: padded to the largest
    if margin.kind in ("boolean", "student"):
        return (margin.kind, 0)
    if margin.kind in ("poisson", "negative-binomial", "zero-inflated"):
        return (margin.kind, 0)
    return ("normal", many.get(margin.kind, 1))


class _Part(nn.Module):
    """The columns of one group: features (..., size) -> their distribution."""

    columns: Tensor

    def __init__(self, columns: list[int], size: int):
        super().__init__()
        self.order, self.size = columns, size
        self.register_buffer("columns", torch.tensor(columns), persistent=False)

    def _bias(self, name: str, values: object) -> None:
        self.register_buffer(name, torch.from_numpy(np.asarray(values, dtype=np.float64)).to(torch.get_default_dtype()), persistent=False)


class _Numbers(_Part):
    """Normals, or Student's t: a location and, where ``scale_kind`` is row, a log scale for each component, and a logit for each where there are several."""

    offset: Tensor
    log_scale: Tensor

    def __init__(self, columns: list[int], margins: list[Margin], components: int, scale: float, scale_kind: str):
        d, c, self.student = len(columns), max(components, 1), components == 0
        self.per_row, self.components = scale_kind == "row", c
        super().__init__(columns, d * c * (1 + self.per_row + (c > 1)))
        self.cells = Cells(tuple(margins))
        # Several normals start apart, at the middles of equal shares of N(0, 1), as wide as makes their sum about that.
        offset = ndtri((np.arange(c) + 0.5) / c)
        self._bias("offset", offset)
        log_scale = torch.full((d, c), math.log(scale) + 0.5 * math.log(max(1 - float((offset**2).mean()), 1e-2)))
        if self.per_row:
            self.register_buffer("log_scale", log_scale, persistent=False)
        else:  # a tenth of log scale: see ScaledLikelihood
            self.tenth_of_log_scale = nn.Parameter(log_scale / 10)

    def forward(self, features: Tensor) -> ColumnGroup:
        loc, *rest = features.unflatten(-1, (-1, len(self.order), self.components)).unbind(-3)
        log_scale = self.log_scale + soft_clamp(rest.pop(0), BEND) if self.per_row else (10 * self.tenth_of_log_scale).clamp(-9.2, 9.2)
        if self.student:
            return StudentColumns(self.cells, loc[..., 0], log_scale[..., 0])
        return NormalColumns(self.cells, loc + self.offset, log_scale, rest[0] if rest else None)


class _Categories(_Part):
    """Logits of all categories of all columns side by side, each column's padded to the most that one has."""

    weights: Tensor
    index: Tensor
    missing: Tensor

    def __init__(self, columns: list[int], margins: list[Margin], *_: object):
        sizes = [margin.size for margin in margins]
        super().__init__(columns, sum(sizes))
        self.most = max(sizes)
        starts = [0, *itertools.accumulate(sizes)][:-1]
        index = np.zeros((len(sizes), self.most), dtype=np.int64)
        missing = np.ones_like(index, dtype=bool)
        for i, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            index[i, :size], missing[i, :size] = np.arange(start, start + size), False
        self.even = not missing.any()
        self.register_buffer("index", torch.from_numpy(index.ravel()), persistent=False)
        self.register_buffer("missing", torch.from_numpy(missing), persistent=False)
        self._bias("weights", np.concatenate([margin.weights or [0.0] * margin.size for margin in margins]))

    def forward(self, features: Tensor) -> ColumnGroup:
        logits = features + self.weights
        if not self.even:
            logits = logits.index_select(-1, self.index)
        logits = logits.unflatten(-1, (-1, self.most))
        return CategoryColumns(logits if self.even else logits.masked_fill(self.missing, NEVER))


class _Booleans(_Part):
    """One logit for each column."""

    logits: Tensor

    def __init__(self, columns: list[int], margins: list[Margin], *_: object):
        super().__init__(columns, len(columns))
        self._bias("logits", [margin.weights[1] - margin.weights[0] if margin.weights else 0.0 for margin in margins])

    def forward(self, features: Tensor) -> ColumnGroup:
        return BooleanColumns(features + self.logits)


class _Counts(_Part):
    """A log mean for each column; of negative binomials a log dispersion; of zero-inflated ones the logit of a further zero."""

    start: Tensor

    def __init__(self, columns: list[int], margins: list[Margin], *_: object):
        self.many = {"poisson": 1, "negative-binomial": 2, "zero-inflated": 3}[margins[0].kind]
        super().__init__(columns, self.many * len(columns))
        self._bias("start", [[m.shift for m in margins], [math.log(m.scale) for m in margins], [m.origin for m in margins]][: self.many])

    def forward(self, features: Tensor) -> ColumnGroup:
        log_mean, *rest = (features.unflatten(-1, (self.many, -1))).unbind(-2)
        start = self.start
        more = [start[1] + soft_clamp(rest[0], BEND)] if rest else []
        if len(rest) > 1:
            more.append(start[2] + rest[1])
        return CountColumns(start[0] + soft_clamp(log_mean, COUNT_BEND), *more)


_PARTS: Final[dict[str, type[_Numbers | _Categories | _Booleans | _Counts]]] = {
    "normal": _Numbers,
    "student": _Numbers,
    "category": _Categories,
    "boolean": _Booleans,
    "poisson": _Counts,
    "negative-binomial": _Counts,
    "zero-inflated": _Counts,
}
