"""Picture sheets against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from vaeworks.errors import ArtifactError, DataError
from vaeworks.model import ImageSchema
from vaeworks.reporting import Pictures, grid, png, rows, save_png

MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def schema(mode: str, height: int, width: int, levels: int = 256) -> ImageSchema:
    return ImageSchema((MODES[mode], height, width), mode, levels)


def levels_of(mode: str, n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random 8-bit pictures (N, H, W, C), fully opaque."""
    pixels = np.random.default_rng(seed).integers(0, 256, (n, height, width, MODES[mode]), dtype=np.uint8)
    if mode.endswith("A"):
        pixels[..., -1] = 255
    return pixels


def as_x(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(0, 3, 1, 2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("n", "columns"), [(1, None), (1, 4), (5, 2), (6, 3), (7, None), (4, 100)])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (8, 8), (11, 2)])
def test_every_picture_of_a_grid_is_its_source(mode, n, columns, height, width):
    pixels, scale = levels_of(mode, n, height, width), 3
    sheet = np.asarray(grid(schema(mode, height, width), as_x(pixels), columns=columns, scale=scale))
    color = 1 if mode in {"L", "LA"} else 3
    sheet = sheet.reshape(*sheet.shape[:2], color)
    across = (sheet.shape[1] - 2) // (scale * width + 2)
    assert across in {columns, n} or columns is None
    assert sheet.shape[0] == -(-n // across) * (scale * height + 2) + 2
    for i in range(n):
        top, left = 2 + i // across * (scale * height + 2), 2 + i % across * (scale * width + 2)
        tile = sheet[top : top + scale * height, left : left + scale * width]
        assert (tile == pixels[i, ..., :color].repeat(scale, 0).repeat(scale, 1)).all()
    assert (sheet[:2] == sheet[0, 0]).all(), "the frame has one colour"


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_pixels_show_a_neutral_checkerboard(mode):
    pixels = levels_of(mode, 1, 16, 16)
    pixels[..., -1] = 0
    tile = np.asarray(grid(schema(mode, 16, 16), as_x(pixels), scale=1).convert("RGB"))[2:-2, 2:-2]
    greys = np.unique(tile.reshape(-1, 3), axis=0)
    assert len(greys) == 2
    assert (greys == greys[:, :1]).all(), "grey, not coloured"
    assert (tile[0, 0] != tile[0, 8]).all()
    assert (tile[0, 0] == tile[8, 8]).all()


def test_half_transparent_pixels_are_blended():
    pixels = np.zeros((1, 4, 4, 2), np.uint8)
    pixels[..., 1] = 51  # a fifth of black over the board
    clear = pixels.copy()
    clear[..., 1] = 0
    board = np.asarray(grid(schema("LA", 4, 4), as_x(clear), scale=1)).astype(float)[2:-2, 2:-2]
    mixed = np.asarray(grid(schema("LA", 4, 4), as_x(pixels), scale=1)).astype(float)[2:-2, 2:-2]
    assert np.abs(mixed - 0.8 * board).max() <= 1


def test_binary_pictures_are_black_and_white():
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).view(1, 1, 2, 2)
    sheet = np.asarray(grid(schema("L", 2, 2, levels=2), x, scale=2))[2:-2, 2:-2]
    assert (sheet == np.kron([[0, 255], [255, 0]], np.ones((2, 2)))).all()


@pytest.mark.parametrize(("edge", "scale"), [(8, 7), (28, 2), (32, 2), (64, 1), (500, 1)])
def test_small_pictures_are_magnified_by_a_whole_number(edge, scale):
    assert grid(schema("L", edge, edge), torch.zeros(1, 1, edge, edge)).size == (scale * edge + 4, scale * edge + 4)


def test_a_strip_is_one_row():
    pixels = levels_of("RGB", 7, 4, 6)
    sheet = np.asarray(grid(schema("RGB", 4, 6), as_x(pixels), columns=len(pixels), scale=1))
    assert sheet.shape == (4 + 4, 7 * (6 + 2) + 2, 3)
    assert (sheet[2:-2, -8:-2] == pixels[-1]).all()


@pytest.mark.parametrize(("n", "columns"), [(1, None), (3, None), (5, 2), (40, None)])
def test_a_reconstruction_lies_below_its_original(n, columns):
    originals, reconstructions = levels_of("L", n, 20, 30, seed=1), levels_of("L", n, 20, 30, seed=2)
    sheet = np.asarray(rows(schema("L", 20, 30), {"original": as_x(originals), "reconstruction": as_x(reconstructions)}, columns=columns, scale=1))
    found = {}
    for name, pixels in {"original": originals, "reconstruction": reconstructions}.items():
        for i in range(n):
            where = np.argwhere((np.lib.stride_tricks.sliding_window_view(sheet, (1, 30))[:, :, 0] == pixels[i, 0, :, 0]).all(-1))
            assert len(where) == 1
            top, left = where[0]
            assert (sheet[top : top + 20, left : left + 30] == pixels[i, ..., 0]).all()
            found[name, i] = top, left
    for i in range(n):
        (above, left), (below, same) = found["original", i], found["reconstruction", i]
        assert left == same
        assert above + 20 < below < above + 30


def test_rows_are_named_at_the_left_even_where_pictures_are_flat():
    x = torch.ones(2, 1, 1, 40)
    sheet = np.asarray(rows(schema("L", 1, 40), {"a": x, "b": x, "c": x}, scale=1))
    left = sheet[:, : sheet.shape[1] - 2 * 42]
    assert (left < 60).any(), "letters"
    written = (left < 100).any(1)
    assert np.count_nonzero(np.diff(written.astype(int)) == 1) == 3, "three names that do not run into each other"


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(DataError, match="no items"):
        grid(schema("L", 8, 8), torch.zeros(0, 1, 8, 8))
    with pytest.raises(DataError, match="differ in number"):
        rows(schema("L", 8, 8), {"original": torch.zeros(2, 1, 8, 8), "reconstruction": torch.zeros(3, 1, 8, 8)})
    with pytest.raises(DataError, match="no picture form"):
        grid(ImageSchema((5, 8, 8), "", 256), torch.zeros(1, 5, 8, 8))


def test_a_file_is_replaced_whole(tmp_path, monkeypatch):
    path, first, second = tmp_path / "a.png", Image.new("L", (3, 3), 7), Image.new("RGB", (9, 5), (1, 2, 3))
    save_png(first, path)
    held = path.open("rb")  # a reader in the middle of the old file
    save_png(second, path)
    with held:
        assert held.read() == png(first)
    assert path.read_bytes() == png(second)
    assert Image.open(path).getpixel((0, 0)) == (1, 2, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"], "nothing is left beside it"

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(ArtifactError, match="No space left"):
        save_png(first, path)
    assert path.read_bytes() == png(second), "what was there is unchanged"


def test_no_folder_is_a_readable_error(tmp_path):
    with pytest.raises(ArtifactError, match="cannot write"):
        save_png(Image.new("L", (3, 3)), tmp_path / "absent" / "a.png")


def test_items_in_order_are_one_row_and_versions_are_rows_with_names():
    x = torch.rand(6, 1, 8, 8)
    assert Pictures(schema("L", 8, 8), {"path": x}, in_order=True).sheet().size == grid(schema("L", 8, 8), x, columns=6).size
    versions = {"original": x, "reconstruction": 1 - x}
    assert np.array_equal(np.asarray(Pictures(schema("L", 8, 8), versions).sheet()), np.asarray(rows(schema("L", 8, 8), versions)))
