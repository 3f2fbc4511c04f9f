import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from sklearn.datasets import load_digits

from vaeworks.data import BUILTIN, Options, cifar, open_data, read_items, relatives
from vaeworks.errors import DataError

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array) -> bytes:
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def small(rng):
    """The four arrays of a small set in MNIST's format."""
    return [
        rng.integers(0, 256, (60, 28, 28), dtype=np.uint8),
        (np.arange(60) % 10).astype(np.uint8),
        rng.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        (np.arange(20) % 10).astype(np.uint8),
    ]


def write(folder, arrays, packed=True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(FILES, arrays, strict=True):
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(idx(array)) if packed else idx(array))


def as_set(*items):
    return sorted(value.numpy().tobytes() for part in items for value in part.values)


def test_digits_are_scikit_learns() -> None:
    data = open_data("digits")
    assert (data.schema.shape, data.schema.levels, data.schema.mode) == ((1, 8, 8), 17, "L")
    assert data.schema.classes == tuple("0123456789")
    assert data.schema.source == "digits"
    truth = load_digits()
    assert as_set(data.train, data.validation, data.test) == sorted(i.astype(np.uint8).tobytes() for i in truth.images)
    label = {i.astype(np.uint8).tobytes(): t for i, t in zip(truth.images, truth.target, strict=True)}
    assert all(label[v.numpy().tobytes()] == y for v, y in zip(data.test.values, data.test.labels, strict=True))


@pytest.mark.parametrize("suffix", ["dynamic", "static", "threshold", "none"])
def test_a_suffix_names_the_binarisation(suffix) -> None:
    data = open_data(f"digits:{suffix}")
    grey = open_data("digits")
    assert data.schema.binarisation == suffix
    assert data.schema.x_levels == (17 if suffix == "none" else 2)
    if suffix == "static":
        assert "digits:static, a Bernoulli draw of seed 0" in data.schema.source
        assert data.train.values.max() == 1
    else:
        assert as_set(data.test) == as_set(grey.test)
    assert open_data("digits", options=Options(binarisation=suffix)).schema == data.schema


def test_a_path_named_like_a_built_in_set_is_mentioned(tmp_path, monkeypatch) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "digits is the built-in set; for the path of that name give ./digits." in open_data("digits").notes
    with pytest.raises(DataError, match="holds no pictures"):
        open_data("./digits")


