"""Margins of the columns of a table, fitted to its training rows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.columns import ALL_CATEGORIES, MOST_CATEGORIES, Draft
from vaeworks.data.reading import count
from vaeworks.distributions.margins import COUNTS, Margin, fit_margin
from vaeworks.errors import DataError
from vaeworks.model import Column
from vaeworks.model.table_schema import WIDE

__all__ = ["fit"]

_KNOTS: Final = 128
_ALL_KNOTS: Final = 200_000
"""Knots of all columns together: some 10 MB of JSON."""
_OTHER: Final = "(other)"
_ENOUGH: Final = 200
"""Columns of counts beyond which their margins start from moments, not from maximum likelihood: a model learns the rest."""


def fit(drafts: Sequence[Draft], raw: NDArray[Any], train: NDArray[np.bool_]) -> tuple[list[Column], NDArray[Any], NDArray[np.bool_], list[str]]:
    """The columns with margins fitted to the rows at ``train`` (N,), x (N, D), which cells are observed (N, D), and what to tell.

    ``raw`` (N, R) are the values of the drafts that have some. One that never varies in the training rows is constant, and has no coordinate in x.
    """
    modelled = [draft for draft in drafts if draft.numbers is not None]
    named = sum(draft.column.kind == "categorical" for draft in modelled)
    most = max(10, min(MOST_CATEGORIES, ALL_CATEGORIES // max(1, named)))
    knots = max(16, min(_KNOTS, _ALL_KNOTS // max(1, len(modelled))))
    values = np.empty(raw.shape, dtype=np.float32 if len(modelled) > WIDE else np.float64)
    observed = np.empty(raw.shape, dtype=bool)
    columns: list[Column] = []
    notes: list[str] = []
    place, still = 0, 0
    for j, draft in _placed(drafts):
        if j is None:
            columns.append(draft.column)
            continue
        numbers, column = raw[:, j].astype(np.float64), draft.column
        if column.kind == "categorical":
            column, numbers = _named(column, numbers, train, most, notes)
        here = np.isfinite(numbers)
        seen = numbers[train & here]
        column = replace(column, missing=int(train.sum()) - len(seen))
        if not len(seen) or (seen == seen[0]).all():
            columns.append(_still(column, seen))
            still += 1
            continue
        margin = _margin(draft, seen, len(column.categories), knots, many=len(modelled) > _ENOUGH)
        values[:, place] = 0
        values[here, place] = margin.to_x(numbers[here])
        observed[:, place] = here
        columns.append(replace(column, margin=margin))
        place += 1
    if still:
        notes.append(
            f"{count(still, 'column')} never var{'ies' if still == 1 else 'y'} in the training rows, and {'is' if still == 1 else 'are'} kept aside as constant."
        )
    return columns, values[:, :place], observed[:, :place], notes


def _placed(drafts: Sequence[Draft]) -> list[tuple[int | None, Draft]]:
    """Each draft with its column of raw values."""
    at = itertools.count()
    return [(None if draft.numbers is None else next(at), draft) for draft in drafts]


def _named(column: Column, index: NDArray[np.float64], train: NDArray[np.bool_], most: int, notes: list[str]) -> tuple[Column, NDArray[np.float64]]:
    """The categories of the training rows, the most frequent where they are more than ``most``, and the indices among them; NaN for those of held-out rows alone."""
    seen = index[train & np.isfinite(index)].astype(np.int64)
    counts = np.bincount(seen, minlength=len(column.categories))
    kept = np.flatnonzero(counts)
    rare = len(kept) > most
    if rare:
        kept = np.sort(np.argsort(-counts, kind="stable")[: most - 1])
    table = np.full(len(column.categories) + 1, float(len(kept)) if rare else np.nan)
    table[kept] = np.arange(len(kept))
    table[-1] = np.nan
    found = table[np.where(np.isfinite(index), index, len(column.categories)).astype(np.int64)]
    unseen = int((np.isfinite(index) & ~np.isfinite(found)).sum())
    names = tuple(column.categories[i] for i in kept)
    if unseen:
        others = [name for name, n in zip(column.categories, counts, strict=True) if not n]
        shown = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        notes.append(
            f"Column {column.name}: {count(unseen, 'held-out cell')} of categories that no training row has ({shown}) were taken as missing."
        )
    if rare:
        notes.append(
            f"Column {column.name}: of {int((counts > 0).sum())} categories the {len(names)} most frequent are told apart, which {100 * counts[kept].sum() / counts.sum():.0f} % "
            f"of the training rows have; the others are one, {_OTHER}."
        )
        other = _OTHER
        while other in column.categories:
            other += "*"
        return replace(column, categories=(*names, other), other=True, dtype="String"), found
    return replace(column, categories=names), found


def _still(column: Column, seen: NDArray[np.float64]) -> Column:
    """A column that never varies, kept aside."""
    if not len(seen):
        return Column(column.name, "constant", dtype="String", missing=column.missing)
    cell = replace(column, margin=Margin("gaussian")).write(seen[:1])[0]
    dtype = "String" if column.kind == "datetime" else column.dtype
    return Column(column.name, "constant", constant=str(cell).lower() if isinstance(cell, bool) else str(cell), dtype=dtype, missing=column.missing)


def _margin(draft: Draft, seen: NDArray[np.float64], size: int, knots: int, *, many: bool) -> Margin:
    kind: Any = draft.margin
    if many and kind in COUNTS:
        return _moments(kind, seen)
    if kind == "ordinal" and len(np.unique(seen)) < 2:
        kind = "quantile"
    try:
        return fit_margin(kind, seen, step=draft.step, size=size, most_knots=knots)
    except ValueError as error:
        raise DataError(f"column {draft.column.name!r} cannot have a margin {kind}: {error}") from error


def _moments(kind: Any, seen: NDArray[np.float64]) -> Margin:
    """The margin of counts by their mean, their variance and how many are zero."""
    mean, variance = float(seen.mean()), float(seen.var())
    zero = float((seen == 0).mean())
    extra = 0.0
    if kind == "zero-inflated":
        extra = min(0.95, max(0.02, zero / 2))
        variance = max((variance + mean**2) / (1 - extra) - (mean / (1 - extra)) ** 2, 0.0)
        mean /= 1 - extra
    size = 1.0 if kind == "poisson" else float(np.clip(mean**2 / max(variance - mean, 1e-4 * mean**2), 1e-3, 1e4))
    logit = float(np.log(extra / (1 - extra))) if extra else 0.0
    return Margin(kind, step=1.0, low=float(seen.min()), high=float(seen.max()), shift=float(np.log(mean)), scale=size, origin=logit)
