"""MNIST and the sets in its format: four idx files, found on this machine or fetched when asked for."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.download import absent, cache, fetch, md5
from vaeworks.data.idx import read_idx
from vaeworks.data.options import Options
from vaeworks.data.raw import FREE, TEST, Raw
from vaeworks.data.static import find_static, load_static
from vaeworks.errors import DataError

__all__ = ["RELATIVES", "Relative", "load_relative", "load_static_mnist"]

_FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


@dataclass(frozen=True)
class Relative:
    """Where a set is published, and how to know it."""

    url: str
    archives: tuple[str, ...]
    """md5 of the four compressed files."""
    classes: tuple[str, ...]
    contents: tuple[str, ...] = ()
    """md5 of the four files once decompressed, where they are known."""


RELATIVES = {
    "mnist": Relative(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        tuple(map(str, range(10))),
        (
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    ),
    "fashion-mnist": Relative(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": Relative(
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        (
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
}


def load_relative(name: str, folders: list[Path], options: Options) -> Raw:
    """All items of one of the sets, from the first of ``folders`` that has its files, compressed or not; else fetched to the cache.

    DataError where it is nowhere and no download was asked for, or where the files are damaged or those of another set.
    """
    files = next((found for folder in folders if (found := _four(name, folder))), None)
    return _read(name, files if files is not None else _fetched(name, options))


def load_static_mnist(folders: list[Path], options: Options) -> Raw:
    """Already binarised MNIST from ``options.static_file`` or the first draw in ``folders``; with labels where the originals prove their order."""
    if options.static_file is not None:
        path = Path(options.static_file)
        if not path.exists():
            raise DataError(f"static_file {str(path)!r} does not exist: give binarized_mnist_train.amat or another draw")
    else:
        found = find_static(folders)
        if found is None:
            looked = ", ".join(str(p) for p in (options.data_dir, cache("mnist")) if p is not None)
            raise DataError(
                f"mnist-binarized:static reads a fixed draw, and none was found in {looked}: put binarized_mnist_train.amat, _valid and _test there, "
                f"give another draw as static_file (--static-file), or use mnist-binarized:dynamic"
            )
        path = found
    drawn = load_static(path)
    files = next((four for folder in folders if (four := _four("mnist", folder))), None)
    grey = None if files is None else _read("mnist", files)
    if grey is None or grey.values.shape != drawn.values.shape or not _drawn_from(drawn.values, grey.values):
        return drawn
    labelled = replace(drawn, labels=grey.labels, classes=grey.classes)
    return labelled.note("Labels are those of MNIST: every drawn pixel is possible under the original item at its place.")


def _drawn_from(drawn: NDArray[np.uint8], grey: NDArray[np.uint8]) -> bool:
    """Whether each item can be a Bernoulli draw of the item at its place."""
    return not (((drawn == 1) & (grey == 0)) | ((drawn == 0) & (grey == 255))).any()


def _four(name: str, folder: Path) -> list[Path] | None:
    """The four files in a folder, or None where one is absent or where they are known to be those of another set."""
    paths = [next((p for p in (folder / file, folder / file.removesuffix(".gz")) if p.is_file()), None) for file in _FILES]
    files = [p for p in paths if p is not None]
    if len(files) < len(_FILES):
        return None
    others = {known.archives[0] for other, known in RELATIVES.items() if other != name}
    return None if md5(files[0]) in others else files


def _fetched(name: str, options: Options) -> list[Path]:
    """The four files in the cache; those that are not there yet are downloaded."""
    known = RELATIVES[name]
    if not options.download:
        raise absent(name, ", ".join(_FILES), known.url, options)
    files = [cache(name) / file for file in _FILES]
    for path, checksum in zip(files, known.archives, strict=True):
        if not path.is_file() or md5(path) != checksum:
            fetch(known.url + path.name, path, checksum, options)
    return files


def _read(name: str, files: list[Path]) -> Raw:
    """The set in four files, checked for belonging together and, where its checksums are known, for being the published one."""
    known = RELATIVES[name]
    arrays = [read_idx(path) for path in files]
    for path, array, rank in zip(files, arrays, (3, 1, 3, 1), strict=True):
        if array.ndim != rank or array.dtype != np.uint8 or not len(array):
            raise DataError(f"{path} holds {array.dtype} of shape {array.shape}, which no file of {name} does: fetch it again")
    images, labels, test_images, test_labels = arrays
    if len(images) != len(labels) or len(test_images) != len(test_labels) or images.shape[1:] != test_images.shape[1:]:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise DataError(f"the files of {name} in {files[0].parent} do not belong together, their shapes are {shapes}: fetch them again")
    contents = tuple(map(_content_md5, arrays))
    other = next((o for o, relative in RELATIVES.items() if o != name and contents[0] in relative.contents), None)
    if other is not None:
        raise DataError(f"the files in {files[0].parent} are those of {other}, not of {name}: give another data_dir (--data-dir), or use {other}")
    numbers = np.concatenate([labels, test_labels]).astype(np.int64)
    if numbers.max() >= len(known.classes):
        raise DataError(f"{files[0].parent} holds the label {numbers.max()}, and {name} has {len(known.classes)} classes: fetch the files again")
    parts = np.repeat(np.array([FREE, TEST], dtype=np.int8), [len(images), len(test_images)])
    raw = Raw(np.concatenate([images, test_images])[:, None], 256, name, numbers, known.classes, parts=parts)
    if known.contents == contents or known.archives == tuple(map(md5, files)):
        return raw
    return raw.note(f"The checksums of the files in {files[0].parent} are not those of the published {name}; they were read as they are.")


def _content_md5(array: NDArray[Any]) -> str:
    """md5 of the decompressed idx file that holds a uint8 array."""
    head = bytes([0, 0, 0x08, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return hashlib.md5(head + array.tobytes(), usedforsecurity=False).hexdigest()
