"""A folder of pictures."""

from __future__ import annotations

from pathlib import Path

from vaeworks.data.gallery import Picture, load_gallery
from vaeworks.data.options import Options
from vaeworks.data.raw import Raw
from vaeworks.data.walk import by_folder, walk
from vaeworks.model import ImageSchema

__all__ = ["SUFFIXES", "is_picture", "load_folder", "load_picture"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"})


def is_picture(path: Path) -> bool:
    """Whether the name of a file says that it is a picture."""
    return path.suffix.lower() in SUFFIXES


def load_picture(path: Path, like: ImageSchema | None, options: Options) -> Raw:
    """A single picture file."""
    return load_gallery([Picture(path.name, path)], path.name, like, options)


def load_folder(root: Path, like: ImageSchema | None, options: Options) -> Raw:
    """All pictures below ``root``. Folders at the first level at which they branch are labels, or a split where they are named train, test ...

    DataError where there are no pictures, or a folder cannot be read and ``options.strict``.
    """
    found = walk(root, is_picture, SUFFIXES, "picture", options)
    paths, limited = found.limited(options)
    pictures = [Picture(name, path) for name, path in zip(found.names(paths), paths, strict=True)]
    raw = load_gallery(pictures, f"folder {root.resolve().name or root}", like, options)
    return by_folder(raw.note(limited, *found.aside()), "picture")
