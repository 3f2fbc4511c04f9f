"""Every mode, orientation and depth, against pixels that are known without the package."""

import numpy as np
import pytest
from PIL import Image

from vaeworks.data import Options, open_data
from vaeworks.data.pictures import decode, refit, resize_real
from vaeworks.errors import DataError


@pytest.fixture
def grey(rng):
    return rng.integers(0, 256, (9, 12), dtype=np.uint8)


@pytest.fixture
def colour(rng):
    return rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)


def test_modes_that_hold_their_pixels_as_they_are(grey, colour) -> None:
    assert np.array_equal(decode(Image.fromarray(grey), None, None)[..., 0], grey)
    assert np.array_equal(decode(Image.fromarray(colour), None, None), colour)
    bits = grey > 127
    assert np.array_equal(decode(Image.fromarray(bits), None, None)[..., 0], bits * np.uint8(255))


def test_grey_pictures_stored_in_colour_are_grey(grey) -> None:
    for picture in (np.stack([grey] * 3, 2), np.stack([grey] * 3 + [np.full_like(grey, 255)], 2)):
        assert np.array_equal(decode(Image.fromarray(picture), None, None)[..., 0], grey)
        assert decode(Image.fromarray(picture), None, None).shape == (9, 12, 1)


def test_opaque_alpha_is_dropped_and_real_alpha_is_kept(grey, colour) -> None:
    opaque, partial = np.full_like(grey, 255), np.clip(grey, 1, 254)
    assert np.array_equal(decode(Image.fromarray(np.dstack([colour, opaque])), None, None), colour)
    assert np.array_equal(decode(Image.fromarray(np.dstack([colour, partial])), None, None), np.dstack([colour, partial]))
    assert np.array_equal(decode(Image.fromarray(np.dstack([grey, partial])), None, None), np.dstack([grey, partial]))
    assert decode(Image.fromarray(np.dstack([grey, grey, grey, partial])), None, None).shape == (9, 12, 2)


def test_colours_behind_full_transparency_are_black(colour) -> None:
    alpha = np.full((9, 12), 255, np.uint8)
    alpha[2:4] = 0
    seen = decode(Image.fromarray(np.dstack([colour, alpha])), None, None)
    assert (seen[2:4] == 0).all()
    assert np.array_equal(seen[4:, :, :3], colour[4:])


def test_palettes_with_and_without_transparency(tmp_path) -> None:
    index = np.arange(9 * 12, dtype=np.uint8).reshape(9, 12) % 4
    palette = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], np.uint8)
    image = Image.fromarray(index)
    image.putpalette(palette.tobytes())
    image.save(tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as stored:
        assert stored.mode == "P"
        assert np.array_equal(decode(stored, None, None), palette[index])
    image.save(tmp_path / "t.png", transparency=1)
    with Image.open(tmp_path / "t.png") as stored:
        seen = decode(stored, None, None)
    assert np.array_equal(seen[..., 3] == 0, index == 1)
    assert np.array_equal(seen[index != 1][:, :3], palette[index][index != 1])


def test_a_transparent_grey_level_or_colour_in_a_png(tmp_path, grey, colour) -> None:
    Image.fromarray(grey).save(tmp_path / "l.png", transparency=int(grey[0, 0]))
    with Image.open(tmp_path / "l.png") as stored:
        assert np.array_equal(decode(stored, None, None)[..., 1] == 0, grey == grey[0, 0])
    Image.fromarray(colour).save(tmp_path / "rgb.png", transparency=tuple(map(int, colour[0, 0])))
    with Image.open(tmp_path / "rgb.png") as stored:
        assert decode(stored, None, None)[0, 0, 3] == 0
    Image.fromarray(grey > 127).save(tmp_path / "1.png", transparency=0)
    with Image.open(tmp_path / "1.png") as stored:
        assert np.array_equal(decode(stored, None, None)[..., 1] == 0, grey <= 127)


def test_cmyk_and_other_colour_spaces(tmp_path) -> None:
    image = Image.new("CMYK", (12, 9), (255, 0, 0, 0))
    image.save(tmp_path / "c.tif")
    with Image.open(tmp_path / "c.tif") as stored:
        assert decode(stored, None, None)[0, 0].tolist() == [0, 255, 255]
    assert decode(Image.new("HSV", (12, 9), (0, 255, 255)), None, None)[0, 0].tolist() == [255, 0, 0]
    assert decode(Image.new("YCbCr", (12, 9), (128, 128, 128)), None, None)[0, 0].tolist() == [128]
    assert np.abs(decode(Image.new("RGB", (12, 9), (200, 30, 60)).convert("YCbCr"), None, None)[0, 0].astype(int) - [200, 30, 60]).max() <= 2
    assert decode(Image.new("PA", (12, 9)), None, None).shape[:2] == (9, 12)
    assert decode(Image.new("RGBa", (12, 9), (10, 20, 30, 255)), None, None)[0, 0].tolist() == [10, 20, 30]
    assert decode(Image.new("RGBX", (12, 9), (10, 20, 30, 0)), None, None)[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 257, 65535]], np.uint16), [0, 1, 255]),
        (np.array([[0, 7, 255]], np.int32), [0, 7, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 2.4, 255]], np.float32), [0, 2, 255]),
    ],
)
@pytest.mark.parametrize("suffix", ["memory", "tif", "png"])
def test_deeper_pictures_come_down_to_8_bits_by_their_range(tmp_path, values, expected, suffix) -> None:
    image = Image.fromarray(np.repeat(values, 8, axis=0))
    if suffix == "memory":
        assert decode(image, None, None)[0, :, 0].tolist() == expected
    elif suffix == "tif" or image.mode == "I;16":
        image.save(tmp_path / f"a.{suffix}")
        with Image.open(tmp_path / f"a.{suffix}") as stored:
            assert decode(stored, None, None)[0, :, 0].tolist() == expected


