"""The latent map: where the posterior puts held-out items, and what the decoder makes of the plane they lie in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaeworks.model import ImageSchema, Schema
from vaeworks.reporting.groups import PALETTE, UNLABELLED, Group, groups_of
from vaeworks.reporting.pictures import grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

__all__ = ["latent_map", "quantile_grid"]


def latent_map(
    means: Tensor,
    labels: Tensor | None = None,
    classes: Sequence[str] = (),
    decoded: Callable[[Tensor], Tensor] | None = None,
    schema: Schema | None = None,
    *,
    normal_prior: bool = True,
    side: int = 20,
) -> Figure:
    """Posterior means (N, D) of held-out items, coloured by ``labels`` (N,), -1 where unknown, that number ``classes``.

    D = 1 is a histogram, D = 2 the plane itself, D > 2 its first two principal components. Where D = 2 and both ``decoded``,
    z (M, 2) -> x (M, *shape), and ``schema`` are given, ``side`` x ``side`` decoded pictures stand beside it: at the prior's quantiles where
    it is standard normal (``normal_prior``), else evenly over the middle 98% of the means. ``save_png`` writes the figure.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    z = means.detach().flatten(1).float().cpu()
    labels = None if labels is None or not bool((labels >= 0).any()) else labels.detach().cpu()
    paint = decoded if z.shape[1] == 2 and isinstance(schema, ImageSchema) and schema.mode else None
    with rc_context({"font.size": 11, "axes.titlesize": 12, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(14 if paint else 7.6, 6.4), layout="constrained", facecolor="white")
        axes = figure.subplots(1, 2 if paint else 1, squeeze=False)[0]
        if z.shape[1] == 1:
            _histogram(axes[0], z[:, 0], labels, classes)
        else:
            plane = _principal(axes[0], z) if z.shape[1] > 2 else _plane(axes[0], z)
            _scatter(axes[0], plane, labels, classes)
        if paint and isinstance(schema, ImageSchema):
            _decoded(axes[1], z, paint, schema, normal_prior, side)
    return figure


def quantile_grid(means: Tensor, *, normal_prior: bool = True, side: int = 20) -> Tensor:
    """Codes (side * side, 2), row by row from the top left: z1 grows to the right, z2 upwards, as on the map.

    At the middle of ``side`` equally probable intervals of a standard normal prior, else evenly over the middle 98% of ``means`` (N, 2).
    """
    even = (torch.arange(side) + 0.5) / side
    if normal_prior:
        z1 = z2 = torch.special.ndtri(even)
    else:
        low, high = torch.quantile(means.float(), torch.tensor([0.01, 0.99]), dim=0)
        z1, z2 = (low[:, None] + (high - low)[:, None] * even).unbind()
    rows, columns = torch.meshgrid(z2.flip(0), z1, indexing="ij")
    return torch.stack([columns, rows], -1).flatten(0, 1)


def _plane(axes: Axes, z: Tensor) -> Tensor:
    axes.set(title=f"Posterior means of {len(z):,} held-out items", xlabel="$z_1$", ylabel="$z_2$")
    return z


def _principal(axes: Axes, z: Tensor) -> Tensor:
    """The first two principal components of z (N, D), (N, 2), and what they explain in the titles."""
    centred = (z - z.mean(0)).double()
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    signs = directions[:2].gather(1, directions[:2].abs().argmax(1, keepdim=True)).sign()  # the decomposition leaves them open
    plane: Tensor = centred @ (directions[:2] * signs).T
    if plane.shape[1] == 1:  # a single item
        plane = plane.expand(-1, 2)
    shares = [*(singular.square() / singular.square().sum().clamp(min=1e-300)).tolist(), 0.0]
    axes.set(
        title=f"Posterior means of {len(z):,} held-out items: PCA of {z.shape[1]} dimensions\n(these two: {sum(shares[:2]):.0%} of the variance)",
        xlabel=f"principal component 1 ({shares[0]:.0%})",
        ylabel=f"principal component 2 ({shares[1]:.0%})",
    )
    return plane


def _scatter(axes: Axes, plane: Tensor, labels: Tensor | None, classes: Sequence[str]) -> None:
    """plane (N, 2), each class in its own colour and shape."""
    size = min(36.0, max(5.0, 20000 / len(plane)))
    style: dict[str, Any] = {"s": size, "alpha": 0.8, "linewidths": 0}
    axes.axhline(0, color="#cccccc", linewidth=0.8, zorder=0)
    axes.axvline(0, color="#cccccc", linewidth=0.8, zorder=0)
    axes.set_aspect("equal", adjustable="datalim")
    if labels is None:
        density = _density(plane)
        order = density.argsort()
        _points(axes, plane[order], c=density[order].numpy(), cmap="viridis", **style)
        return
    groups = groups_of(labels, classes)
    if groups is None:
        known = labels >= 0
        points = _points(axes, plane[known], c=labels[known].numpy(), cmap="viridis", **style)
        axes.figure.colorbar(points, ax=axes, label="class number", shrink=0.8)
        return
    for name, color, marker, mask in groups:
        _points(axes, plane[mask], c=color, marker=marker, label=name, **style)
    _name_groups(axes, plane, groups)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, markerscale=max(1.0, math.sqrt(36 / size)))


