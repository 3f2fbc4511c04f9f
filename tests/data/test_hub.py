"""Data sets of the hub: addresses, what is taken of their columns, objects of ``datasets``, folders, and a stand-in for the hub itself."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from vaeworks.data import Options, open_data, read_items
from vaeworks.data.hub import Address, absolute, address_of
from vaeworks.data.tables import frame_of
from vaeworks.data.texts import read_gapped
from vaeworks.errors import DataError, VaeworksError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (60, 9, 9), dtype=np.uint8)


@pytest.fixture(scope="module")
def hub() -> Any:
    library = pytest.importorskip("datasets")
    library.disable_progress_bars()
    return library


@pytest.fixture(scope="module")
def pictures(hub: Any) -> Any:
    features = hub.Features({"image": hub.Image(), "fine": hub.ClassLabel(names=["zebra", "a/b", "unseen"]), "caption": hub.Value("string")})
    columns = {
        "image": [Image.fromarray(p) for p in PIXELS],
        "fine": [i % 2 for i in range(60)],
        "caption": [f"picture {i} of some" for i in range(60)],
    }
    return hub.Dataset.from_dict(columns, features=features)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://mnist", ("mnist", None, None, None, False)),
        ("hf://ylecun/mnist", ("ylecun/mnist", None, None, None, False)),
        ("hf://datasets/ylecun/mnist", ("ylecun/mnist", None, None, None, False)),
        ("hf://nyu-mll/glue/sst2@refs/pr/1:validation", ("nyu-mll/glue", "sst2", "refs/pr/1", "validation", False)),
        ("hf:///tmp/folder:test", ("/tmp/folder", None, None, "test", True)),
        ("hf://./here", ("here", None, None, None, True)),
    ],
)
def test_addresses(text: str, address: tuple[Any, ...]) -> None:
    assert address_of(text) == Address(text, *address)


@pytest.mark.parametrize("text", ["hf://", "hf://a/b/c/d", "hf://a b", "hf://org/name:", "hf://org/../x y"])
def test_what_is_no_address_is_told(text: str) -> None:
    with pytest.raises(DataError, match="is no address of a data set: write hf://org/name"):
        address_of(text)


def test_a_folder_is_found_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("hf://./here:test") == f"hf://{tmp_path}/here:test"
    assert absolute("hf://org/name:test") == "hf://org/name:test"
    assert absolute("digits") == "digits"


def test_the_command_downloads_nothing_unasked(vae: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAEWORKS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    done = vae("train", "hf://ylecun/mnist")
    assert done.code == 2
    assert done.err.startswith("Error: hf://ylecun/mnist is not on this machine")
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(VaeworksError, match=r"needs the extra 'datasets': pip install 'vaeworks\[datasets\]'"):
        open_data("hf://./somewhere")


def test_pictures_keep_their_pixels_labels_and_order_of_classes(pictures: Any) -> None:
    for source in (pictures, pictures.to_iterable_dataset(num_shards=2)):
        data = open_data(source)
        assert data.schema.kind == "image"
        assert data.schema.shape == (1, 9, 9)
        assert data.schema.classes == ("zebra", "a/b")  # a class nobody has is none
        assert (len(data.train), len(data.validation), len(data.test)) == (48, 6, 6)
        assert data.train.names is not None
        assert data.train.labels is not None
        numbers = [int(name.split("/")[1]) for name in data.train.names]
        assert np.array_equal(data.train.values[:, 0].numpy(), PIXELS[numbers])
        assert data.train.labels.tolist() == [i % 2 for i in numbers]


def test_official_splits_are_kept_and_others_told(hub: Any, pictures: Any) -> None:
    parts = {"train": pictures.select(range(40)), "test": pictures.select(range(40, 50)), "extra": pictures.select(range(50, 60))}
    data = open_data(hub.DatasetDict(parts))
    assert (len(data.train), len(data.validation), len(data.test)) == (36, 4, 10)
    assert data.test.names is not None
    assert all(name.startswith("test/") for name in data.test.names)
    assert any("splits extra are left out" in note for note in data.notes)
    with pytest.raises(DataError, match="has the splits a, b, and none of them is for training"):
        open_data(hub.DatasetDict(a=pictures, b=pictures))


def test_a_saved_folder_is_read_by_split_and_limit(hub: Any, pictures: Any, tmp_path: Path) -> None:
    hub.DatasetDict(train=pictures.select(range(50)), test=pictures.select(range(50, 60))).save_to_disk(str(tmp_path / "saved"))
    data = open_data(f"hf://{tmp_path}/saved:train", options=Options(limit=20, seed=3))
    assert len(data.train) + len(data.validation) + len(data.test) == 20
    again = open_data(f"hf://{tmp_path}/saved:train", options=Options(limit=20, seed=3))
    assert np.array_equal(data.train.values, again.train.values)
    items = read_items(f"hf://{tmp_path}/saved:test", data.schema)
    assert np.array_equal(items.values[:, 0].numpy(), PIXELS[50:])
    with pytest.raises(DataError, match="has no split 'dev': choose one of train, test"):
        open_data(f"hf://{tmp_path}/saved:dev")
    with pytest.raises(DataError, match="is no folder"):
        open_data(f"hf://{tmp_path}/absent")


def test_the_kind_and_the_columns_can_be_said(pictures: Any) -> None:
    data = open_data(pictures, options=Options(kind="text", column="caption", label="fine", tokenizer="characters"))
    assert data.schema.kind == "text"
    assert set(data.schema.classes) == {"zebra", "a/b"}
    with pytest.raises(DataError, match="no column 'nothing', as --column asks for: choose one of image, fine, caption"):
        open_data(pictures, options=Options(column="nothing"))
    with pytest.raises(DataError, match="there is no column of sounds; it has image"):
        open_data(pictures, options=Options(kind="audio"))
    with pytest.raises(DataError, match="column 'image', Image, holds no labels"):
        open_data(pictures, options=Options(label="image"))


def test_text_with_a_label_is_text(hub: Any) -> None:
    features = hub.Features({"text": hub.Value("string"), "label": hub.ClassLabel(names=["neg", "pos"]), "idx": hub.Value("int32")})
    lines = [f"the sentence of number {i}" for i in range(80)]
    rows = hub.Dataset.from_dict({"text": lines, "label": [i % 2 if i else -1 for i in range(80)], "idx": list(range(80))}, features=features)
    data = open_data(rows)
    assert (data.schema.kind, data.schema.classes) == ("text", ("neg", "pos"))
    items = read_items(rows, data.schema)
    assert items.labels is not None
    assert items.labels.tolist() == [i % 2 if i else -1 for i in range(80)]
    gapped, strings = read_gapped(hub.Dataset.from_dict({"text": ["the _entence"]}), data.schema, Options())  # type: ignore[arg-type]
    assert strings == ["the _entence"]
    assert gapped.observed is not None
    assert int((~gapped.observed).sum()) == 1


def test_nested_text_is_reached_by_its_path(hub: Any) -> None:
    pairs = [{"en": f"a sentence {i} here", "fr": f"une phrase {i} ici"} for i in range(40)]
    rows = hub.Dataset.from_dict({"translation": pairs}, features=hub.Features({"translation": hub.Translation(languages=["en", "fr"])}))
    data = open_data(rows, options=Options(kind="text", column="translation.fr"))
    assert data.schema.to_json() == open_data([pair["fr"] for pair in pairs]).schema.to_json() | {"source": "the data set"}
    with pytest.raises(DataError, match=r"several columns of text \(translation.en, translation.fr\)"):
        open_data(rows, options=Options(kind="text"))


def test_tables_keep_types_splits_and_missing_cells(hub: Any) -> None:
    ages = [None if i == 5 else 20 + i % 50 for i in range(120)]
    columns = {"age": ages, "spent": RNG.normal(size=120).tolist(), "city": ["Graz", "Lyon", "Porto"] * 40, "vector": [[1, 2]] * 120}
    rows = hub.Dataset.from_dict(columns)
    source = hub.DatasetDict(train=rows.select(range(90)), validation=rows.select(range(90, 100)), test=rows.select(range(100, 120)))
    data = open_data(source)
    assert data.schema.kind == "table"
    assert [column.kind for column in data.schema.table] == ["integer", "continuous", "categorical"]  # type: ignore[attr-defined]
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 20)
    assert data.train.observed is not None
    assert int((~data.train.observed).sum()) == 1
    assert any("Columns left out, for what they hold: vector" in note for note in data.notes)
    assert frame_of(source, Options())["age"].to_list() == ages


def test_sounds_are_decoded_by_our_own_reader(hub: Any, tmp_path: Path) -> None:
    def sound(hertz: int) -> dict[str, Any]:
        buffer = io.BytesIO()
        soundfile.write(buffer, 0.5 * np.sin(2 * np.pi * hertz * np.arange(2400) / 8000), 8000, format="FLAC")
        return {"bytes": buffer.getvalue(), "path": f"{hertz}.flac"}

    columns = {"audio": [sound(200 + 20 * i) for i in range(24)], "who": ["ann", "bob"] * 12}
    rows = hub.Dataset.from_dict(columns).cast_column("audio", hub.Audio(decode=False)).cast_column("audio", hub.Audio())
    for source in (rows, rows.to_iterable_dataset()):
        data = open_data(source, options=Options(label="who"))
        assert (data.schema.kind, data.schema.classes) == ("audio", ("ann", "bob"))
        assert data.train.names is not None
        assert data.train.lengths is not None
        wave = data.train.values[0, 0, : int(data.train.lengths[0])].double().numpy()
        hertz = int(data.train.names[0].rpartition("/")[2].partition(".")[0])
        spectrum = np.abs(np.fft.rfft(wave, 8000))
        assert abs(int(spectrum.argmax()) - hertz) <= 2
    (tmp_path / "train").mkdir()
    for i in range(12):
        (tmp_path / "train" / f"{i}.flac").write_bytes(sound(300 + 10 * i)["bytes"])
    assert open_data(f"hf://{tmp_path}").schema.kind == "audio"  # a stream of files


def test_streams_without_features_and_rows_without_pictures(hub: Any) -> None:
    def rows() -> Any:
        for i, pixels in enumerate(PIXELS[:30]):
            yield {"image": Image.fromarray(pixels) if i != 7 else None, "n": i}

    data = open_data(hub.IterableDataset.from_generator(rows))
    assert len(data.train) + len(data.validation) + len(data.test) == 29
    assert any("passed over 1 row without a picture" in note for note in data.notes)

    def broken() -> Any:
        yield from rows()
        raise RuntimeError("the disk is gone")

    with pytest.raises(DataError, match=r"cannot be read beyond row 30 \(RuntimeError: the disk is gone\): nothing was kept"):
        open_data(hub.IterableDataset.from_generator(broken))
    with pytest.raises(DataError, match=r"no column of pictures, sounds, strings or numbers, but v \(List\)"):
        open_data(hub.Dataset.from_dict({"v": [[1], [2]]}))


REMOTE = """
import json, sys, warnings
warnings.simplefilter("error")
from vaeworks.data import Options, open_data
from vaeworks.errors import VaeworksError
for line in sys.stdin:
    address, settings = json.loads(line)
    try:
        data = open_data(address, options=Options(**settings))
        told = [data.schema.kind, list(data.schema.classes), len(data.train), len(data.validation), len(data.test), list(data.notes)]
    except VaeworksError as error:
        told = str(error)
    print("told", json.dumps(told), flush=True)
