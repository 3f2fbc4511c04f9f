"""Many pictures, from files or from memory: decoded by several threads, brought to one size and one mode."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.frame import choose_size, stack
from vaeworks.data.levels import recognise
from vaeworks.data.memory import require
from vaeworks.data.options import Options
from vaeworks.data.pictures import check_mode, decode, upright_size
from vaeworks.data.raw import Raw
from vaeworks.data.reading import count, each, first, refuse
from vaeworks.model import ImageSchema

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Picture", "load_gallery"]

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF")


@dataclass(frozen=True)
class Picture:
    """A picture that is yet to be read: a file, or an image in memory."""

    name: str
    held: Path | Image.Image

    def open(self, side: int | None = None) -> AbstractContextManager[Image.Image]:
        """The image, its pixels not yet decoded; a JPEG file much larger than ``side`` will be decoded at a fraction of its size.

        ValueError where the file is no picture, or has more pixels than Pillow holds to be safe.
        """
        from PIL import Image, UnidentifiedImageError

        if not isinstance(self.held, Path):
            return nullcontext(self.held)
        try:
            image = Image.open(self.held, formats=_FORMATS)
        except UnidentifiedImageError:
            raise ValueError(_kind(self.held)) from None
        if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
            image.close()
            raise ValueError(f"its {image.width} x {image.height} pixels are more than {Image.MAX_IMAGE_PIXELS}")
        if side is not None:
            image.draft(None, (2 * side, 2 * side))
        return image


def _kind(path: Path) -> str:
    """What a file that is no picture seems to be."""
    with path.open("rb") as file:
        head = file.read(512).lstrip().lower()
    kinds = {b"pk\x03\x04": "a zip archive", b"<!doctype html": "a web page", b"<html": "a web page", b"%pdf": "a PDF"}
    found = next((kind for start, kind in kinds.items() if head.startswith(start)), None)
    if found is not None:
        return f"it is {found}, not a picture"
    return "it is damaged, or not a picture" if head else "it is empty"


def load_gallery(pictures: Sequence[Picture], what: str, like: ImageSchema | None, options: Options) -> Raw:
    """The pictures that can be read.

    Size and mode are those of ``like``; without it the size is ``options.size`` or chosen from the pictures, and the mode is the least that loses
    nothing. DataError where no picture can be read, or where one cannot and ``options.strict``.
    """
    from PIL import Image

    Image.init()
    names = [picture.name for picture in pictures]
    files = all(isinstance(picture.held, Path) for picture in pictures)  # an image in memory may be listed twice, and decodes in place
    failed: dict[int, str] = {}
    if like is not None:
        size, mode, why = (like.shape[1], like.shape[2]), check_mode(like.mode), "the size the model knows"
    elif options.size is not None:
        size, mode, why = options.target(), None, "the size asked for"
    else:
        found = each(_look, pictures, None, threads=files)
        failed = {i: reason for i, reason in enumerate(found) if isinstance(reason, str)}
        refuse(failed, names, "picture", what, options)
        size, why = choose_size([s for s in found if not isinstance(s, str)], what)
        mode = None
    good = [i for i in range(len(pictures)) if i not in failed]
    require(len(good) * size[0] * size[1] * 6, f"{what}, {len(good)} pictures of {size[0]} x {size[1]},")

    wide: set[str] = set()

    def read(picture: Picture) -> NDArray[np.uint8]:
        with picture.open(max(size)) as image:
            if image.mode.startswith("I") or image.mode == "F":
                wide.add(image.mode)
            return decode(image, size, mode)

    decoded = each(read, [pictures[i] for i in good], options.progress, threads=files)
    failed |= {i: reason for i, reason in zip(good, decoded, strict=True) if isinstance(reason, str)}
    refuse(failed, names, "picture", what, options)
    kept = [i for i in good if i not in failed]
    pixels = [p for p in decoded if not isinstance(p, str)]
    if like is not None:
        values = np.stack(pixels).transpose(0, 3, 1, 2)
        raw = Raw(*recognise(values, what)[:2], what) if like.levels == 2 else Raw(values, 256, what)
    else:
        values, modes = stack(pixels)
        values, levels, told = recognise(values, what)
        raw = Raw(values, levels, what).note(
            f"{what}: {count(len(values), 'picture')} of {size[0]} x {size[1]} (height x width), {why}; {modes}; {told}."
        )
    if wide:
        raw = raw.note(f"Pictures with more than 8 bits a pixel (mode {', '.join(sorted(wide))}) were reduced to 8: to keep them, give them as .npy.")
    if failed:
        raw = raw.note(f"Skipped {count(len(failed), 'picture')} that cannot be read: {first(failed, names)}.")
    return replace(raw, names=tuple(names[i] for i in kept))


def _look(picture: Picture) -> tuple[int, int]:
    """(height, width) of a picture."""
    with picture.open() as image:
        return upright_size(image)
