"""ImageSchema: pictures, or anything on a grid of pixels with channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from vaeworks.errors import DataError
from vaeworks.model.schema import Schema

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Binarisation", "ImageSchema"]

Binarisation = Literal["none", "threshold", "dynamic", "static"]


@dataclass(frozen=True)
class ImageSchema(Schema):
    """An image data set.

    Values are what is stored: uint8 levels 0 .. levels-1, or float32 where ``levels`` is 0. The tensor x has the same shape, (channels, height, width), and lies in [0, 1]:
    x = value / (levels - 1), or x = (value - low) / (high - low) for floats, and 0 or 1 after binarisation.
    """

    kind: ClassVar[str] = "image"

    mode: str
    """How channels map to a picture: L, LA, RGB or RGBA; "" where there is no such mapping."""
    levels: int
    """Number of levels a stored value can take (256 for 8-bit pixels, 17 for scikit-learn's digits); 0 for real numbers."""
    low: float = 0.0
    high: float = 1.0
    """Range of real-valued data; unused where levels > 0."""
    binarisation: Binarisation = "none"
    """none; threshold at one half; dynamic (x ~ Bernoulli(value), drawn anew each time); static (already drawn, stored as 0 and 1)."""

    @property
    def x_levels(self) -> int:
        return self.levels if self.binarisation == "none" else 2

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

    def shown(self, values: Tensor) -> Tensor:
        """Stored values (..., *shape) as pictures in [0, 1], whatever the binarisation."""
        if self.levels:
            return values.to(torch.float32) / (1 if self.binarisation == "static" else self.levels - 1)
        return (values - self.low) / (self.high - self.low)

    def to_images(self, x: Tensor) -> list[Image]:
        """x (N, *shape) to N PIL images of mode L, LA, RGB or RGBA."""
        from PIL import Image

        if self.mode not in {"L", "LA", "RGB", "RGBA"}:
            raise DataError(f"items of shape {self.shape} have no picture form: use the values themselves (--format npy)")
        pixels = (x.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().movedim(-3, -1).contiguous().numpy()
        return [Image.fromarray(p[..., 0] if self.mode == "L" else p) for p in pixels]

    @property
    def protocol(self) -> dict[str, Any]:
        return {"binarisation": self.binarisation}

    @property
    def density(self) -> str:
        return "with respect to x scaled to [0, 1]; a density, so bits per dimension of 8-bit pixels do not apply"

    def to_raw(self, x: Tensor) -> list[Image]:
        return self.to_images(x)

    def within(self, x: Tensor) -> Tensor:
        return x.clamp(0, 1)

    def fault(self) -> str:
        if type(self.levels) is not int or self.levels < 0 or any(type(end) not in {int, float} for end in (self.low, self.high)):
            return f"levels {self.levels!r} or its range is no number in range"
        if len(self.shape) != 3 or self.binarisation not in get_args(Binarisation):
            return f"an image of shape {self.shape} ({self.binarisation}) is none that this version can use"
        return ""
