import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from vaeworks.data import Options, open_data, read_items
from vaeworks.errors import DataError

ALL = Options(validation=0, test=0)


def grey(rng, height=9, width=12):
    return Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8))


def colour(rng, height=9, width=12, bands=3):
    return Image.fromarray(rng.integers(1, 255, (height, width, bands), dtype=np.uint8))


def fill(folder, rng, count=5, make=grey, **kwargs):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        make(rng, **kwargs).save(folder / f"{i}.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif", "PNG", "JPG"])
def test_every_format(tmp_path, rng, suffix) -> None:
    truth = []
    for i in range(4):
        image = grey(rng)
        image.save(tmp_path / f"{i}.{suffix}")
        with Image.open(tmp_path / f"{i}.{suffix}") as stored:
            truth.append(np.asarray(stored.convert("L")))
    data = open_data(tmp_path, options=ALL)
    assert data.schema.shape[1:] == (9, 12)
    if data.schema.mode == "L":
        assert np.array_equal(data.train.values[:, 0].numpy(), np.stack(truth))
    assert data.train.names == tuple(f"{i}.{suffix}" for i in range(4))
    assert data.schema.source == f"folder {tmp_path.name}"


def test_an_animation_gives_its_first_frame(tmp_path, rng) -> None:
    for i in range(3):
        frames = [Image.new("L", (10, 10), 20 * i + 5), Image.new("L", (10, 10), 250)]
        frames[0].putpixel((i, i), 99)
        frames[0].save(tmp_path / f"{i}.gif", save_all=True, append_images=frames[1:])
    data = open_data(tmp_path, options=ALL)
    assert [int(v[0, 9, 9]) for v in data.train.values] == [5, 25, 45]


def test_names_are_in_natural_order_and_relative(tmp_path, rng) -> None:
    fill(tmp_path / "b", rng, 12)
    data = open_data(tmp_path, options=ALL)
    assert data.train.names == tuple(f"b/{i}.png" for i in range(12))


def test_folders_are_labels(tmp_path, rng) -> None:
    fill(tmp_path / "dog" / "deep" / "deeper", rng, 3)
    fill(tmp_path / "cat", rng, 4)
    data = open_data(tmp_path, options=ALL)
    assert data.schema.classes == ("cat", "dog")
    assert [data.schema.classes[i] for i in data.train.labels] == [n.split("/")[0] for n in data.train.names]
    assert any("2 classes, named after the folders" in note for note in data.notes)


def test_numbered_folders_are_in_number_order(tmp_path, rng) -> None:
    for name in ("10", "9", "2"):
        fill(tmp_path / name, rng, 2)
    assert open_data(tmp_path, options=ALL).schema.classes == ("2", "9", "10")


def test_pictures_outside_the_class_folders_have_no_label(tmp_path, rng) -> None:
    fill(tmp_path, rng, 2)
    fill(tmp_path / "a", rng, 2)
    fill(tmp_path / "b", rng, 2)
    data = open_data(tmp_path, options=ALL)
    assert sorted(data.train.labels.tolist()) == [-1, -1, 0, 0, 1, 1]
    assert any("2 pictures outside them have none" in note for note in data.notes)


@pytest.mark.parametrize("inner", [".", "only", "only/one/deep"])
def test_one_folder_or_none_gives_no_labels(tmp_path, rng, inner) -> None:
    fill(tmp_path / inner, rng, 4)
    data = open_data(tmp_path, options=ALL)
    assert data.train.labels is None
    assert data.schema.classes == ()


def test_a_single_outer_folder_is_looked_through(tmp_path, rng) -> None:
    fill(tmp_path / "archive" / "a", rng, 2)
    fill(tmp_path / "archive" / "b", rng, 2)
    assert open_data(tmp_path, options=ALL).schema.classes == ("a", "b")


