"""Pictures: sheets of images in a grid, in named rows or in a strip, magnified so that small ones can be seen, and what the page shows of them."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from vaeworks.errors import DataError
from vaeworks.files import replace_file
from vaeworks.model import ImageSchema
from vaeworks.reporting.exhibits import Exhibit

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = ["Pictures", "grid", "picture_html", "png", "rows", "save_png"]

GAP = 2
"""Pixels between two pictures."""
BACKGROUND = 200
"""Grey of the gaps: pictures with black edges and pictures with white edges both stand out against it."""
TILE = 56
"""Edge, in pixels, that small pictures are magnified to, about."""
CHECKS = (255, 224)
"""Greys of the checkerboard behind transparent pictures."""
CHECK = 8
"""Pixels of one of its squares."""
LONGEST_EDGE = 2400
"""Most pixels along an edge of a picture on the page."""


class Pictures(Exhibit[ImageSchema]):
    """One version as a grid, or as a strip where the items are ``in_order``; several below each other."""

    suffixes = (".png",)

    def sheet(self) -> Image:
        """Everything on one picture."""
        if len(self.versions) > 1:
            return rows(self.schema, self.versions)
        return grid(self.schema, self.last, columns=len(self.last) if self.in_order else None)

    def write_file(self, path: Path) -> None:
        save_png(self.sheet(), path)

    def write_folder(self, path: Path) -> str:
        images = self.schema.to_images(self.last)
        for i, image in enumerate(images):
            save_png(image, path / f"{self.stem(i)}.png")
        return f"{len(images)} images"

    def html(self, alternative: str, budget: int) -> str:
        return picture_html(self.sheet(), alternative, budget, named=len(self.versions) > 1)


def grid(schema: ImageSchema, x: Tensor, columns: int | None = None, scale: int | None = None) -> Image:
    """One sheet of all pictures in x (N, *shape), row by row: mode L for grey pictures, RGB for coloured ones.

    Each pixel becomes ``scale`` x ``scale`` pixels of the same value; transparent pictures lie on a checkerboard.
    DataError where items have no picture form.
    """
    tiles = _tiles(schema, x, scale)
    width, height = tiles[0].size
    columns = min(len(tiles), columns or math.ceil(math.sqrt(len(tiles) * height / width)))
    sheet = _blank(tiles[0].mode, columns * (width + GAP) + GAP, math.ceil(len(tiles) / columns) * (height + GAP) + GAP)
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (GAP + i % columns * (width + GAP), GAP + i // columns * (height + GAP)))
    return sheet


def rows(schema: ImageSchema, named: Mapping[str, Tensor], columns: int | None = None, scale: int | None = None) -> Image:
    """Several versions of the same N items, (N, *shape) each: one below the other, the name of each at the left of its row.

    More items than ``columns`` go on in further blocks below.
    """
    from PIL import ImageDraw, ImageFont

    versions = {name: _tiles(schema, x, scale) for name, x in named.items()}
    counts = {name: len(tiles) for name, tiles in versions.items()}
    if len(set(counts.values())) != 1:
        raise DataError(f"these versions of the same items differ in number: {counts}")
    first = next(iter(versions.values()))
    (width, height), count = first[0].size, len(first)
    if columns is None:
        blocks = math.ceil(count * (width + GAP) / 900)
        columns = math.ceil(count / blocks)
    columns = max(1, min(columns, count))
    font = ImageFont.load_default(size=14)
    margin = math.ceil(max(font.getlength(name) for name in versions)) + 16
    cell = max(height, 18)  # room for a name beside flat pictures
    pitch = cell + GAP
    block = len(versions) * pitch + 6 * GAP
    sheet = _blank(first[0].mode, margin + columns * (width + GAP), math.ceil(count / columns) * block - 4 * GAP)
    draw = ImageDraw.Draw(sheet)
    for r, (name, tiles) in enumerate(versions.items()):
        for i, tile in enumerate(tiles):
            top = GAP + i // columns * block + r * pitch
            if i % columns == 0:
                draw.text((margin - 8, top + cell / 2), name, fill="black", font=font, anchor="rm")
            sheet.paste(tile, (margin + i % columns * (width + GAP), top + (cell - height) // 2))
    return sheet


def png(picture: Image | Figure) -> bytes:
    """A picture, or a matplotlib figure, as the bytes of a PNG file; the same picture gives the same bytes."""
    buffer = io.BytesIO()
    if hasattr(picture, "savefig"):
        picture.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    else:
        picture.save(buffer, format="PNG")
    return buffer.getvalue()


def save_png(picture: Image | Figure, path: Path | str) -> None:
    """Write a picture or a matplotlib figure; a file that was there is replaced at once and whole. ArtifactError where the disk refuses."""
    replace_file(Path(path), png(picture))


def _tiles(schema: ImageSchema, x: Tensor, scale: int | None) -> list[Image]:
    """x (N, *shape) as opaque pictures of one size and mode."""
    from PIL.Image import Resampling

    if not len(x):
        raise DataError("there are no items to make a picture of")
    images = schema.to_images(x)
    width, height = images[0].size
    scale = scale or max(1, round(TILE / max(width, height)))
    return [_opaque(image.resize((scale * width, scale * height), Resampling.NEAREST)) for image in images]


def _opaque(image: Image) -> Image:
    """The picture on a checkerboard where it is transparent."""
    import numpy as np
    from PIL import Image as Pillow

    if not image.mode.endswith("A"):
        return image
    row, column = np.arange(image.height)[:, None] // CHECK, np.arange(image.width) // CHECK
    board = Pillow.fromarray(np.where((row + column) % 2, *CHECKS[::-1]).astype(np.uint8)).convert(image.mode[:-1])
    board.paste(image.convert(image.mode[:-1]), mask=image.getchannel("A"))
    return board


def _blank(mode: str, width: int, height: int) -> Image:
    from PIL import Image as Pillow

    return Pillow.new(mode, (width, height), BACKGROUND if mode == "L" else (BACKGROUND,) * 3)


def picture_html(picture: Image | Figure | bytes, alternative: str, budget: int, *, named: bool = False) -> str:
    """A picture inside the page, made smaller until its file has ``budget`` bytes at most; ``alternative`` is what it shows, in words.

    On narrow screens a flat one, or one whose rows are ``named``, is scrolled through and not made smaller still.
    """
    content, width, height = _fitted(picture, budget)
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    scrolling = ' class="wide scroll" tabindex="0"' if width > 2 * height or (named and width > 400) else ""
    return f'<figure{scrolling}><img src="{source}" width="{width}" height="{height}" alt="{escape(alternative)}"></figure>'


def _fitted(picture: Image | Figure | bytes, budget: int) -> tuple[bytes, int, int]:
    """A PNG file of at most ``budget`` bytes, the picture made smaller where it is large, with the width and height to show it at."""
    from PIL import Image as Pillow

    image = picture if isinstance(picture, Pillow.Image) else Pillow.open(io.BytesIO(picture if isinstance(picture, bytes) else png(picture)))
    image = image if image.mode in {"L", "LA", "RGB", "RGBA"} else image.convert("RGBA")
    dense = max(1.0, image.info.get("dpi", (0, 0))[0] / 100)  # figures are drawn with more pixels than they are to be shown at
    factor = min(1.0, LONGEST_EDGE / max(image.size))
    while True:
        width, height = (max(1, round(edge * factor)) for edge in image.size)
        content = png(image if (width, height) == image.size else image.resize((width, height), Pillow.Resampling.LANCZOS))
        if len(content) <= budget or max(width, height) <= 64:
            return content, round(width / dense), round(height / dense)
        factor *= max(0.5, min(0.9, (budget / len(content)) ** 0.5))
