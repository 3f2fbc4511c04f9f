"""One picture: from whatever mode and orientation it has to 8-bit pixels of a given size and mode; arrays by the same route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.raw import MODES
from vaeworks.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["check_mode", "decode", "refit", "resize_real", "upright_size"]

_ORIENTATION = 0x0112
_TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) once the EXIF orientation is respected, without decoding the pixels. Pillow has already turned the size of a TIFF."""
    width, height = image.size
    return (width, height) if image.format != "TIFF" and _orientation(image) >= 5 else (height, width)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation 1 .. 8; 1 where there is none or the block is damaged, which does not make the picture unreadable."""
    try:
        found = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # decoders of damaged metadata raise anything
        return 1
    return found if found in _TURNS else 1


def decode(image: Image.Image, size: tuple[int, int] | None, mode: str | None) -> NDArray[np.uint8]:
    """A picture as (H, W, C): upright, 8 bits, resized to cover ``size`` (height, width) and cropped at its centre.

    With ``mode`` None, C is the least that loses nothing: 1 where the picture is grey, one more where some of it is transparent. Colours behind full
    transparency are black. With a mode, the picture is brought to it, laid on white where it loses transparency. ValueError where its numbers have no
    8-bit form.
    """
    from PIL import Image, ImageOps

    image.load()
    turn = _TURNS.get(_orientation(image))
    if turn is not None:
        image = image.transpose(Image.Transpose[turn])
    image = _eight_bits(image)
    if mode is not None:
        image = _to_mode(image, mode)
    if size is not None and image.size != (size[1], size[0]):
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.LANCZOS)
    pixels = np.array(image, dtype=np.uint8)
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.shape[2] in {2, 4}:
        pixels[pixels[..., -1] == 0] = 0
    return pixels if mode is not None else _least(pixels)


def _eight_bits(image: Image.Image) -> Image.Image:
    """The picture in mode L, LA, RGB or RGBA."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_narrow(np.asarray(image)))
    bands = {"1": "L", "L": "L", "La": "L", "LA": "L"}.get(image.mode, "RGB")
    wanted = bands + "A" if image.has_transparency_data else bands
    return image if image.mode == wanted else image.convert(wanted)


def _narrow(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers (H, W) of more than 8 bits to 8: by their type, or their range, 0 .. 1 (floats), 0 .. 255 or 0 .. 65535."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535):
        raise ValueError(f"its values {low:g} .. {high:g} have no 8-bit form, so save it as .npy")
    scale = 255.0 if values.dtype.kind == "f" and high <= 1 else 1.0
    if values.dtype.itemsize == 2 or high > 255:
        scale = 1 / 257
    return np.rint(values * scale).astype(np.uint8)


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    """The picture in one of the four modes; where transparency is lost it is laid on white."""
    from PIL import Image

    if image.mode in {"LA", "RGBA"} and mode in {"L", "RGB"}:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _least(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, C) without the channels that say nothing: opaque alpha, and colours that are all grey."""
    if pixels.shape[2] in {2, 4} and pixels[..., -1].min() == 255:
        pixels = pixels[..., :-1]
    if pixels.shape[2] >= 3 and (pixels[..., :1] == pixels[..., :3]).all():
        pixels = np.delete(pixels, (1, 2), axis=2)
    return np.ascontiguousarray(pixels)


def refit(values: NDArray[np.uint8], size: tuple[int, int], mode: str | None = None) -> NDArray[np.uint8]:
    """8-bit pictures (N, C, H, W) brought to another size and, with ``mode``, to other channels, as a folder of them would be."""
    from PIL import Image

    wanted = mode or MODES[values.shape[1]]
    channels = {m: c for c, m in MODES.items()}[wanted]
    fitted = np.empty((len(values), channels, *size), dtype=np.uint8)
    for i, item in enumerate(values):
        image = Image.fromarray(item[0] if len(item) == 1 else np.ascontiguousarray(item.transpose(1, 2, 0)))
        fitted[i] = decode(image, size, wanted).transpose(2, 0, 1)
    return fitted


def resize_real(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Real pictures (N, C, H, W) brought to another size, channel by channel, by a filter that never leaves their range."""
    from PIL import Image, ImageOps

    fitted = np.empty((*values.shape[:2], *size), dtype=np.float32)
    for index in np.ndindex(values.shape[0], values.shape[1]):
        image = Image.fromarray(np.ascontiguousarray(values[index], dtype=np.float32))
        fitted[index] = np.asarray(ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BILINEAR))
    return fitted


def check_mode(mode: str) -> str:
    """``mode`` where it is one of Pillow's four, else DataError."""
    if mode not in MODES.values():
        raise DataError(f"the model's items have no picture form (mode {mode!r}): give arrays of the model's own shape")
    return mode
