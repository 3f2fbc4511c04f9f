"""The idx format of MNIST and its relatives, compressed or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.memory import require
from vaeworks.errors import DataError

__all__ = ["is_idx_name", "labels_beside", "read_idx"]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def is_idx_name(path: Path) -> bool:
    """Whether a file is named as idx files are: ``*-ubyte``, ``*.idx``, ``*.idx3-ubyte``, with or without ``.gz``."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith("ubyte") or name.endswith((".idx", ".idx1", ".idx3", ".idx4")) or "-idx" in name


def labels_beside(path: Path) -> Path | None:
    """The labels file beside an images file that is named as MNIST's are, or None."""
    name = path.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    stem = name.removesuffix(".gz")
    for candidate in (path.with_name(stem), path.with_name(stem + ".gz")):
        if candidate.name != path.name and "labels" in candidate.name and candidate.is_file():
            return candidate
    return None


def read_idx(path: Path) -> NDArray[Any]:
    """The array in an idx file. DataError where the file is none, is cut short or is damaged."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or head[3] not in {1, 2, 3, 4}:
                start = head.hex(" ") or "nothing"
                raise DataError(f"{path} is no idx file, it starts with {start} and not with two zero bytes, a type and a rank: fetch it again")
            sizes = stream.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise DataError(f"{path} is cut short inside its header: fetch it again")
            shape = struct.unpack(f">{head[3]}I", sizes)
            dtype = np.dtype(_TYPES[head[2]])
            needed = math.prod(shape) * dtype.itemsize
            require(needed, f"{path.name}, of shape {shape},")
            body = stream.read(needed)
            extra = stream.read(1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or cut short ({error}): fetch it again") from error
    if len(body) != needed or extra:
        found = "more" if extra else f"{len(body)}"
        raise DataError(f"{path} is damaged: its header promises {needed} bytes of shape {shape}, and it holds {found}: fetch it again")
    return np.frombuffer(body, dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="))
