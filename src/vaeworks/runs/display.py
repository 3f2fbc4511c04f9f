"""Display: how a model and its items show themselves in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from torch import Tensor

from vaeworks.errors import VaeworksError
from vaeworks.reporting import exhibit

if TYPE_CHECKING:
    from vaeworks.runs.model import Model

__all__ = ["Display", "model_html"]

BYTES = 1_000_000
"""What the pictures and sounds of one output may weigh: notebooks keep them all."""
SAMPLES = 8
"""Drawn to show a model by."""
STYLE = (
    "<style>.vaeworks{max-width:100%}.vaeworks figure{margin:0 0 .5em;max-width:100%;overflow-x:auto}"
    ".vaeworks img{image-rendering:pixelated}.vaeworks .players{display:flex;flex-wrap:wrap;gap:.5em}"
    ".vaeworks table{border-collapse:collapse}.vaeworks th,.vaeworks td{text-align:left!important;padding:.15em .7em;border-bottom:1px solid #8885}"
    ".vaeworks th[scope=row]{white-space:nowrap}.vaeworks ul{white-space:pre-wrap}.vaeworks .scroll{overflow-x:auto}</style>"
)
"""No colours but a grey that is seen on light and on dark: the notebook's own are kept."""


class Display:
    """Items as people look at them: a cell that ends in it shows pictures, players, lines or rows.

    versions: x (N, *shape) by name, {"samples": x}, or {"original": x, "reconstruction": y} of the same items.
    """

    def __init__(self, model: Model, versions: Mapping[str, Tensor], *, in_order: bool = False):
        counts = {name: len(x) for name, x in versions.items()}
        if not counts or len(set(counts.values())) != 1 or not next(iter(counts.values())):
            raise VaeworksError(f"there is nothing to show in versions of {counts}: give x (N, *shape), of one N or more the same in all")
        shape = model.schema.shape
        for name, x in versions.items():
            if x.dim() != len(shape) + 1:
                raise VaeworksError(
                    f"{name} of shape {tuple(x.shape)} holds no items of this model: give (N, {', '.join(map(str, shape))}), as model.sample does"
                )
        self.kind, self.count, self.names = model.schema.kind, next(iter(counts.values())), tuple(versions)
        self.exhibit = exhibit(model.schema, versions, in_order=in_order)

    def __repr__(self) -> str:
        return f"<{self.count} items of {self.kind}: {', '.join(self.names)}>"

    def _repr_html_(self) -> str:
        return f'{STYLE}<div class="vaeworks">{self._inner()}</div>'

    def _inner(self) -> str:
        return self.exhibit.html(f"{self.count} items of {self.kind}: {', '.join(self.names)}", BYTES)


def model_html(model: Model) -> str:
    """What is known of a model, and a few samples."""
    schema, size = model.schema, sum(p.numel() for p in model.vae.parameters())
    parts = [f"{axis} {model.recipe[axis]['kind']}" for axis in _AXES if model.recipe[axis]]
    facts: dict[str, str] = {
        "learned from": f"{schema.source}, {schema.count:,} items of {schema.kind}, {' x '.join(map(str, schema.shape))}",
        "recipe": f"{model.recipe.name}: {', '.join(parts)}",
        "size": f"codes of {model.vae.latents.code_size} dimensions, {size:,} parameters, on {model.device}",
    }
    if schema.context != "none":
        facts["conditional on"] = ", ".join(schema.classes if schema.context != "vector" else schema.columns)
    if model.calibration is not None:
        held_out = model.calibration.reference
        n, mean = len(held_out), float(held_out.log_px.mean())
        error = float(held_out.log_px.std(correction=min(1, n - 1))) / n**0.5
        facts["log p(x)"] = f"{mean:.2f} ± {error:.2f} nats, the mean of {n:,} held-out items at {held_out.samples:,} importance samples"
    rows = "".join(f'<tr><th scope="row">{name}</th><td>{escape(fact)}</td></tr>' for name, fact in facts.items())
    shown = Display(model, {"samples": model.sample(SAMPLES, seed=0)})._inner()
    return f'{STYLE}<div class="vaeworks"><table>{rows}</table><p>{SAMPLES} samples, seed 0:</p>{shown}</div>'


_AXES = ("encoder", "posterior", "latents", "prior", "decoder", "likelihood", "objective")
