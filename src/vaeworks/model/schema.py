"""Schema: what one item of the data is, and how raw items become the tensor x that a likelihood scores, and back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from vaeworks.errors import ArtifactError, DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Binarisation", "Context", "Schema"]

Binarisation = Literal["none", "threshold", "dynamic", "static"]
Context = Literal["none", "label"]


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
    """What the model is conditioned on: nothing, or the label as a one-hot vector."""
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
        return len(self.classes) if self.context == "label" else 0

    def to_context(self, labels: Tensor | None) -> Tensor | None:
        """Labels (N,) as context (N, C); None where the model is not conditional. DataError for items without a label."""
        if self.context == "none":
            return None
        unknown = 0 if labels is None else int((labels < 0).sum())
        if labels is None or unknown:
            count = "the items" if labels is None else f"{unknown} of {len(labels)} items"
            raise DataError(
                f"the model is conditional on the label, and {count} have none of its classes ({', '.join(self.classes[:10])}): sort them into folders of these names"
            )
        return torch.nn.functional.one_hot(labels, len(self.classes)).to(torch.float32)

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
            schema = cls(**{**data, "shape": tuple(data["shape"]), "classes": tuple(data["classes"])})
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"the stored schema cannot be read: {error}; the file is damaged, or written by a newer version") from error
        sizes, numbers = (*schema.shape, schema.levels + 1 if type(schema.levels) is int else 0), (schema.low, schema.high, schema.mean, schema.std)
        if not all(type(size) is int and size > 0 for size in sizes) or not all(type(number) in {int, float} for number in numbers):
            raise ArtifactError(
                f"the stored schema cannot be read: shape {schema.shape}, levels {schema.levels!r} or its range is no number in range"
            )
        known = schema.binarisation in get_args(Binarisation) and schema.context in get_args(Context)
        if schema.kind != "image" or not known or len(schema.shape) != 3:
            raise ArtifactError(
                f"the stored schema describes {schema.kind!r} of shape {schema.shape} ({schema.binarisation}, context {schema.context!r}), which this version cannot use"
            )
        return schema