@pytest.mark.parametrize("bad", [-1.0, 70000.0, np.nan])
def test_numbers_without_an_8_bit_form_are_refused(bad) -> None:
    with pytest.raises(ValueError, match=r"save it as \.npy"):
        decode(Image.fromarray(np.full((9, 9), bad, np.float32)), None, None)


def upright(stored, orientation):
    """The picture that EXIF orientation ``orientation`` describes, by the standard's own words: where row 0 and column 0 are."""
    return {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90,
    }[orientation](stored)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_respected(tmp_path, colour, orientation, suffix) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for i in range(3):
        shifted = np.roll(colour, i, axis=0)
        Image.fromarray(shifted).save(tmp_path / f"{i}.{suffix}", exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    data = open_data(tmp_path, options=Options(validation=0, test=0))
    expected = [upright(np.roll(colour, i, axis=0), orientation).transpose(2, 0, 1) for i in range(3)]
    assert data.schema.shape == expected[0].shape
    assert np.array_equal(data.train.values.numpy(), np.stack(expected))


def test_damaged_exif_does_not_spoil_a_picture(tmp_path, colour) -> None:
    for i in range(3):
        Image.fromarray(np.roll(colour, i, axis=0)).save(tmp_path / f"{i}.png", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff\x00\x01garbage")
    assert len(open_data(tmp_path, options=Options(validation=0, test=0)).train) == 3


def test_covering_and_cropping_keeps_the_aspect_and_the_centre() -> None:
    wide = np.zeros((32, 96), np.uint8)
    wide[:, 32:64] = 255
    assert (decode(Image.fromarray(wide), (16, 16), None)[2:-2, 2:-2] >= 250).all()
    disc = np.hypot(*np.mgrid[-50:50, -80:80]) < 30
    fitted = decode(Image.fromarray(disc * np.uint8(255)), (32, 32), None)[..., 0] > 127
    assert abs(int(fitted.any(0).sum()) - int(fitted.any(1).sum())) <= 1


def test_shrinking_is_antialiased() -> None:
    fine = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8)
    assert np.abs(decode(Image.fromarray(fine), (16, 16), None).astype(int) - 127).max() <= 3


def test_transparency_is_laid_on_white_where_the_mode_has_none() -> None:
    clear = Image.new("RGBA", (9, 9), (255, 0, 0, 0))
    assert decode(clear, None, "RGB")[0, 0].tolist() == [255, 255, 255]
    assert decode(Image.new("LA", (9, 9), (0, 0)), None, "L")[0, 0].tolist() == [255]
    assert decode(Image.new("RGBA", (9, 9), (255, 0, 0, 255)), None, "RGB")[0, 0].tolist() == [255, 0, 0]
    assert decode(Image.new("L", (9, 9), 7), None, "RGBA")[0, 0].tolist() == [7, 7, 7, 255]
    assert decode(Image.new("L", (9, 9), 7), None, "RGB")[0, 0].tolist() == [7, 7, 7]


def test_arrays_take_the_same_route(rng) -> None:
    values = rng.integers(0, 256, (3, 4, 20, 30), dtype=np.uint8)
    for i, item in enumerate(refit(values, (10, 10))):
        assert np.array_equal(item, decode(Image.fromarray(values[i].transpose(1, 2, 0)), (10, 10), "RGBA").transpose(2, 0, 1))
    assert refit(values[:, :3], (10, 10), "L").shape == (3, 1, 10, 10)


def test_real_pictures_are_resized_within_their_range(rng) -> None:
    values = rng.normal(size=(2, 2, 20, 20)).astype(np.float32)
    fitted = resize_real(values, (10, 10))
    assert fitted.shape == (2, 2, 10, 10)
    assert values.min() <= fitted.min()
    assert fitted.max() <= values.max()
    assert fitted.mean() == pytest.approx(values.mean(), abs=0.02)
    assert resize_real(np.full((1, 1, 20, 20), 3.5, np.float32), (9, 14)) == pytest.approx(3.5)


def test_the_users_images_are_left_as_they_are(tmp_path, rng) -> None:
    big = rng.integers(0, 256, (400, 400, 3), dtype=np.uint8)
    for i in range(3):
        Image.fromarray(np.roll(big, i)).save(tmp_path / f"{i}.jpg")
    images = [Image.open(tmp_path / f"{i}.jpg") for i in range(3)]
    try:
        data = open_data(images, options=Options(size=16))
        assert data.schema.shape == (3, 16, 16)
        assert data.train.names is None
        assert all(image.size == (400, 400) for image in images)
    finally:
        for image in images:
            image.close()


def test_the_same_image_listed_many_times(rng) -> None:
    a, b, c = (Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8)) for _ in range(3))
    assert len(open_data([a, b, c] * 20, options=Options(validation=0, test=0)).train) == 60


def test_an_image_in_memory_that_cannot_be_read_is_never_skipped(rng, tmp_path) -> None:
    good = [Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8)) for _ in range(5)]
    good[0].save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as closed:
        pass
    with pytest.raises(DataError, match="image 5"):
        open_data([*good, closed])