def test_train_and_test_folders_are_the_official_split(tmp_path, rng) -> None:
    for part, count in (("train", 10), ("test", 4)):
        for name in ("a", "b"):
            fill(tmp_path / part / name, rng, count)
    data = open_data(tmp_path)
    assert data.schema.classes == ("a", "b")
    assert {n.split("/")[0] for n in data.test.names} == {"test"}
    assert {n.split("/")[0] for n in (*data.train.names, *data.validation.names)} == {"train"}
    assert [len(data.train), len(data.validation), len(data.test)] == [18, 2, 8]
    fill(tmp_path / "val" / "a", rng, 3)
    data = open_data(tmp_path)
    assert [len(data.train), len(data.validation), len(data.test)] == [20, 3, 8]


@pytest.mark.parametrize(
    ("makes", "mode"),
    [
        (["L", "L", "L"], "L"),
        (["L", "RGB of grey", "1"], "L"),
        (["L", "RGB", "L"], "RGB"),
        (["RGB", "RGBA opaque", "CMYK"], "RGB"),
        (["RGB", "RGBA", "L"], "RGBA"),
        (["L", "LA", "L"], "LA"),
        (["LA", "RGB", "L"], "RGBA"),
        (["RGBA half", "RGBA half", "RGBA half"], "RGB"),
        (["1", "1", "1"], "L"),
    ],
)
def test_the_mode_is_the_least_that_loses_nothing(tmp_path, rng, makes, mode) -> None:
    images = {
        "L": lambda: grey(rng),
        "1": lambda: grey(rng).convert("1"),
        "RGB": lambda: colour(rng),
        "RGB of grey": lambda: grey(rng).convert("RGB"),
        "RGBA opaque": lambda: colour(rng).convert("RGBA"),
        "RGBA": lambda: colour(rng, bands=4),
        "LA": lambda: colour(rng, bands=2),
        "CMYK": lambda: colour(rng).convert("CMYK"),
    }
    for i, make in enumerate(makes):
        if make == "RGBA half":
            image = colour(rng).convert("RGBA")
            image.putalpha(128)
        else:
            image = images[make]()
        image.save(tmp_path / f"{i}.{'tif' if make == 'CMYK' else 'png'}")
    data = open_data(tmp_path, options=ALL)
    assert data.schema.mode == mode
    assert data.schema.shape[0] == len(mode) if mode != "L" else data.schema.shape[0] == 1
    assert any(f"(mode {mode})" in note for note in data.notes)
    assert data.schema.levels == (2 if set(makes) == {"1"} else 256)


def test_a_picture_without_alpha_is_opaque_among_others_with(tmp_path, rng) -> None:
    colour(rng).save(tmp_path / "0.png")
    colour(rng, bands=4).save(tmp_path / "1.png")
    grey(rng).save(tmp_path / "2.png")
    values = open_data(tmp_path, options=ALL).train.values
    assert (values[0, 3] == 255).all()
    assert (values[2, 3] == 255).all()
    assert (values[2, 0] == values[2, 1]).all()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)] * 3, (28, 28)),
        ([(20, 100)] * 3, (20, 100)),
        ([(256, 8)] * 3, (256, 8)),
        ([(30, 40), (100, 80), (50, 60)], (32, 32)),
        ([(300, 400), (600, 800), (480, 640)], (48, 64)),
        ([(400, 300)] * 3, (64, 48)),
        ([(300, 300), (500, 700), (20, 20)], (64, 64)),
        ([(10, 12), (9, 8), (300, 8)], (8, 8)),
    ],
)
def test_the_size_is_chosen_from_the_data(tmp_path, rng, sizes, expected) -> None:
    for i, (height, width) in enumerate(sizes):
        grey(rng, height, width).save(tmp_path / f"{i}.png")
    data = open_data(tmp_path, options=ALL)
    assert data.schema.shape[1:] == expected
    assert any(f"{expected[0]} x {expected[1]} (height x width)" in note for note in data.notes)


def test_the_size_asked_for_is_used(tmp_path, rng) -> None:
    fill(tmp_path, rng, 3, height=40, width=30)
    assert open_data(tmp_path, options=Options(size=(16, 24), validation=0, test=0)).schema.shape == (1, 16, 24)


