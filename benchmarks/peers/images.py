"""The images every contestant trains on: synthetic ones, or MNIST's idx files."""

__all__ = ["prepare"]

import gzip
from pathlib import Path

import numpy as np


def prepare(path: Path, count: int, data_dir: Path | None) -> Path:
    """Writes `count` images, (count, 28, 28) uint8, to `path` and returns it."""
    images = synthetic(count) if data_dir is None else mnist(data_dir)[:count]
    if len(images) < count:
        raise SystemExit(f"{data_dir} holds {len(images)} training images, {count} were asked for: lower --images")
    np.save(path, images)
    return path


def mnist(folder: Path) -> np.ndarray:
    """MNIST's training images from `train-images-idx3-ubyte`, gzipped or not."""
    for name in ("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"):
        if (folder / name).exists():
            raw = (folder / name).read_bytes()
            return np.frombuffer(gzip.decompress(raw) if name.endswith(".gz") else raw, np.uint8, offset=16).reshape(-1, 28, 28)
    raise SystemExit(f"{folder} holds no train-images-idx3-ubyte[.gz]: give --data-dir the folder of MNIST's idx files")


def synthetic(count: int) -> np.ndarray:
    """Three Gaussian blobs an image, about as much ink as a digit."""
    random = np.random.default_rng(0)
    centres, widths = random.uniform(6, 22, (count, 3, 2, 1)), random.uniform(1, 3, (count, 3, 2, 1))
    blobs = np.exp(-0.5 * ((np.arange(28) - centres) / widths) ** 2)
    ink = np.einsum("nbh,nbw->nhw", blobs[:, :, 0], blobs[:, :, 1])
    return (255 * np.clip(1.5 * ink, 0, 1)).astype(np.uint8)
