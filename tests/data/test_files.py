import gzip
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from vaeworks.data import Options, open_data, read_items
from vaeworks.errors import DataError


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (40, 9, 10), dtype=np.uint8)


def as_set(*items):
    return sorted(value.numpy().tobytes() for part in items for value in part.values)


def all_of(data):
    return as_set(data.train, data.validation, data.test)


def truth(pictures):
    return sorted(p.tobytes() for p in pictures)


def write_idx(path, array, code=0x08) -> None:
    body = struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)


def test_npy_in_either_order(pictures, tmp_path) -> None:
    for name, array in (("c.npy", pictures), ("f.npy", np.asfortranarray(pictures))):
        np.save(tmp_path / name, array)
        data = open_data(tmp_path / name)
        assert all_of(data) == truth(pictures)
        assert data.schema.source == name
        assert data.schema.classes == ()
        assert data.train.labels is None


@pytest.mark.parametrize("key", ["x", "X", "images", "data", "arr_0", "anything"])
def test_npz_by_its_usual_keys_or_its_only_array(pictures, tmp_path, key) -> None:
    np.savez_compressed(tmp_path / "a.npz", **{key: pictures})
    assert all_of(open_data(str(tmp_path / "a.npz"))) == truth(pictures)


@pytest.mark.parametrize("key", ["y", "labels"])
@pytest.mark.parametrize(
    "labels",
    [
        np.arange(40) % 3 + 5,
        np.array(["cat", "dog"])[np.arange(40) % 2],
        (np.arange(40) % 2)[:, None],
        np.eye(4)[np.arange(40) % 4],
        np.arange(40) % 2 == 0,
    ],
)
def test_npz_labels(pictures, tmp_path, key, labels) -> None:
    np.savez(tmp_path / "a.npz", x=pictures, index=np.arange(40), **{key: labels})
    data = open_data(tmp_path / "a.npz", options=Options(validation=0, test=0))
    flat = labels.argmax(1) if labels.ndim == 2 and labels.shape[1] > 1 else labels.ravel()
    want = [str(int(v)) if flat.dtype.kind != "U" else str(v) for v in flat]
    assert [data.schema.classes[i] for i in data.train.labels] == want
    assert list(data.schema.classes) == sorted(set(want))


@pytest.mark.parametrize("labels", [np.linspace(0, 1, 40), np.arange(40)])
def test_labels_that_are_no_classes_are_left_out_with_a_note(pictures, tmp_path, labels) -> None:
    np.savez(tmp_path / "a.npz", x=pictures, y=labels)
    data = open_data(tmp_path / "a.npz")
    assert data.train.labels is None
    assert data.schema.classes == ()
    assert any("Labels" in note and "left out" in note for note in data.notes)


def test_labels_of_the_wrong_length_are_refused(pictures, tmp_path) -> None:
    np.savez(tmp_path / "a.npz", x=pictures, y=np.arange(39))
    with pytest.raises(DataError, match="40 items and labels of shape"):
        open_data(tmp_path / "a.npz")


def test_npz_with_an_official_split_keeps_it(pictures, tmp_path) -> None:
    np.savez(tmp_path / "a.npz", x_train=pictures[:30], y_train=np.arange(30) % 2, x_test=pictures[30:], y_test=np.arange(10) % 2)
    data = open_data(tmp_path / "a.npz")
    assert as_set(data.test) == truth(pictures[30:])
    assert [len(data.train), len(data.validation)] == [27, 3]
    assert data.schema.classes == ("0", "1")
    assert len(read_items(tmp_path / "a.npz", data.schema)) == 40
    assert len(read_items(tmp_path / "a.npz", data.schema, options=Options(split="test"))) == 10


def test_copies_of_official_test_items_are_dropped_from_training(pictures, tmp_path) -> None:
    np.savez(tmp_path / "a.npz", x_train=np.concatenate([pictures[:30], pictures[35:37]]), x_test=pictures[30:])
    data = open_data(tmp_path / "a.npz")
    assert len(data.test) == 10
    assert len(data.train) + len(data.validation) == 30
    assert any("2 items were dropped from training" in note for note in data.notes)


