import gzip
import struct

import numpy as np
import pytest

from vaeworks.data import Options, open_data, read_items
from vaeworks.errors import DataError

NAMES = {"train": 12, "valid": 4, "test": 5}


@pytest.fixture
def drawn(rng):
    return {part: rng.integers(0, 2, (count, 28, 28), dtype=np.uint8) for part, count in NAMES.items()}


def write_amat(folder, drawn) -> None:
    folder.mkdir(exist_ok=True)
    for part, array in drawn.items():
        np.savetxt(folder / f"binarized_mnist_{part}.amat", array.reshape(len(array), -1), fmt="%d")


def packed(drawn):
    return {part: np.packbits(array.reshape(len(array), -1), axis=1) for part, array in drawn.items()}


def check(data, drawn) -> None:
    for items, part in ((data.train, "train"), (data.validation, "valid"), (data.test, "test")):
        assert np.array_equal(items.values[:, 0].numpy(), drawn[part])
    assert (data.schema.levels, data.schema.binarisation, data.schema.shape) == (2, "static", (1, 28, 28))
    assert "(the official split, seed 0)" in " ".join(data.notes)


@pytest.mark.parametrize("folder", [".", "mnist"])
def test_larochelles_files_are_found_and_named(tmp_path, drawn, folder) -> None:
    write_amat(tmp_path / folder, drawn)
    data = open_data("mnist-binarized:static", options=Options(data_dir=tmp_path))
    check(data, drawn)
    assert "Larochelle's files" in data.schema.source
    check(open_data("mnist:static", options=Options(data_dir=tmp_path)), drawn)
    check(open_data("mnist", options=Options(data_dir=tmp_path, binarisation="static")), drawn)


def test_another_draw_is_labelled_as_what_it_is(tmp_path, drawn) -> None:
    np.savez(tmp_path / "mnist_static_seed7.npz", **packed(drawn))
    data = open_data("mnist-binarized:static", options=Options(data_dir=tmp_path))
    check(data, drawn)
    assert data.schema.source == "mnist-binarized:static, the fixed draw in mnist_static_seed7.npz, not Larochelle's"
    assert any("not Larochelle's" in note for note in data.notes)
    assert data.train.labels is None


def test_larochelles_files_come_first(tmp_path, drawn, rng) -> None:
    np.savez(tmp_path / "mnist_static_seed7.npz", **{k: 1 - v for k, v in packed(drawn).items()})
    write_amat(tmp_path, drawn)
    check(open_data("mnist-binarized:static", options=Options(data_dir=tmp_path)), drawn)


@pytest.mark.parametrize("form", ["packed", "flat", "pictures", "bool"])
def test_a_named_file_in_every_form(tmp_path, drawn, form) -> None:
    arrays = {
        "packed": packed(drawn),
        "flat": {k: v.reshape(len(v), -1) for k, v in drawn.items()},
        "pictures": drawn,
        "bool": {k: v.astype(bool) for k, v in drawn.items()},
    }[form]
    np.savez(tmp_path / "any.npz", **arrays)
    check(open_data("mnist-binarized:static", options=Options(static_file=tmp_path / "any.npz")), drawn)
    check(open_data(tmp_path / "any.npz"), drawn)


def test_a_folder_one_amat_and_a_lone_array(tmp_path, drawn) -> None:
    write_amat(tmp_path, drawn)
    for place in (tmp_path, tmp_path / "binarized_mnist_valid.amat"):
        check(open_data("mnist-binarized:static", options=Options(static_file=place)), drawn)
    np.save(tmp_path / "own.npy", drawn["train"])
    data = open_data("mnist-binarized:static", options=Options(static_file=tmp_path / "own.npy"))
    assert len(data.train) + len(data.validation) + len(data.test) == 12
    (tmp_path / "binarized_mnist_train.amat").rename(tmp_path / "other.amat")
    data = open_data(tmp_path / "other.amat")
    assert len(data.train) + len(data.validation) + len(data.test) == 12
    with pytest.raises(DataError, match=r"lacks binarized_mnist_train\.amat"):
        open_data("mnist-binarized:static", options=Options(static_file=tmp_path / "binarized_mnist_test.amat"))


def test_errors_name_the_file_and_the_cure(tmp_path, drawn) -> None:
    with pytest.raises(DataError, match=r"none was found.*binarized_mnist_train.amat.*mnist-binarized:dynamic"):
        open_data("mnist-binarized:static", options=Options(data_dir=tmp_path))
    with pytest.raises(DataError, match="does not exist"):
        open_data("mnist-binarized:static", options=Options(static_file=tmp_path / "gone.npz"))
    with pytest.raises(DataError, match="only for mnist-binarized:static"):
        open_data("digits:static", options=Options(static_file=tmp_path))
    with pytest.raises(DataError, match="holds no binarised MNIST"):
        open_data("mnist-binarized:static", options=Options(static_file=tmp_path))
    np.savez(tmp_path / "wrong.npz", x=drawn["train"])
    with pytest.raises(DataError, match="holds no binarised MNIST"):
        open_data("mnist-binarized:static", options=Options(static_file=tmp_path / "wrong.npz"))
    np.savez(tmp_path / "grey.npz", train=drawn["train"] * 7, valid=drawn["valid"], test=drawn["test"])
    with pytest.raises(DataError, match=r"grey\.npz\[train\] has shape"):
        open_data("mnist-binarized:static", options=Options(static_file=tmp_path / "grey.npz"))
    for text in ("", "0 1 2", "0 1 1", "<html>"):
        (tmp_path / "bad.amat").write_text(text)
        with pytest.raises(DataError, match=r"bad\.amat is damaged"):
            open_data(tmp_path / "bad.amat")


def test_labels_come_from_the_originals_where_they_prove_the_order(tmp_path, rng) -> None:
    grey = rng.integers(0, 256, (21, 28, 28), dtype=np.uint8)
    labels = (np.arange(21) % 10).astype(np.uint8)
    for name, array in (
        ("train-images-idx3", grey[:16]),
        ("train-labels-idx1", labels[:16]),
        ("t10k-images-idx3", grey[16:]),
        ("t10k-labels-idx1", labels[16:]),
    ):
        body = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
        (tmp_path / f"{name}-ubyte.gz").write_bytes(gzip.compress(body))
    bits = (rng.integers(0, 255, grey.shape) < grey).astype(np.uint8)
    np.savez(tmp_path / "mnist_static.npz", train=bits[:12], valid=bits[12:16], test=bits[16:])
    data = open_data("mnist-binarized:static", options=Options(data_dir=tmp_path))
    assert data.train.labels.tolist() == labels[:12].tolist()
    assert data.test.labels.tolist() == labels[16:].tolist()
    np.savez(tmp_path / "mnist_static.npz", train=bits[::-1][:12], valid=bits[12:16], test=bits[16:])
    assert open_data("mnist-binarized:static", options=Options(data_dir=tmp_path)).train.labels is None


def test_a_static_model_reads_the_static_test_split(tmp_path, drawn) -> None:
    write_amat(tmp_path, drawn)
    schema = open_data("mnist-binarized:static", options=Options(data_dir=tmp_path)).schema
    for name in ("mnist", "mnist-binarized:static"):
        assert np.array_equal(read_items(name, schema, options=Options(data_dir=tmp_path)).values[:, 0], drawn["test"])