def test_a_wrong_or_contradictory_suffix() -> None:
    with pytest.raises(DataError, match="unknown binarisation 'soft': choose one of digits:none, digits:threshold, digits:dynamic, digits:static"):
        open_data("digits:soft")
    with pytest.raises(DataError, match="use cifar10"):
        open_data("cifar10:dynamic")
    with pytest.raises(DataError, match="asks for dynamic binarisation and the options for static"):
        open_data("digits:dynamic", options=Options(binarisation="static"))


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "."),
        ("mnist", "mnist"),
        ("mnist", "MNIST/raw"),
        ("fashion-mnist", "FashionMNIST/raw"),
        ("fashion-mnist", "fashion_mnist"),
        ("kmnist", "KMNIST"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_the_original_files_are_found_in_a_folder(tmp_path, small, name, folder, packed) -> None:
    write(tmp_path / folder, small, packed)
    data = open_data(name, options=Options(data_dir=tmp_path))
    assert as_set(data.test) == sorted(p.tobytes() for p in small[2])
    assert [len(data.train), len(data.validation)] == [54, 6]
    assert data.test.labels.tolist() == small[3].tolist()
    assert len(data.schema.classes) == 10
    assert any(f"not those of the published {name}" in note for note in data.notes)
    assert "Split: 54 training, 6 validation, 20 test (the official test split, validation drawn from training, seed 0)." in data.notes


def test_validation_is_a_fraction_of_training_when_given(tmp_path, small) -> None:
    write(tmp_path, small)
    data = open_data("mnist", options=Options(data_dir=tmp_path, validation=0.5, test=0.3))
    assert [len(data.train), len(data.validation), len(data.test)] == [30, 30, 20]


def test_limit_keeps_as_many_official_test_items(tmp_path, small) -> None:
    write(tmp_path, small)
    data = open_data("mnist", options=Options(data_dir=tmp_path, limit=15))
    assert len(data.train) + len(data.validation) == 15
    assert len(data.test) == 15
    assert set(as_set(data.test)) <= {p.tobytes() for p in small[2]}


def test_files_in_the_cache_are_found(cached, small) -> None:
    write(cached / "mnist", small)
    assert len(open_data("mnist").test) == 20


def test_files_of_another_set_are_not_taken_for_it(tmp_path, small, monkeypatch) -> None:
    write(tmp_path, small)
    archive = hashlib.md5((tmp_path / f"{FILES[0]}.gz").read_bytes()).hexdigest()
    known = relatives.RELATIVES["fashion-mnist"]
    monkeypatch.setitem(relatives.RELATIVES, "fashion-mnist", relatives.replace(known, archives=(archive, "", "", "")))
    with pytest.raises(DataError, match="mnist is not on this machine"):
        open_data("mnist", options=Options(data_dir=tmp_path))
    content = hashlib.md5(idx(small[0])).hexdigest()
    monkeypatch.setitem(relatives.RELATIVES, "fashion-mnist", relatives.replace(known, contents=(content,)))
    with pytest.raises(DataError, match="are those of fashion-mnist, not of mnist"):
        open_data("mnist", options=Options(data_dir=tmp_path))


def test_files_that_do_not_belong_together(tmp_path, small) -> None:
    write(tmp_path, [small[0], small[1][:-1], *small[2:]])
    with pytest.raises(DataError, match="do not belong together"):
        open_data("mnist", options=Options(data_dir=tmp_path))
    write(tmp_path, [small[1], small[1], *small[2:]])
    with pytest.raises(DataError, match="which no file of mnist does"):
        open_data("mnist", options=Options(data_dir=tmp_path))
    write(tmp_path, [small[0], small[1] + 7, *small[2:]])
    with pytest.raises(DataError, match="label 16, and mnist has 10 classes"):
        open_data("mnist", options=Options(data_dir=tmp_path))
    (tmp_path / f"{FILES[2]}.gz").write_bytes(b"\x1f\x8bnonsense")
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.gz is damaged"):
        open_data("mnist", options=Options(data_dir=tmp_path))


@pytest.mark.parametrize("name", [n for n in BUILTIN if n not in {"digits", "sprites"}])
def test_an_absent_set_says_how_to_get_it_and_fetches_nothing(tmp_path, name, monkeypatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("the network was used without being asked"))
    with pytest.raises(DataError, match=r"not on this machine.*https://.*download=True \(--download\).*--data-dir") as caught:
        open_data(name, options=Options(data_dir=tmp_path))
    assert str(tmp_path) in str(caught.value)


def test_a_data_dir_that_does_not_exist() -> None:
    with pytest.raises(DataError, match="data_dir '/no/such/place' is no folder"):
        open_data("mnist", options=Options(data_dir="/no/such/place"))


@pytest.fixture
def server(small):
    """A web server on this machine with the small set, and a note of what was asked of it."""
    pages = {f"/{name}.gz": gzip.compress(idx(array), mtime=0) for name, array in zip(FILES, small, strict=True)}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = pages.get(self.path)
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) + 100 * (self.path in cut)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None: ...

    cut: set[str] = set()
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    running.pages, running.asked, running.cut = pages, asked, cut
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def published(server, monkeypatch):
    """MNIST as if it were published by the server."""
    sums = tuple(hashlib.md5(body).hexdigest() for body in server.pages.values())
    known = relatives.Relative(f"http://127.0.0.1:{server.server_port}/", sums, tuple("0123456789"))
    monkeypatch.setitem(relatives.RELATIVES, "mnist", known)
    return known


def test_a_set_is_downloaded_once_checked_and_told(server, published, small, cached) -> None:
    said: list[str] = []
    steps: list[tuple[int, int]] = []
    options = Options(download=True, say=said.append, progress=lambda done, total: steps.append((done, total)))
    data = open_data("mnist", options=options)
    assert as_set(data.test) == sorted(p.tobytes() for p in small[2])
    assert len(server.asked) == 4
    assert said[0] == f"Downloading {published.url}{FILES[0]}.gz to {cached / 'mnist' / FILES[0]}.gz."
    assert all(done <= total for done, total in steps)
    assert sorted(p.name for p in (cached / "mnist").iterdir()) == sorted(f"{name}.gz" for name in FILES)
    assert not any("checksums" in note for note in data.notes)
    open_data("mnist", options=options)
    open_data("mnist")
    assert len(server.asked) == 4


def test_a_wrong_checksum_leaves_nothing_behind(server, published, cached) -> None:
    server.pages[f"/{FILES[1]}.gz"] += b"x"
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz has md5 .*nothing was kept"):
        open_data("mnist", options=Options(download=True))
    assert [p.name for p in (cached / "mnist").iterdir()] == [f"{FILES[0]}.gz"]
    server.pages[f"/{FILES[1]}.gz"] = server.pages[f"/{FILES[1]}.gz"][:-1]
    open_data("mnist", options=Options(download=True))
    assert server.asked.count(f"/{FILES[0]}.gz") == 1


def test_a_page_that_is_not_there_and_a_transfer_cut_short(server, published, cached) -> None:
    server.cut.add(f"/{FILES[0]}.gz")
    with pytest.raises(DataError, match=r"cannot be downloaded .*--data-dir"):
        open_data("mnist", options=Options(download=True))
    del server.pages[f"/{FILES[0]}.gz"]
    with pytest.raises(DataError, match=r"cannot be downloaded .*Not Found.*--data-dir"):
        open_data("mnist", options=Options(download=True))
    assert list((cached / "mnist").iterdir()) == []


def test_an_interrupted_download_leaves_nothing_behind(server, published, cached) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_data("mnist", options=Options(download=True, progress=interrupt))
    assert list((cached / "mnist").iterdir()) == []


