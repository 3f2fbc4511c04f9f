"""What a source holds is told by its files, or asked for by name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vaeworks.data import Options
from vaeworks.data.open import kind_of
from vaeworks.errors import DataError


def fill(folder: Path, **counts: int) -> Path:
    folder.mkdir()
    for suffix, count in counts.items():
        for i in range(count):
            (folder / f"{i}.{suffix}").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("counts", "kind"),
    [({"png": 3}, "image"), ({"wav": 3}, "audio"), ({"txt": 3}, "text"), ({"png": 3, "txt": 9, "csv": 1}, "image"), ({"FLAC": 9, "jpg": 1}, "audio"), ({"doc": 2}, "image")],
)  # fmt: skip
def test_a_folder_is_what_most_of_its_files_are_and_text_beside_them_is_notes(tmp_path: Path, counts: dict[str, int], kind: str) -> None:
    assert kind_of(fill(tmp_path / "data", **counts), Options()) == kind


def test_a_mixed_folder_asks_for_one_option_by_name(tmp_path: Path) -> None:
    folder = fill(tmp_path / "data", png=4, wav=2)
    with pytest.raises(DataError, match=r"4 of image, 2 of audio.*--kind image"):
        kind_of(folder, Options())
    assert kind_of(folder, Options(kind="audio")) == "audio"
    with pytest.raises(DataError, match="kind 'video' is unknown: choose one of image, text, audio"):
        Options(kind="video")  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "kind"), [("a.TXT", "text"), ("b.jsonl", "text"), ("c.wav", "audio"), ("d.npy", "image"), ("e.png", "image")])
def test_a_file_is_what_its_name_says(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert kind_of(tmp_path / name, Options()) == kind


def test_things_in_memory() -> None:
    assert kind_of("digits", Options()) == "image"
    assert kind_of(["a", "b"], Options()) == "text"
    assert kind_of([Image.new("L", (8, 8))], Options()) == "image"
    assert kind_of(np.zeros((3, 8, 8)), Options()) == "image"
