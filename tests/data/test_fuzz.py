"""Damaged files: whatever is in them, the outcome is data or one DataError, never anything else."""

import gzip
import io
import struct
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from vaeworks.data import Options, open_data
from vaeworks.errors import DataError


def originals(rng):
    pictures = rng.integers(0, 256, (12, 8, 8), dtype=np.uint8)
    npy, npz, packed = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(npy, pictures)
    np.savez(npz, x=pictures, y=np.arange(12) % 3)
    np.savez_compressed(packed, x=pictures / 7)
    idx = struct.pack(">BBBBIII", 0, 0, 8, 3, 12, 8, 8) + pictures.tobytes()
    files = {"a.npy": npy.getvalue(), "a.npz": npz.getvalue(), "b.npz": packed.getvalue(), "a-idx3-ubyte": idx, "a-idx3-ubyte.gz": gzip.compress(idx)}
    colour = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp"):
        body = io.BytesIO()
        Image.fromarray(colour).save(body, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
        files[f"a.{suffix}"] = body.getvalue()
    return files


def damaged(body: bytes, rng: np.random.Generator) -> bytes:
    """``body`` with some bytes changed, most of them near its start, or with its end cut off."""
    changed = bytearray(body)
    for _ in range(int(rng.integers(1, 6))):
        changed[int(len(body) * rng.random() ** 3)] = int(rng.integers(0, 256))
    return bytes(changed[: int(rng.integers(0, len(body)))] if rng.random() < 0.2 else changed)


@pytest.mark.parametrize("name", sorted(originals(np.random.default_rng(0))))
def test_damaged_files_end_in_data_or_one_error(name, tmp_path) -> None:
    rng = np.random.default_rng(1)
    body = originals(np.random.default_rng(0))[name]
    path = tmp_path / name
    for _ in range(20):
        path.write_bytes(damaged(body, rng))
        with suppress(DataError):
            open_data(path, options=Options(validation=0, test=0))