def test_no_network_and_no_room(published, server, monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(relatives.RELATIVES, "mnist", relatives.replace(published, url="http://127.0.0.1:9/"))
    with pytest.raises(DataError, match="cannot be downloaded"):
        open_data("mnist", options=Options(download=True))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VAEWORKS_CACHE", str(tmp_path / "file"))
    monkeypatch.setitem(relatives.RELATIVES, "mnist", published)
    with pytest.raises(DataError, match=r"cannot be written .*VAEWORKS_CACHE"):
        open_data("mnist", options=Options(download=True))


def test_published_addresses_are_https_with_an_md5_for_each_file() -> None:
    assert cifar.URL.startswith("https://")
    assert len(cifar.MD5) == 32
    for known in relatives.RELATIVES.values():
        assert known.url.startswith("https://")
        assert [len(m) for m in known.archives] == [32] * 4
        assert len(known.classes) == 10


BATCHES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]


@pytest.fixture
def batches(rng):
    """Six small batches of CIFAR-10: (labels, pictures) each."""
    return {name: (rng.integers(0, 10, 8, dtype=np.uint8), rng.integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)) for name in BATCHES}


def records(labels, pictures) -> bytes:
    return b"".join(bytes([label]) + picture.tobytes() for label, picture in zip(labels, pictures, strict=True))


def write_cifar(path, batches, packed) -> None:
    if not packed:
        path.mkdir(parents=True, exist_ok=True)
        for name, batch in batches.items():
            (path / name).write_bytes(records(*batch))
        return
    with tarfile.open(path, "w:gz") as archive:
        for name, batch in batches.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            body = records(*batch)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))


@pytest.mark.parametrize("place", ["cifar-10-binary.tar.gz", "cifar10/cifar-10-binary.tar.gz", "cifar-10-batches-bin", "cifar10", "."])
def test_cifar10_from_its_binary_version(tmp_path, batches, place) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    write_cifar(tmp_path / place, batches, place.endswith("gz"))
    before = sorted(tmp_path.rglob("*"))
    data = open_data("cifar10", options=Options(data_dir=tmp_path))
    assert data.schema.shape == (3, 32, 32)
    assert data.schema.classes[3] == "cat"
    assert np.array_equal(data.test.values.numpy(), batches["test_batch.bin"][1])
    assert data.test.labels.tolist() == batches["test_batch.bin"][0].tolist()
    assert [len(data.train), len(data.validation)] == [36, 4]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "data_batch_1", "cifar-10-batches-py/data_batch_1"])
def test_the_pickled_cifar10_is_never_read(tmp_path, name) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(pickle.dumps({}))
    with pytest.raises(DataError, match=r"pickles that can run code.*cifar-10-binary.tar.gz"):
        open_data("cifar10", options=Options(data_dir=tmp_path))


def test_damaged_cifar10(tmp_path, batches) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    write_cifar(path, {k: v for k, v in batches.items() if "3" not in k}, True)
    with pytest.raises(DataError, match=r"lacks data_batch_3.bin"):
        open_data("cifar10", options=Options(data_dir=tmp_path))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="damaged or cut short"):
        open_data("cifar10", options=Options(data_dir=tmp_path))
    path.unlink()
    write_cifar(tmp_path, batches, False)
    (tmp_path / "data_batch_2.bin").write_bytes(b"x" * 5000)
    with pytest.raises(DataError, match=r"data_batch_2.bin has 5000 bytes"):
        open_data("cifar10", options=Options(data_dir=tmp_path))
    (tmp_path / "data_batch_2.bin").write_bytes(b"\x0b" + b"x" * 3072)
    with pytest.raises(DataError, match="label 11"):
        open_data("cifar10", options=Options(data_dir=tmp_path))


def test_cifar10_is_downloaded_when_asked(server, batches, cached, monkeypatch, tmp_path) -> None:
    write_cifar(tmp_path / "c.tar.gz", batches, True)
    server.pages["/cifar-10-binary.tar.gz"] = (tmp_path / "c.tar.gz").read_bytes()
    monkeypatch.setattr(cifar, "URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(cifar, "MD5", hashlib.md5(server.pages["/cifar-10-binary.tar.gz"]).hexdigest())
    for _ in range(2):
        assert len(open_data("cifar10", options=Options(download=True)).test) == 8
    assert server.asked == ["/cifar-10-binary.tar.gz"]


def test_read_items_gives_the_split_that_was_asked_for(tmp_path, small) -> None:
    write(tmp_path, small)
    options = Options(data_dir=tmp_path, seed=3)
    data = open_data("mnist", options=options)
    assert as_set(read_items("mnist", data.schema, options=options)) == as_set(data.test)
    for split in ("train", "validation", "test"):
        found = read_items("mnist", data.schema, options=Options(data_dir=tmp_path, seed=3, split=split))
        assert np.array_equal(found.values, getattr(data, split).values)
        assert np.array_equal(found.labels, getattr(data, split).labels)
    assert len(read_items("mnist", data.schema, options=Options(data_dir=tmp_path, split="all"))) == 80
