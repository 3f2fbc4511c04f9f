"""CIFAR-10 from its binary version. The Python version is made of pickles, which can run code, and is never read."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.download import absent, cache, fetch
from vaeworks.data.options import Options
from vaeworks.data.raw import FREE, TEST, Raw
from vaeworks.errors import DataError

__all__ = ["ARCHIVE", "CLASSES", "MD5", "URL", "load_cifar"]

URL = "https://www.cs.toronto.edu/~kriz/"
ARCHIVE = "cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
_RECORD = 1 + 3 * 32 * 32
_LARGEST = 20000 * _RECORD


def load_cifar(folders: list[Path], options: Options) -> Raw:
    """All pictures (3, 32, 32) with labels; the test batch is the official test split. DataError where it is nowhere, or damaged."""
    path = _find(folders)
    if path is None:
        if not options.download:
            raise absent("cifar10", ARCHIVE, URL, options)
        path = cache("cifar10") / ARCHIVE
        fetch(URL + ARCHIVE, path, MD5, options)
    batches = {name: (path / name).read_bytes() for name in _BATCHES} if path.is_dir() else _unpacked(path)
    values, labels = zip(*(_decode(batches[name], f"{path}: {name}") for name in _BATCHES), strict=True)
    parts = np.repeat(np.array([FREE] * 5 + [TEST], dtype=np.int8), [len(v) for v in values])
    return Raw(np.concatenate(values), 256, "cifar10", np.concatenate(labels), CLASSES, parts=parts)


def _find(folders: list[Path]) -> Path | None:
    """The archive, or the folder with the six extracted batches. DataError where only the pickled version is there."""
    for folder in folders:
        for place in (folder, folder / "cifar-10-batches-bin"):
            if all((place / name).is_file() for name in _BATCHES):
                return place
        if (folder / ARCHIVE).is_file():
            return folder / ARCHIVE
    for folder in folders:
        for pickled in (folder / "cifar-10-python.tar.gz", folder / "data_batch_1", folder / "cifar-10-batches-py" / "data_batch_1"):
            if pickled.is_file():
                raise DataError(f"{pickled} is the Python version of CIFAR-10, pickles that can run code when read: get the binary one, {ARCHIVE}")
    return None


def _unpacked(path: Path) -> dict[str, bytes]:
    """The six batches of an archive, read in place: nothing is extracted."""
    batches = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                if name in _BATCHES and member.isfile() and member.size <= _LARGEST and (file := archive.extractfile(member)) is not None:
                    with file:
                        batches[name] = file.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path} is damaged or cut short ({error}): fetch it again") from error
    lacking = [name for name in _BATCHES if name not in batches]
    if lacking:
        raise DataError(f"{path} lacks {', '.join(lacking)}, so it is not the binary version of CIFAR-10: fetch {ARCHIVE} again")
    return batches


def _decode(batch: bytes, what: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures (N, 3, 32, 32) and labels (N,) of records of one label byte and 3072 pixels."""
    if not batch or len(batch) % _RECORD:
        raise DataError(f"{what} has {len(batch)} bytes, not a multiple of {_RECORD}, so it is damaged: fetch it again")
    records = np.frombuffer(batch, dtype=np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= len(CLASSES):
        raise DataError(f"{what} holds the label {labels.max()}, and CIFAR-10 has 10 classes, so it is damaged: fetch it again")
    return records[:, 1:].reshape(-1, 3, 32, 32), labels
