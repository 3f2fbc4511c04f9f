"""Arrays in files, by path: .npy, .npz, .amat and idx."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from vaeworks.data.arrays import from_array, name_labels, with_context, with_factors
from vaeworks.data.idx import is_idx_name, labels_beside, read_idx
from vaeworks.data.npy import npz_keys, read_npy, read_npz
from vaeworks.data.raw import FREE, TEST, Raw
from vaeworks.data.static import is_static, load_static
from vaeworks.errors import DataError
from vaeworks.model import ImageSchema

__all__ = ["is_array_file", "load_array_file"]

_IMAGES = ("x", "X", "images", "data", "arr_0")
_LABELS = ("y", "labels", "label", "targets", "arr_1")


def is_array_file(path: Path) -> bool:
    """Whether the name of a file says that it holds an array."""
    return path.suffix.lower() in {".npy", ".npz", ".amat"} or is_idx_name(path)


def load_array_file(path: Path, like: ImageSchema | None) -> Raw:
    """The pictures in an array file, with their labels where it (or an idx file beside it) has some. DataError where there are no pictures."""
    if is_static(path):
        return load_static(path)
    if path.suffix.lower() == ".npy":
        return from_array(read_npy(path), path.name, like)
    if path.suffix.lower() == ".npz":
        return _from_npz(path, like)
    array = read_idx(path)
    if array.ndim == 1:
        raise DataError(f"{path} holds {len(array)} numbers, labels as it seems: give the file with the images")
    beside = labels_beside(path)
    return from_array(array, path.name, like, None if beside is None else read_idx(beside))


def _from_npz(path: Path, like: ImageSchema | None) -> Raw:
    """The pictures under one of the usual keys, or x_train and x_test, or the only array."""
    keys = npz_keys(path)
    if "x_train" in keys and "x_test" in keys:
        return _train_and_test(path, keys, like)
    images = next((key for key in _IMAGES if key in keys), keys[0] if len(keys) == 1 else None)
    if images is None:
        found = ", ".join(keys) or "none"
        raise DataError(
            f"{path} holds no array named {', '.join(_IMAGES)}; found: {found}: save the pictures under such a name, np.savez(file, x=...)"
        )
    labels = next((key for key in _LABELS if key in keys and key != images), None)
    arrays = read_npz(path, *(key for key in (images, labels) if key is not None))
    return _beside(from_array(arrays[0], path.name, like, arrays[1] if labels is not None else None), path, keys, "")


def _train_and_test(path: Path, keys: list[str], like: ImageSchema | None) -> Raw:
    """The pictures of a file with an official split: x_train and x_test, and y_train and y_test where they are there."""
    train, test = read_npz(path, "x_train", "x_test")
    if train.shape[1:] != test.shape[1:]:
        raise DataError(f"{path}: x_train has items of shape {train.shape[1:]} and x_test of shape {test.shape[1:]}: make them agree")
    raw = from_array(np.concatenate([train, test]), path.name, like)
    raw = replace(raw, parts=np.repeat(np.array([FREE, TEST], dtype=np.int8), [len(train), len(test)]))
    raw = _beside(raw, path, keys, "_train", "_test")
    if "y_train" not in keys or "y_test" not in keys:
        return raw
    return name_labels(raw, np.concatenate(read_npz(path, "y_train", "y_test")))


def _beside(raw: Raw, path: Path, keys: list[str], *parts: str) -> Raw:
    """``raw`` with the context and the factors of variation that the file holds beside its pictures."""
    for key, names, add in (("context", "context_names", with_context), ("factors", "factor_names", with_factors)):
        found = [key + part for part in parts if key + part in keys]
        if len(found) < len(parts):
            continue
        arrays = read_npz(path, *found)
        if len({array.shape[1:] for array in arrays}) > 1:
            raise DataError(
                f"{path}: {' and '.join(found)} have rows of shape {', '.join(str(array.shape[1:]) for array in arrays)}: make them agree"
            )
        raw = add(raw, np.concatenate(arrays), read_npz(path, names)[0] if names in keys else None)
    return raw
