"""The room on real data, where they are on this machine."""

import gzip
import struct

import numpy as np
import torch
from PIL import Image

from vaeworks.data import Options, open_data, read_items


def images(path):
    body = gzip.decompress(path.read_bytes())
    return np.frombuffer(body, np.uint8, offset=16).reshape(struct.unpack(">3I", body[4:16]))


def test_mnist(shared) -> None:
    data = open_data("mnist", options=Options(data_dir=shared))
    assert [len(data.train), len(data.validation), len(data.test)] == [55000, 5000, 10000]
    assert np.array_equal(data.test.values[:, 0], images(shared / "mnist" / "t10k-images-idx3-ubyte.gz"))
    assert not any("checksums" in note for note in data.notes)
    assert abs(data.schema.mean - 0.1307) < 0.0005
    assert abs(data.schema.std - 0.3081) < 0.0005


def test_static_mnist_has_the_labels_of_its_originals(shared) -> None:
    data = open_data("mnist-binarized:static", options=Options(data_dir=shared, limit=60000))
    packed = np.load(shared / "mnist_static_bernoulli_seed20240101.npz")
    assert [len(data.train), len(data.validation), len(data.test)] == [50000, 10000, 10000]
    assert np.array_equal(np.packbits(data.test.values.numpy().reshape(10000, -1), axis=1), packed["test"])
    assert "not Larochelle's" in data.schema.source
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_cifar_sorted_by_class_is_split_at_random(shared) -> None:
    data = open_data(shared / "cifar10_train_10000.npz")
    assert data.schema.shape == (3, 32, 32)
    assert torch.bincount(data.test.labels).min() > 60


def test_a_persons_folder_of_emojis(shared) -> None:
    data = open_data(shared / "emojitwo_png64", options=Options(limit=300))
    assert data.schema.shape == (4, 64, 64)
    assert data.schema.mode == "RGBA"
    with Image.open(shared / "emojitwo_png64" / data.train.names[0]) as image:
        truth = np.array(image.convert("RGBA"))
    truth[truth[..., 3] == 0] = 0
    assert np.array_equal(data.train.values[0].permute(1, 2, 0), truth)
    items = read_items(shared / "emojitwo_png64", data.schema, options=Options(limit=300, split="train"))
    assert torch.equal(items.values, data.train.values)
