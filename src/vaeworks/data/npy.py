"""numpy's .npy and .npz files, read with their header checked against their length first, and never unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vaeworks.data.memory import require
from vaeworks.errors import DataError

__all__ = ["npz_keys", "read_npy", "read_npz", "shapes"]

_PIECE = 1 << 24


def read_npy(path: Path) -> NDArray[Any]:
    """The array in a .npy file. DataError where it is none, is cut short, or holds Python objects."""
    with path.open("rb") as file:
        return _read(file, path.name, path.stat().st_size)


def npz_keys(path: Path) -> list[str]:
    """The names of the arrays in a .npz file, sorted. DataError where it is no such file."""
    with _archive(path) as archive:
        return sorted(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))


def read_npz(path: Path, *keys: str) -> list[NDArray[Any]]:
    """The arrays named ``keys``. DataError where one is damaged, cut short, or holds Python objects."""
    arrays = []
    with _archive(path) as archive:
        for key in keys:
            with archive.open(f"{key}.npy") as file:
                arrays.append(_read(file, f"{path.name}[{key}]", archive.getinfo(f"{key}.npy").file_size))
    return arrays


def shapes(path: Path, *keys: str) -> dict[str, tuple[int, ...]]:
    """The shape of the array in a .npy file, under "", or of those named ``keys`` in a .npz file, without reading them."""
    if path.suffix.lower() != ".npz":
        with path.open("rb") as file:
            return {"": _header(file, path.name)[0]}
    found = {}
    with _archive(path) as archive:
        for key in keys:
            with archive.open(f"{key}.npy") as file:
                found[key] = _header(file, f"{path.name}[{key}]")[0]
    return found


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The opened archive; whatever damaged bytes make the zip reader raise becomes a DataError."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            yield archive
    except (DataError, OSError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is no .npz file, or it is damaged or cut short ({reason}): write it again with np.savez") from error


def _header(file: IO[bytes], what: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and type from the header of a .npy stream."""
    try:
        version = npy.read_magic(file)
        if version in {(1, 0), (2, 0), (3, 0)}:
            return npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
    except Exception as error:  # numpy parses the header as Python text, which damaged bytes make fail in many ways
        raise DataError(f"{what} is no numpy array, or it is damaged or cut short: write it again with np.save") from error
    raise DataError(f"{what} is a numpy file of the unknown version {version}: write it again with np.save")


def _read(file: IO[bytes], what: str, size: int) -> NDArray[Any]:
    """The array in a .npy stream of ``size`` bytes."""
    shape, fortran, dtype = _header(file, what)
    if dtype.hasobject:
        raise DataError(f"{what} holds Python objects, which are never loaded because that can run code: save plain numbers, x.astype('uint8')")
    needed = math.prod(shape) * dtype.itemsize
    if needed > size or min(shape, default=0) < 0:
        raise DataError(f"{what} is cut short: its header promises shape {shape} of {dtype}, {needed} bytes, more than it holds: write it again")
    require(needed, f"{what}, of shape {shape},")
    body = bytearray()
    while len(body) < needed and (piece := file.read(min(_PIECE, needed - len(body)))):
        body += piece
    if len(body) < needed:
        raise DataError(f"{what} is cut short: its header promises {needed} bytes and {len(body)} are there: write it again")
    array = np.frombuffer(body, dtype=dtype, count=math.prod(shape))
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