def test_npz_without_a_known_key_lists_its_keys(pictures, tmp_path) -> None:
    np.savez(tmp_path / "a.npz", left=pictures, right=pictures)
    with pytest.raises(DataError, match="found: left, right: save the pictures"):
        open_data(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz")
    with pytest.raises(DataError, match="found: none"):
        open_data(tmp_path / "b.npz")


class Bomb:
    """A pickle that leaves a file behind when it is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_pickles_are_refused_and_never_run(tmp_path, name) -> None:
    bomb = np.array([Bomb(str(tmp_path / "ran"))], dtype=object)
    (np.savez if name.endswith("z") else np.save)(tmp_path / name, bomb)
    with pytest.raises(DataError, match="Python objects, which are never loaded because that can run code"):
        open_data(tmp_path / name)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb(str(tmp_path / "ran"))))
    with pytest.raises(DataError, match="no numpy array"):
        open_data(tmp_path / "b.npy")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("cut", [0, 3, 20, 100, 1000, -1])
def test_a_truncated_npy_or_npz_is_one_clear_error(pictures, tmp_path, cut) -> None:
    for name, save in (("a.npy", np.save), ("a.npz", np.savez), ("b.npz", np.savez_compressed)):
        save(tmp_path / name, pictures)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:cut])
        with pytest.raises(DataError, match="cut short"):
            open_data(tmp_path / name)


def test_a_damaged_npz_member_is_one_clear_error(pictures, tmp_path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=pictures)
    body = bytearray((tmp_path / "a.npz").read_bytes())
    body[200:260] = bytes(60)
    (tmp_path / "a.npz").write_bytes(body)
    with pytest.raises(DataError, match="damaged"):
        open_data(tmp_path / "a.npz")


def test_a_header_that_promises_more_than_there_is_reads_nothing(tmp_path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 28, 28)})
    (tmp_path / "a.npy").write_bytes(header.getvalue() + bytes(1000))
    with pytest.raises(DataError, match="cut short: its header promises shape"):
        open_data(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(1000))
    with pytest.raises(DataError, match="cut short"):
        open_data(tmp_path / "a.npz")


def test_a_file_that_is_not_what_its_name_says(tmp_path, pictures) -> None:
    (tmp_path / "a.npy").write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"a\.npy is no numpy array"):
        open_data(tmp_path / "a.npy")
    (tmp_path / "a.npz").write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"a\.npz is no \.npz file"):
        open_data(tmp_path / "a.npz")
    (tmp_path / "a-idx3-ubyte").write_text("<html>not found</html>")
    with pytest.raises(DataError, match=r"is no idx file, it starts with 3c 68 74 6d"):
        open_data(tmp_path / "a-idx3-ubyte")


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "train-images.idx3-ubyte"])
def test_idx_with_labels_beside_it(pictures, tmp_path, name) -> None:
    labels = (np.arange(40) % 4).astype(np.uint8)
    write_idx(tmp_path / name, pictures)
    write_idx(tmp_path / name.replace("images", "labels").replace("idx3", "idx1"), labels)
    data = open_data(tmp_path / name, options=Options(validation=0, test=0))
    assert np.array_equal(data.train.values[:, 0].numpy(), pictures)
    assert data.train.labels.tolist() == labels.tolist()


def test_idx_alone_packed_under_a_plain_name_and_other_types(pictures, tmp_path, rng) -> None:
    (tmp_path / "faces.idx").write_bytes(gzip.compress(struct.pack(">BBBBIII", 0, 0, 8, 3, 40, 9, 10) + pictures.tobytes()))
    assert all_of(open_data(tmp_path / "faces.idx")) == truth(pictures)
    floats = rng.normal(size=(20, 8, 8)).astype(">f4")
    write_idx(tmp_path / "floats-idx3-float", floats, 0x0D)
    data = open_data(tmp_path / "floats-idx3-float", options=Options(validation=0, test=0))
    assert np.array_equal(data.train.values[:, 0].numpy(), floats.astype(np.float32))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_damaged_idx_is_one_clear_error(pictures, tmp_path, suffix) -> None:
    path = tmp_path / f"a-idx3-ubyte{suffix}"
    write_idx(path, pictures)
    whole = path.read_bytes()
    for body in (whole[:2], whole[:10], whole[:-9], b""):
        path.write_bytes(body)
        with pytest.raises(DataError, match="a-idx3-ubyte"):
            open_data(path)
    path.write_bytes(whole + b"x" if not suffix else gzip.compress(gzip.decompress(whole) + b"x"))
    with pytest.raises(DataError, match="holds more"):
        open_data(path)


def test_an_empty_array_is_one_clear_error(tmp_path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 28, 28), np.uint8))
    write_idx(tmp_path / "a-idx3-ubyte", np.zeros((0, 28, 28), np.uint8))
    for name in ("a.npy", "a-idx3-ubyte"):
        with pytest.raises(DataError, match="holds no items"):
            open_data(tmp_path / name)


def test_a_labels_file_is_no_source(tmp_path) -> None:
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(10, dtype=np.uint8))
    with pytest.raises(DataError, match="labels as it seems"):
        open_data(tmp_path / "train-labels-idx1-ubyte")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("mnis", "did you mean mnist"),
        ("fashion_mnist", "did you mean fashion-mnist"),
        ("cifar-10", "did you mean cifar10"),
        ("nothing/here", "give a path that exists, or one of digits"),
        ("hf://a/b", "fetch it with download=True"),
    ],
)
def test_a_missing_path_says_what_may_have_been_meant(given, says) -> None:
    with pytest.raises(DataError, match=says) as caught:
        open_data(given)
    assert given in str(caught.value)


def test_a_missing_path_finds_its_neighbour(tmp_path, pictures) -> None:
    np.save(tmp_path / "pictures.npy", pictures)
    with pytest.raises(DataError, match=r"did you mean .*pictures\.npy"):
        open_data(tmp_path / "picture.npy")


@pytest.mark.parametrize("name", ["a.doc", "a.xlsx", "a"])
def test_an_unknown_suffix_lists_what_can_be_read(tmp_path, name) -> None:
    (tmp_path / name).write_text("1,2")
    with pytest.raises(DataError, match=r"of a kind that cannot be read.*\.npy, \.npz, idx files, a folder of pictures"):
        open_data(tmp_path / name)


def test_a_file_that_may_not_be_read_is_named(tmp_path, pictures, monkeypatch) -> None:
    np.save(tmp_path / "a.npy", pictures)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(tmp_path / "a.npy"))

    monkeypatch.setattr("vaeworks.data.npy._read", refuse)
    with pytest.raises(DataError, match=r"a\.npy cannot be read: Permission denied"):
        open_data(tmp_path / "a.npy")


def test_memory_is_checked_before_a_file_is_read(tmp_path, pictures, monkeypatch) -> None:
    np.savez(tmp_path / "a.npz", x=pictures)
    monkeypatch.setattr("vaeworks.data.memory.available", lambda: 100)
    with pytest.raises(DataError, match=r"a\.npz\[x\], of shape \(40, 9, 10\), needs 0\.0 GB of memory"):
        open_data(tmp_path / "a.npz")
