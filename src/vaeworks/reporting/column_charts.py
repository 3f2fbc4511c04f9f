"""Columns of a table, real beside generated: a small chart for each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from vaeworks.reporting.groups import PALETTE

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["column_charts"]

SHOWN, ACROSS, BINS, BARS = 24, 4, 30, 8
"""Columns in the picture at most and side by side; bins of a number, bars of a category."""


def column_charts(real: pl.DataFrame, generated: pl.DataFrame) -> Figure:
    """For each column that both frames have (the first ``SHOWN``) the shares of its values in ``real`` and in ``generated``: a histogram of numbers, bars of categories."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    names = [name for name in real.columns if name in generated.columns and real[name].null_count() < len(real)][:SHOWN]
    down = max(1, math.ceil(len(names) / ACROSS))
    with rc_context({"font.size": 9, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(3.4 * ACROSS, 2.4 * down + 0.4), layout="constrained", facecolor="white")
        axes = figure.subplots(down, ACROSS, squeeze=False).flatten()
        for panel, name in zip(axes, names, strict=False):
            panel.set_title(name if len(name) <= 28 else f"{name[:27]}…")
            panel.tick_params(labelsize=8)
            panel.set_yticks([])
            draw = _numbers if _is_number(real[name]) and _is_number(generated[name]) else _categories
            draw(panel, real[name], generated[name])
        for panel in axes[len(names) :]:
            panel.set_visible(False)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    return figure


def _is_number(column: pl.Series) -> bool:
    return column.dtype.is_numeric() or column.dtype.is_temporal()


def _numbers(panel: Axes, real: pl.Series, generated: pl.Series) -> None:
    ours, theirs = (np.asarray(column.drop_nulls().to_physical().to_numpy(), dtype=np.float64) for column in (real, generated))
    low, high = np.quantile(ours, [0.005, 0.995]) if len(ours) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    style: dict[str, Any] = {"bins": edges, "density": False}
    for values, label, color, fill in ((ours, "held out", PALETTE[0], True), (theirs, "generated", PALETTE[1], False)):
        weights = np.full(len(values), 1 / max(1, len(values)))
        panel.hist(
            values,
            weights=weights,
            label=label,
            color=color,
            histtype="stepfilled" if fill else "step",
            alpha=0.5 if fill else 1,
            linewidth=1.6,
            **style,
        )


def _categories(panel: Axes, real: pl.Series, generated: pl.Series) -> None:
    ours, theirs = ([str(value) for value in column.drop_nulls().to_list()] for column in (real, generated))
    names, counts = np.unique(ours, return_counts=True)
    names = names[np.argsort(-counts)][:BARS]
    place = np.arange(len(names))
    for values, label, color, shift in ((ours, "held out", PALETTE[0], -0.2), (theirs, "generated", PALETTE[1], 0.2)):
        found = np.asarray(values)
        shares = [float((found == name).mean()) if len(found) else 0.0 for name in names]
        panel.bar(place + shift, shares, 0.4, label=label, color=color, alpha=0.5 if shift < 0 else 1)
    panel.set_xticks(place, [name if len(name) <= 10 else f"{name[:9]}…" for name in names], rotation=30, ha="right")
