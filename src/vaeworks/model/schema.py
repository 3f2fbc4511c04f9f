"""Schema: what one item of the data is, and how raw items become the tensor x that a likelihood scores, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from vaeworks.errors import ArtifactError, DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Binarisation", "Context", "Schema"]

Binarisation = Literal["none", "threshold", "dynamic", "static"]
Context = Literal["none", "label", "partial-label", "vector"]
COLUMNS = ("columns", "column_means", "column_scales")
"""Fields of a Schema that artifacts of earlier versions lack."""


@dataclass(frozen=True)
class Schema:
    """An image data set, described once and stored inside every artifact.

    Values are what is stored: uint8 levels 0 .. levels-1, or float32 where ``levels`` is 0. The tensor x has the same shape and lies in [0, 1]:
    x = value / (levels - 1), or x = (value - low) / (high - low) for floats, and 0 or 1 after binarisation.
    """

    shape: tuple[int, ...]
    """(channels, height, width)."""
    mode: str
    """How channels map to a picture: L, LA, RGB or RGBA; "" where there is no such mapping."""
    levels: int
    """Number of levels a stored value can take (256 for 8-bit pixels, 17 for scikit-learn's digits); 0 for real numbers."""
    low: float = 0.0
    high: float = 1.0
    """Range of real-valued data; unused where levels > 0."""
    binarisation: Binarisation = "none"
    """none; threshold at one half; dynamic (x ~ Bernoulli(value), drawn anew each time); static (already drawn, stored as 0 and 1)."""
    classes: tuple[str, ...] = ()
    """Names of the labels, in order of their numbers; empty where there are none."""
    source: str = ""
    """Where the data came from, for people to read."""
    count: int = 0
    """Number of training items."""
    mean: float = 0.5
    std: float = 0.5
    """Mean and standard deviation of x over the training items."""
    context: Context = "none"
    """What the model is conditioned on: nothing; the label as a one-hot vector; the label where it is known and zeros where not; the columns beside the items."""
    columns: tuple[str, ...] = ()
    """Names of the numbers that each item brings beside its values; empty where there are none."""
    column_means: tuple[float, ...] = ()
    column_scales: tuple[float, ...] = ()
    """Mean and standard deviation of each column over the training items; a scale is 1 where a column never changes."""
    kind: Literal["image"] = "image"

    @property
    def x_levels(self) -> int:
        """Number of values a coordinate of x can take: 2 after binarisation, 0 where x is real."""
        return self.levels if self.binarisation == "none" else 2

    @property
    def dimensions(self) -> int:
        """Number of coordinates of x."""
        return int(torch.Size(self.shape).numel())

    @property
    def context_size(self) -> int:
        """C, the numbers in one item's context; 0 where the model is not conditional."""
        return {"none": 0, "vector": len(self.columns)}.get(self.context, len(self.classes))

    def to_context(self, labels: Tensor | None = None, vectors: Tensor | None = None) -> Tensor | None:
        """Labels (N,), or ``vectors`` (N, C) in the columns' own units, as context (N, C); None where the model is not conditional.

        Under "partial-label" an unknown label, -1, is a row of zeros, and so are no labels at all: one row (1, C), for as many items as there are. "vector" is
        standardised. DataError for items without what the model is conditional on.
        """
        if self.context == "none":
            return None
        if self.context == "vector":
            return self._standardised(vectors)
        if labels is None and self.context == "partial-label":
            return torch.zeros(1, len(self.classes), dtype=torch.float32)
        unknown = 0 if labels is None else int((labels < 0).sum())
        if labels is None or (unknown and self.context == "label"):
            count = "the items" if labels is None else f"{unknown} of {len(labels)} items"
            raise DataError(
                f"the model is conditional on the label, and {count} have none of its classes ({', '.join(self.classes[:10])}): sort them into folders of these names"
            )
        one_hot = torch.nn.functional.one_hot(labels.clamp_min(0), len(self.classes)).to(torch.float32)
        return one_hot.masked_fill_((labels < 0)[:, None], 0) if unknown else one_hot

    def to_vector(self, given: Mapping[str, str | float]) -> Tensor:
        """The number of every column by name, (1, C) in their own units; DataError where one is missing, unknown or no finite number."""
        told = f"this model is conditional on {', '.join(self.columns)}"
        if unknown := [name for name in given if name not in self.columns]:
            raise DataError(f"{', '.join(unknown)}: no such column, {told}")
        if missing := [name for name in self.columns if name not in given]:
            raise DataError(f"{told}, and {', '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing: add --given {missing[0]}=NUMBER")
        numbers = []
        for name in self.columns:
            try:
                numbers.append(float(given[name]))
            except ValueError:
                numbers.append(math.nan)
            if not math.isfinite(numbers[-1]):
                raise DataError(f"{name}={given[name]} is no finite number: give one, such as {name}={self.column_means[self.columns.index(name)]:g}")
        return torch.tensor([numbers])

    def _standardised(self, vectors: Tensor | None) -> Tensor:
        """``vectors`` (N, C) less the means, over the scales."""
        if vectors is None or vectors.dim() != 2 or vectors.shape[1] != len(self.columns):
            found = "none" if vectors is None else f"an array of shape {tuple(vectors.shape)}"
            raise DataError(
                f"the model is conditional on {len(self.columns)} columns ({', '.join(self.columns[:10])}), and the items bring {found}: "
                f"give them beside the items, np.savez(file, x=..., context=...) with context of shape (N, {len(self.columns)})"
            )
        means, scales = (torch.tensor(told, dtype=torch.float32, device=vectors.device) for told in (self.column_means, self.column_scales))
        return (vectors.to(torch.float32) - means) / scales

    def to_x(self, values: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Stored values (B, *shape) to x (B, *shape) in float32; ``generator`` (CPU) drives dynamic binarisation.

        Random bytes compared with the pixels give Bernoulli(value / 255) exactly, an order of magnitude faster than ``torch.bernoulli``.
        """
        if self.binarisation == "none":
            if self.levels:
                return values.to(torch.float32).div_(self.levels - 1)
            return (values - self.low) / (self.high - self.low)
        if self.binarisation == "static":
            return values.to(torch.float32)
        if self.binarisation == "threshold":
            return (values >= self.levels / 2).to(torch.float32)
        device = generator.device if generator is not None else values.device
        noise = torch.randint(0, self.levels - 1, values.shape, dtype=torch.uint8, generator=generator, device=device)
        return (noise.to(values.device) < values).to(torch.float32)

    def to_values(self, x: Tensor) -> Tensor:
        """x in [0, 1] (..., *shape) to stored values: rounded to levels, or scaled back to [low, high]."""
        if self.levels:
            top = 1 if self.binarisation == "static" else self.levels - 1
            return (x.clamp(0, 1) * top).round().to(torch.uint8)
        return x * (self.high - self.low) + self.low

    def to_images(self, x: Tensor) -> list[Image]:
        """x (N, *shape) to N PIL images of mode L, LA, RGB or RGBA."""
        from PIL import Image

        if self.mode not in {"L", "LA", "RGB", "RGBA"}:
            raise DataError(f"items of shape {self.shape} have no picture form: use the values themselves (--format npy)")
        pixels = (x.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().movedim(-3, -1).contiguous().numpy()
        return [Image.fromarray(p[..., 0] if self.mode == "L" else p) for p in pixels]

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary; ``Schema.from_json`` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Schema:
        """The Schema stored in ``data``; ArtifactError where a field is missing, unknown or of the wrong kind."""
        try:
            tuples = {"shape": data["shape"], "classes": data["classes"], **{name: data.get(name, ()) for name in COLUMNS}}
            schema = cls(**{**data, **{name: tuple(values) for name, values in tuples.items()}})
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"the stored schema cannot be read: {error}; the file is damaged, or written by a newer version") from error
        sizes = (*schema.shape, schema.levels + 1 if type(schema.levels) is int else 0)
        numbers = (schema.low, schema.high, schema.mean, schema.std, *schema.column_means, *schema.column_scales)
        if not all(type(size) is int and size > 0 for size in sizes) or not all(type(number) in {int, float} for number in numbers):
            raise ArtifactError(
                f"the stored schema cannot be read: shape {schema.shape}, levels {schema.levels!r} or its range is no number in range"
            )
        if not len(schema.columns) == len(schema.column_means) == len(schema.column_scales):
            raise ArtifactError(f"the stored schema cannot be read: its {len(schema.columns)} columns do not have a mean and a scale each")
        known = schema.binarisation in get_args(Binarisation) and schema.context in get_args(Context)
        if schema.kind != "image" or not known or len(schema.shape) != 3:
            raise ArtifactError(
                f"the stored schema describes {schema.kind!r} of shape {schema.shape} ({schema.binarisation}, context {schema.context!r}), which this version cannot use"
            )
        return schema
