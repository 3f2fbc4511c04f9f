"""Already binarised MNIST: Larochelle's text files, or any other fixed draw in .npz or .npy, labelled as what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.npy import npz_keys, read_npy, read_npz
from vaeworks.data.raw import TEST, TRAIN, VALIDATION, Raw
from vaeworks.errors import DataError

__all__ = ["find_static", "is_static", "load_static"]

_AMAT = {TRAIN: "binarized_mnist_train.amat", VALIDATION: "binarized_mnist_valid.amat", TEST: "binarized_mnist_test.amat"}
_KEYS = {TRAIN: "train", VALIDATION: "valid", TEST: "test"}
_SIDE = 28


def is_static(path: Path) -> bool:
    """Whether a file holds a fixed binary draw in three parts: an .amat file, or a .npz file with train, valid and test."""
    if path.suffix.lower() != ".npz":
        return path.suffix.lower() == ".amat"
    try:
        return set(_KEYS.values()) <= set(npz_keys(path))
    except DataError:
        return False


def find_static(folders: list[Path]) -> Path | None:
    """The first already binarised MNIST in ``folders``: Larochelle's files before any other draw."""
    for pattern in ("binarized_mnist_train.amat", "*mnist*static*.npz", "*static*mnist*.npz"):
        for folder in folders:
            for path in sorted(folder.glob(pattern)):
                if is_static(path):
                    return path
    return None


def load_static(path: Path) -> Raw:
    """The fixed draw in a file (one of Larochelle's stands for all three) or a folder: two levels, with its own split where it has one."""
    if path.is_dir():
        found = find_static([path])
        if found is None:
            raise DataError(f"{path} holds no binarised MNIST: put {', '.join(_AMAT.values())} there, or a .npz file with train, valid and test")
        path = found
    if path.name in _AMAT.values():
        return _load_larochelle(path.parent)
    source = f"mnist-binarized:static, the fixed draw in {path.name}, not Larochelle's"
    told = f"Static binarisation: a fixed Bernoulli draw of MNIST, read from {path.name}; it is not Larochelle's, and figures differ a little."
    suffix = path.suffix.lower()
    if is_static(path) and suffix == ".npz":
        arrays = read_npz(path, *_KEYS.values())
        return _joined({part: _bits(array, f"{path.name}[{_KEYS[part]}]") for part, array in zip(_KEYS, arrays, strict=True)}, source, told)
    if suffix in {".npy", ".amat"}:
        values = _bits(read_npy(path), path.name) if suffix == ".npy" else _read_amat(path)
        return Raw(values, 2, source, binarisation="static").note(told)
    raise DataError(f"{path} holds no binarised MNIST: give .amat files, a .npy file, or a .npz file with train, valid and test")


def _load_larochelle(folder: Path) -> Raw:
    """The three text files."""
    absent = [name for name in _AMAT.values() if not (folder / name).is_file()]
    if absent:
        raise DataError(f"{folder} lacks {', '.join(absent)}: put all of {', '.join(_AMAT.values())} there")
    source = "mnist-binarized:static, Larochelle's files binarized_mnist_*.amat"
    told = "Static binarisation: the fixed draw in binarized_mnist_{train,valid,test}.amat, named as Larochelle's, with its own split."
    return _joined({part: _read_amat(folder / name) for part, name in _AMAT.items()}, source, told)


def _read_amat(path: Path) -> NDArray[np.uint8]:
    """(N, 1, 28, 28) of 0 and 1 from lines of 784 digits parted by spaces."""
    text = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    digits = text[(text == ord("0")) | (text == ord("1"))] - ord("0")
    if not np.isin(text, np.frombuffer(b"01 \t\r\n", dtype=np.uint8)).all() or not len(digits) or len(digits) % _SIDE**2:
        raise DataError(f"{path} is damaged, or no file of binarised MNIST: it must hold lines of {_SIDE**2} digits 0 or 1")
    values: NDArray[np.uint8] = digits.reshape(-1, 1, _SIDE, _SIDE)
    return values


def _bits(array: NDArray[Any], what: str) -> NDArray[np.uint8]:
    """(N, 1, 28, 28) of 0 and 1 from (N, 98) packed bits, (N, 784) or (N, 28, 28)."""
    if array.dtype == np.uint8 and array.ndim == 2 and array.shape[1] == _SIDE**2 // 8:
        array = np.unpackbits(array, axis=1)
    if array.dtype.kind not in "buif" or array.ndim < 2 or array[:1].size != _SIDE**2 or not ((array == 0) | (array == 1)).all():
        kind = f"shape {array.shape} and type {array.dtype}"
        raise DataError(f"{what} has {kind}: give 0 and 1 of shape (N, 784) or (N, 28, 28), or bits packed to (N, 98)")
    values: NDArray[np.uint8] = array.astype(np.uint8).reshape(-1, 1, _SIDE, _SIDE)
    return values


def _joined(parts: dict[int, NDArray[np.uint8]], source: str, told: str) -> Raw:
    """The three parts, one after the other."""
    part = np.repeat(np.array(list(parts), dtype=np.int8), [len(v) for v in parts.values()])
    return Raw(np.concatenate(list(parts.values())), 2, source, parts=part, binarisation="static").note(told)
