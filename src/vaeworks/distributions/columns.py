"""Rows of a table: independent columns of every kind, computed together with those of their own kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaeworks.distributions.number_columns import ColumnGroup
from vaeworks.distributions.observable import Factorised

__all__ = ["Columns", "Row"]


class Columns(Distribution):
    """One independent distribution for each of D columns, batch shape (..., D), scalar events, in groups that compute the same.

    log p(x_j) is on the raw scale: the probability of the cell of the grid, or of the atom, that x_j lies in, else a density of the raw value.

    ``groups``: each the numbers of its columns (d,) and their distribution of batch shape (..., d); together they are 0 ... D - 1. ``place`` (D,): where the groups, side by side, hold
    each column.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = False

    def __init__(self, groups: tuple[tuple[Tensor, ColumnGroup], ...], place: Tensor):
        self.groups, self.place = groups, place
        super().__init__(torch.Size((*groups[0][1].batch_shape[:-1], len(place))), validate_args=False)

    def _together(self, part: Callable[[ColumnGroup, Tensor], Tensor]) -> Tensor:
        parts = [part(group, columns) for columns, group in self.groups]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1).index_select(-1, self.place)

    def log_prob(self, value: Tensor) -> Tensor:
        return self._together(lambda group, columns: group.log_prob(value.index_select(-1, columns)))

    def log_prob_sum(self, value: Tensor, event_dims: int) -> Tensor:
        """log p of whole rows (...): the sum over columns, in no order."""
        total: Tensor = sum((group.log_prob(value.index_select(-1, columns)).sum(-1) for columns, group in self.groups), torch.zeros(()).to(value))
        return total

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        return self._together(lambda group, _: group.sample(torch.Size(sample_shape)))

    @property
    def mean(self) -> Tensor:
        """Of categories the mean index, of numbers the mean of x before it is brought to a cell."""
        return self._together(lambda group, _: group.mean)

    @property
    def mode(self) -> Tensor:
        return self._together(lambda group, _: group.mode)

    @property
    def median(self) -> Tensor:
        """Medians of numbers and counts; categories have no order: their mode."""
        return self._together(lambda group, _: group.median)

    def log_interval(self, low: Tensor, high: Tensor) -> Tensor:
        """log P(low_j <= x_j <= high_j) (..., D), for low and high (..., D) in x, infinite where a side is free; of categories a range of indices.

        Cells count whose own number (``Margin.to_x``) lies within. -inf where none does.
        """
        return self._together(lambda group, columns: group.log_interval(low.index_select(-1, columns), high.index_select(-1, columns)))

    def sample_interval(self, low: Tensor, high: Tensor) -> Tensor:
        """A sample (..., D) of each x_j given low_j <= x_j <= high_j."""
        return self._together(lambda group, columns: group.sample_interval(low.index_select(-1, columns), high.index_select(-1, columns)))


class Row(Factorised):
    """p(row) = product over observed columns of p(x_j), event shape (D,)."""

    base: Columns

    def __init__(self, base: Columns, observed: Tensor | None = None):
        super().__init__(base, 1, observed)

    def marginal(self, observed: Tensor | None) -> Row:
        return Row(self.base, observed)

    def estimate(self) -> Tensor:
        """Medians of numbers and counts, the most probable of categories."""
        return self.base.median