"""


def _parquet_of(rows: Any, path: Path, secret: Path | None) -> bytes:
    """The Parquet file that the hub holds; with a last row that names a file of the reader's own machine instead of bringing a picture."""
    import pyarrow
    import pyarrow.parquet

    rows.to_parquet(str(path))
    if secret is not None:
        table = pyarrow.parquet.read_table(path)
        stealing = {"image": {"bytes": None, "path": str(secret)}, "fine": 0, "caption": ""}
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([*table.to_pylist(), stealing], table.schema), path)
    return path.read_bytes()


def test_the_hub_is_asked_once_and_only_when_told_to(pictures: Any, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("hub_server", Path(__file__).with_name("hub_server.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    Image.fromarray(PIXELS[0]).save(tmp_path / "secret.png")
    train = _parquet_of(pictures.select(range(50)), tmp_path / "rows.parquet", tmp_path / "secret.png")
    test = _parquet_of(pictures.select(range(50, 60)), tmp_path / "rows.parquet", None)
    hub = module.Hub({"data/train-00000-of-00001.parquet": train, "data/test-00000-of-00001.parquet": test})
    places = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "VAEWORKS_CACHE": str(tmp_path / "cache")}
    environment = {**os.environ, **places, "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": ""}
    process = subprocess.Popen([sys.executable, "-c", REMOTE], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(address: str, **settings: Any) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([address, settings]) + "\n")
        process.stdin.flush()
        while not (line := process.stdout.readline()).startswith("told "):
            assert line, "the process ended"
        return json.loads(line[5:])

    first = ask("hf://org/made")
    assert "hf://org/made is not on this machine" in first
    assert "--download" in first
    assert not hub.asked
    whole = ask("hf://org/made", download=True)
    assert whole[:5] == ["image", ["zebra", "a/b"], 45, 5, 10]
    assert "train: passed over 1 row without a picture." in whole[5]
    assert f"Commit of the hub: {module.SHA}." in whole[5]
    before = len(hub.asked)
    assert ask("hf://org/made") == whole
    assert sum(ask("hf://org/made", limit=20)[2:5]) == 30  # of an official test split as many again, and it has ten
    assert len(hub.asked) == before
    assert "it is gated: accept its terms at https://huggingface.co/datasets/org/gated" in ask("hf://org/gated", download=True)
    assert "there is no such data set, or it is private" in ask("hf://org/absent", download=True)
    assert "it has no revision 'nope'" in ask("hf://org/made@nope", download=True)
    assert "its configuration must be one that it has" in ask("hf://org/made/other", download=True)
    hub.shutdown()
    hub.server_close()
    assert ask("hf://org/made", download=True) == whole
    assert "the hub cannot be reached" in ask("hf://org/made:test", download=True)
    kept = [path.name for path in (tmp_path / "cache" / "hub" / "org--made").iterdir()]
    assert len(kept) == 1
    assert not kept[0].startswith(".")
    process.communicate()
    assert process.returncode == 0