def _name_groups(axes: Axes, plane: Tensor, groups: Sequence[Group]) -> None:
    """Short class names at the median of their points (N, 2), except where one would cover another."""
    from matplotlib import patheffects

    span = float((plane.max(0).values - plane.min(0).values).max())
    placed: list[tuple[float, float, int]] = []
    for name, *_, mask in groups:
        x, y = plane[mask].median(0).values.tolist()
        crowded = any(abs(y - v) < 0.04 * span and abs(x - u) < 0.013 * span * (len(name) + n) for u, v, n in placed)
        if len(name) > 12 or name == UNLABELLED or crowded:
            continue
        text = axes.text(x, y, name, color="#111111", fontsize=13, fontweight="bold", ha="center", va="center")
        text.set_path_effects([patheffects.withStroke(linewidth=3, foreground="white")])
        placed.append((x, y, len(name)))


def _points(axes: Axes, plane: Tensor, **style: Any) -> PathCollection:
    return axes.scatter(plane[:, 0].numpy(), plane[:, 1].numpy(), **style)


def _histogram(axes: Axes, z: Tensor, labels: Tensor | None, classes: Sequence[str]) -> None:
    """z (N,), stacked by class."""
    low, high = float(z.min()), float(z.max())
    bins = torch.linspace(low, high, 41).tolist() if high > low else [low - 0.5, low + 0.5]
    groups = None if labels is None else groups_of(labels, classes)
    if groups is None:
        axes.hist(z.numpy(), bins, color=PALETTE[0])
    else:
        axes.hist([z[mask].numpy() for *_, mask in groups], bins, stacked=True, color=[g[1] for g in groups], label=[g[0] for g in groups])
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    axes.set(title=f"Posterior means of {len(z):,} held-out items", xlabel="$z$", ylabel="items")


def _decoded(axes: Axes, z: Tensor, decoded: Callable[[Tensor], Tensor], schema: ImageSchema, normal_prior: bool, side: int) -> None:
    codes = quantile_grid(z, normal_prior=normal_prior, side=side)
    x = torch.cat([_shrunk(decoded(part).detach().float().cpu()) for part in torch.split(codes, 50)])
    sheet = grid(schema, x, columns=side)
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    ticks = [0, side // 4, side // 2, 3 * side // 4, side - 1]
    pitch = [sheet.width / side, sheet.height / side]
    across, up = codes.reshape(side, side, 2)[0, :, 0].tolist(), codes.reshape(side, side, 2)[:, 0, 1].tolist()
    axes.set_xticks([(i + 0.5) * pitch[0] for i in ticks], [f"{across[i]:.2f}" for i in ticks])
    axes.set_yticks([(i + 0.5) * pitch[1] for i in ticks], [f"{up[i]:.2f}" for i in ticks])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    where = "at the quantiles of the prior" if normal_prior else "over the middle 98% of the means"
    axes.set(title=f"The decoder's mean {where}", xlabel="$z_1$", ylabel="$z_2$")


def _shrunk(x: Tensor, edge: int = 64) -> Tensor:
    """x (M, C, H, W) with large pictures averaged down: hundreds of them share one figure."""
    factor = max(1, max(x.shape[-2:]) // edge)
    return torch.nn.functional.avg_pool2d(x, factor, ceil_mode=True)


def _density(plane: Tensor, bins: int = 40) -> Tensor:
    """How many of the points (N, 2) lie near each, (N,), on a log scale."""
    low, high = plane.min(0).values, plane.max(0).values
    cell = ((plane - low) / (high - low).clamp(min=1e-12) * (bins - 1)).round().long()
    index = cell[:, 0] * bins + cell[:, 1]
    return torch.bincount(index, minlength=bins * bins)[index].float().log1p()
