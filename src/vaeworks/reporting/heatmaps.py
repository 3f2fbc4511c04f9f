"""What of an item is strange, as people see it: pictures beside heat maps of the nats that their pixels add, sounds beside those of their frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaeworks.errors import DataError
from vaeworks.model import AudioSchema, ImageSchema, Schema
from vaeworks.reporting.pictures import rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = ["heat", "heat_map_sheet"]

CLIPPED = 0.995
"""Quantile of the nats, regardless of sign, that has the full colour: one pixel must not pale all others."""


def heat_map_sheet(schema: Schema, x: Tensor, terms: Tensor, titles: Sequence[str] = ()) -> Image | Figure:
    """Items x (N, *shape) above what their coordinates add to their log-probability, ``terms`` (N, *shape) in nats: red where they take from it, blue where they add.

    DataError for items that are neither pictures nor sounds.
    """
    if isinstance(schema, ImageSchema):
        colours = replace(schema, mode="RGB", shape=(3, *schema.shape[1:]))
        shown = x[:, :3] if x.shape[1] >= 3 else x[:, :1].expand(-1, 3, -1, -1)
        return rows(colours, {"item": shown, "nats": heat(terms.sum(1))})
    if isinstance(schema, AudioSchema):
        return _sounds(schema, x, terms, titles)
    raise DataError(f"items of {schema.kind} have no heat maps: what is strange of them is told in words")


def heat(terms: Tensor) -> Tensor:
    """Colours (N, 3, H, W) in [0, 1] of ``terms`` (N, H, W): white at 0, red below, blue above, each item by its own scale."""
    size = terms.abs().flatten(1).double().quantile(CLIPPED, 1).clamp_min(1e-12).to(terms)
    strength = (terms / size[:, None, None]).clamp(-1, 1)
    below, above = strength.clamp_max(0).abs(), strength.clamp_min(0)
    return torch.stack([1 - above, 1 - below - above, 1 - below], 1).clamp(0, 1)


def _sounds(schema: AudioSchema, x: Tensor, terms: Tensor, titles: Sequence[str]) -> Figure:
    """A column for each sound: what the model saw of it, then the nats of every band and frame, or of every frame of a waveform."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    count, columns = len(x), min(len(x), 8)
    blocks, frame = -(-count // columns), schema.hop / schema.rate
    with rc_context({"font.size": 8}):
        figure = Figure(figsize=(1.6 * columns + 0.8, 3 * blocks + 0.3), layout="constrained", facecolor="white")
        axes = figure.subplots(2 * blocks, columns, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for i in range(count):
            above, below = axes[i // columns * 2][i % columns], axes[i // columns * 2 + 1][i % columns]
            seconds = (0, x.shape[-1] * (frame if schema.representation == "mel" else 1 / schema.rate))
            if schema.representation == "mel":
                edge = float(terms[i].abs().double().quantile(CLIPPED).clamp_min(1e-12))
                above.imshow(x[i, 0].numpy(), origin="lower", aspect="auto", cmap="magma", extent=(*seconds, 0, x.shape[2]))
                below.imshow(terms[i, 0].numpy(), origin="lower", aspect="auto", cmap="RdBu", vmin=-edge, vmax=edge, extent=(*seconds, 0, x.shape[2]))
            else:
                nats = terms[i, 0].unfold(0, schema.hop, schema.hop).sum(-1)
                above.plot(torch.arange(x.shape[-1]) / schema.rate, x[i, 0].numpy(), linewidth=0.5)
                below.plot((torch.arange(len(nats)) + 0.5) * frame, nats.numpy(), linewidth=0.8, color="tab:red")
            for axis in (above, below):
                axis.set_axis_on()
                axis.set_xlim(*seconds)
            above.tick_params(labelbottom=False)
            if i < len(titles):
                above.set_title(titles[i], fontsize=7)
            if i % columns == 0:
                above.set_ylabel("band" if schema.representation == "mel" else "x")
                below.set_ylabel("nats of a band" if schema.representation == "mel" else "nats of a frame")
    return figure