def test_pictures_that_are_too_small_need_a_size(tmp_path, rng) -> None:
    fill(tmp_path, rng, 3, height=5, width=6)
    with pytest.raises(DataError, match=r"5 x 6 .*choose a size"):
        open_data(tmp_path)
    assert open_data(tmp_path, options=Options(size=8)).schema.shape == (1, 8, 8)
    grey(rng, 5, 7).save(tmp_path / "other.png")
    with pytest.raises(DataError, match=r"median picture.*choose a size"):
        open_data(tmp_path)


def test_large_jpegs_decoded_at_a_fraction_agree_with_the_whole(tmp_path) -> None:
    y, x = np.mgrid[0:900, 0:1200]
    for i in range(3):
        smooth = np.stack([127 + 120 * np.sin(x / 90 + i), 127 + 120 * np.cos(y / 70), 127 + 100 * np.sin((x + y) / 110)], 2)
        Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / f"{i}.jpg", quality=95)
    data = open_data(tmp_path, options=Options(size=32, validation=0, test=0))
    with Image.open(tmp_path / "0.jpg") as whole:
        expected = np.asarray(whole.crop((150, 0, 1050, 900)).resize((32, 32), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(data.train.values[0].permute(1, 2, 0).numpy().astype(int) - expected).max() <= 8


@pytest.fixture
def hostile(tmp_path, rng):
    """A folder as one finds them: good pictures among everything that can go wrong."""
    root = tmp_path / "hostile"
    fill(root, rng, 6)
    good = (root / "0.png").read_bytes()
    (root / "cut.png").write_bytes(good[: len(good) // 2])
    (root / "empty.png").write_bytes(b"")
    (root / "page.png").write_text("<!DOCTYPE html><html><body>404</body></html>")
    with zipfile.ZipFile(root / "archive.png", "w") as archive:
        archive.writestr("a", "b")
    (root / "noise.jpg").write_bytes(rng.bytes(2000))
    (root / "paper.gif").write_bytes(b"%PDF-1.7 ...")
    (root / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    (root / "really-a-jpeg.png").unlink(missing_ok=True)
    Image.fromarray(rng.integers(0, 256, (9, 12), dtype=np.uint8)).save(root / "really-a-jpeg.png", format="JPEG")
    (root / "notes.txt").write_text("hello")
    (root / "Thumbs.db").write_bytes(b"x")
    (root / "README").write_text("x")
    (root / "._0.png").write_bytes(b"\x00\x05\x16\x07")
    (root / ".hidden.png").write_bytes(good)
    (root / ".git").mkdir()
    (root / ".git" / "a.png").write_bytes(good)
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "a.png").write_bytes(good)
    (root / "loop").symlink_to(root)
    (root / "self.png").symlink_to(root / "self.png")
    (root / "gone.png").symlink_to(root / "nowhere.png")
    os.mkfifo(root / "pipe.png")
    (root / "pipelink.png").symlink_to(root / "pipe.png")
    (root / "line\nbreak.png").write_bytes(b"bad")
    (root / "folder.png").mkdir()
    return root


@pytest.mark.timeout(30)
def test_a_hostile_folder_gives_its_good_pictures_and_names_the_others(hostile) -> None:
    data = open_data(hostile, options=ALL)
    assert data.train.names == (*(f"{i}.png" for i in range(6)), "really-a-jpeg.png")
    skipped = next(note for note in data.notes if note.startswith("Skipped"))
    assert skipped.startswith("Skipped 10 pictures that cannot be read: archive.png (it is a zip archive, not a picture), cut.png")
    assert skipped.endswith("and 5 more.")
    assert "Ignored 3 files that are no pictures" in " ".join(data.notes)
    assert all("\n" not in note for note in data.notes)


def test_strict_refuses_what_would_be_skipped(hostile) -> None:
    with pytest.raises(DataError, match=r"\d+ pictures cannot be read: archive\.png .*mend or remove them"):
        open_data(hostile, options=Options(strict=True))


def test_a_corrupt_body_behind_a_good_header_is_skipped_whatever_the_size(tmp_path, rng) -> None:
    fill(tmp_path, rng, 5, height=40, width=40)
    good = (tmp_path / "0.png").read_bytes()
    (tmp_path / "bad.png").write_bytes(good[:200] + bytes(50) + good[250:])
    for size in (None, 16):
        data = open_data(tmp_path, options=Options(size=size, validation=0, test=0))
        assert len(data.train) == 5
        assert any("Skipped 1 picture that cannot be read: bad.png" in note for note in data.notes)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path, rng, monkeypatch) -> None:
    fill(tmp_path, rng, 5)
    grey(rng, 60, 60).save(tmp_path / "bomb.png")
    for limit in (2000, 3000):  # Pillow itself refuses twice its limit, and only warns above it
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        data = open_data(tmp_path, options=ALL)
        assert len(data.train) == 5
        assert any("bomb.png (" in note for note in data.notes)


def test_a_folder_without_pictures_says_what_it_holds(tmp_path) -> None:
    with pytest.raises(DataError, match=r"holds no pictures .*found nothing; give a folder"):
        open_data(tmp_path)
    (tmp_path / "a.doc").write_bytes(b"x")
    (tmp_path / "b.DOC").write_bytes(b"x")
    with pytest.raises(DataError, match=r"found 2 \.doc"):
        open_data(tmp_path)


def test_a_folder_whose_pictures_are_all_bad(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 2 pictures can be read: a\.png \(it is damaged, or not a picture\), b\.png \(it is empty\)"):
        open_data(tmp_path)


def test_a_single_picture_cannot_be_split_but_can_be_read(tmp_path, rng) -> None:
    fill(tmp_path / "many", rng, 5)
    schema = open_data(tmp_path / "many").schema
    fill(tmp_path / "one", rng, 1)
    for source in (tmp_path / "one", tmp_path / "one" / "0.png"):
        with pytest.raises(DataError, match="has 1 item, too few for training, validation and test items: give at least 3"):
            open_data(source)
        assert read_items(source, schema).values.shape == (1, 1, 9, 12)


def test_an_unreadable_subfolder_is_named_and_strict_refuses_it(tmp_path, rng, monkeypatch) -> None:
    fill(tmp_path, rng, 5)
    fill(tmp_path / "locked", rng, 1)
    real = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr("vaeworks.data.walk.os.scandir", scandir)
    data = open_data(tmp_path, options=ALL)
    assert len(data.train) == 5
    assert any("1 folder that cannot be read: locked" in note for note in data.notes)
    with pytest.raises(DataError, match="cannot read locked"):
        open_data(tmp_path, options=Options(strict=True))


def test_progress_counts_every_picture(tmp_path, rng) -> None:
    fill(tmp_path, rng, 7)
    seen: list[tuple[int, int]] = []
    open_data(tmp_path, options=Options(progress=lambda done, total: seen.append((done, total))))
    assert seen == [(i, 7) for i in range(1, 8)]


def test_an_interruption_ends_at_once(tmp_path, rng) -> None:
    fill(tmp_path, rng, 7)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_data(tmp_path, options=Options(progress=interrupt))


def test_limit_chooses_files_before_they_are_decoded(tmp_path, rng) -> None:
    fill(tmp_path, rng, 30)
    seen = []
    data = open_data(tmp_path, options=Options(limit=10, progress=lambda _, total: seen.append(total)))
    assert len(data.train) + len(data.validation) + len(data.test) == 10
    assert set(seen) == {10}
    assert "Limited to 10 of 30 pictures." in data.notes


def test_deep_pictures_are_noted(tmp_path, rng) -> None:
    for i in range(3):
        Image.fromarray(rng.integers(0, 65536, (9, 9), dtype=np.uint16)).save(tmp_path / f"{i}.png")
    assert any("reduced to 8" in note for note in open_data(tmp_path, options=ALL).notes)


def test_memory_is_checked_before_pictures_are_decoded(tmp_path, rng, monkeypatch) -> None:
    fill(tmp_path, rng, 5)
    monkeypatch.setattr("vaeworks.data.memory.available", lambda: 100)
    with pytest.raises(DataError, match=r"5 pictures of 9 x 12, needs 0.0 GB"):
        open_data(tmp_path)
