import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from vaeworks.data import Options, open_data, read_items
from vaeworks.data.arrays import from_array, with_context
from vaeworks.data.conform import conform
from vaeworks.errors import DataError
from vaeworks.model import ImageSchema

GREY = ImageSchema(shape=(1, 8, 8), mode="L", levels=256)
COLOUR = ImageSchema(shape=(3, 16, 12), mode="RGB", levels=256)
DIGITS = ImageSchema(shape=(1, 8, 8), mode="L", levels=17, classes=tuple("0123456789"))
BINARY = ImageSchema(shape=(1, 8, 8), mode="L", levels=2, binarisation="static")
DYNAMIC = ImageSchema(shape=(1, 8, 8), mode="L", levels=256, binarisation="dynamic")
REAL = ImageSchema(shape=(2, 8, 8), mode="LA", levels=0, low=-1, high=3)


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (6, 8, 8), dtype=np.uint8)


@pytest.fixture
def colours(rng):
    return rng.integers(0, 256, (6, 16, 12, 3), dtype=np.uint8)


def test_items_that_fit_come_back_as_they_are(pixels, colours) -> None:
    assert np.array_equal(read_items(pixels, GREY).values[:, 0], pixels)
    assert np.array_equal(read_items(colours, COLOUR).values, colours.transpose(0, 3, 1, 2))
    assert np.array_equal(read_items((pixels / 255).astype(np.float32), GREY).values[:, 0], pixels)


def test_a_single_item_needs_no_batch_axis(pixels, colours, rng) -> None:
    for one in (
        pixels[0],
        pixels[0][None],
        pixels[0][..., None],
        torch.from_numpy(pixels[0]),
        Image.fromarray(pixels[0]),
        [Image.fromarray(pixels[0])],
    ):
        assert np.array_equal(read_items(one, GREY).values[0, 0], pixels[0])
    for one in (colours[0], colours[0].transpose(2, 0, 1), Image.fromarray(colours[0])):
        assert np.array_equal(read_items(one, COLOUR).values[0], colours[0].transpose(2, 0, 1))


def test_pictures_take_the_models_size_and_channels(pixels, colours, tmp_path) -> None:
    assert read_items(colours, GREY).values.shape == (6, 1, 8, 8)
    assert read_items(pixels, COLOUR).values.shape == (6, 3, 16, 12)
    for i, picture in enumerate(colours):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    items = read_items(tmp_path, GREY)
    assert items.names == tuple(f"{i}.png" for i in range(6))
    assert np.array_equal(items.values, read_items(colours, GREY).values)
    assert np.array_equal(items.values, read_items([Image.fromarray(c) for c in colours], GREY).values)


def test_what_was_opened_is_read_back_the_same_from_every_source(rng, tmp_path) -> None:
    for i in range(12):
        image = Image.fromarray(rng.integers(1, 255, (20 + i, 30, 4), dtype=np.uint8))
        image.convert("RGB" if i % 3 else "RGBA").save(tmp_path / f"{i}.png")
    data = open_data(tmp_path, options=Options(seed=4))
    for split in ("train", "validation", "test"):
        items = read_items(tmp_path, data.schema, options=Options(seed=4, split=split))
        assert np.array_equal(items.values, getattr(data, split).values)
        assert items.names == getattr(data, split).names
    assert len(read_items(tmp_path, data.schema)) == 12


def test_levels_are_those_of_the_model(pixels) -> None:
    items = read_items(pixels, DIGITS)
    assert np.array_equal(items.values[:, 0], np.rint(pixels / 255 * 16))
    raw = pixels % 17
    assert np.array_equal(read_items(raw, DIGITS).values[:, 0], raw)
    bright = read_items("digits", GREY)
    dark = read_items("digits", DIGITS)
    assert np.array_equal(bright.values, np.rint(dark.values.numpy() / 16 * 255))


def test_a_binary_model_draws_once_from_grey(pixels) -> None:
    one, again = read_items(pixels, BINARY), read_items(pixels, BINARY)
    assert torch.equal(one.values, again.values)
    assert set(one.values.unique().tolist()) == {0, 1}
    assert torch.equal(one.values[2:4], read_items(pixels[2:4], BINARY).values)
    assert not torch.equal(one.values, read_items(pixels, BINARY, options=Options(seed=1)).values)
    bits = pixels > 127
    for given in (bits, bits.astype(np.uint8), bits.astype(np.uint8) * 255, bits.astype(float)):
        assert np.array_equal(read_items(given, BINARY).values[:, 0], bits)
    data = open_data("digits:static")
    assert torch.equal(read_items("digits", data.schema).values, data.test.values)
    assert torch.equal(read_items("digits:static", data.schema).values, data.test.values)


def test_a_dynamic_model_reads_grey_and_already_drawn_items(pixels) -> None:
    assert np.array_equal(read_items(pixels, DYNAMIC).values[:, 0], pixels)
    items = read_items(pixels > 127, DYNAMIC)
    assert np.array_equal(DYNAMIC.to_x(items.values)[:, 0], pixels > 127)
    drawn = read_items("digits:static", DYNAMIC)
    assert set(drawn.values.unique().tolist()) == {0, 255}


def test_a_protocol_the_model_did_not_learn_is_refused() -> None:
    with pytest.raises(DataError, match="dynamic binarisation was asked for, and the model learned with no binarisation"):
        read_items("digits:dynamic", GREY)
    with pytest.raises(DataError, match="static binarisation was asked for, and the model learned with no"):
        read_items("digits:static", GREY)
    with pytest.raises(DataError, match="threshold binarisation was asked for, and the model learned with dynamic"):
        read_items("digits", DYNAMIC, options=Options(binarisation="threshold"))


def test_real_models_take_real_numbers_of_their_shape(rng, pixels) -> None:
    x = rng.normal(size=(5, 2, 8, 8))
    assert np.array_equal(read_items(x, REAL).values, x.astype(np.float32))
    whole = rng.integers(0, 3, (5, 2, 8, 8))
    assert np.array_equal(read_items(whole, REAL).values, whole.astype(np.float32))
    assert read_items(whole, REAL).values.dtype == torch.float32
    with pytest.raises(DataError, match=r"items of shape \(2, 9, 9\), and the model learned items of shape \(2, 8, 8\)"):
        read_items(rng.normal(size=(5, 2, 9, 9)), REAL)
    with pytest.raises(DataError, match="pixels, and the model learned from real numbers"):
        read_items("digits", REAL)
    with pytest.raises(DataError, match="real numbers, and the model learned from pixels"):
        read_items(rng.normal(size=(5, 8, 8)), GREY)
    x[3, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="item 3"):
        read_items(x, REAL)


def test_a_model_without_a_picture_form_takes_arrays_of_its_shape_only(pixels, tmp_path) -> None:
    odd = dataclasses.replace(GREY, mode="")
    assert len(read_items(pixels, odd)) == 6
    Image.fromarray(pixels[0]).save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", np.zeros((3, 9, 9), np.uint8)):
        with pytest.raises(DataError, match="no picture form"):
            read_items(source, odd)


def test_labels_are_numbers_into_the_models_classes(pixels, tmp_path) -> None:
    model = dataclasses.replace(GREY, classes=("dog", "cat"))
    np.savez(tmp_path / "a.npz", x=pixels, y=np.array(["cat", "dog", "cow", "cat", "cat", "dog"]))
    assert read_items(tmp_path / "a.npz", model).labels.tolist() == [1, 0, -1, 1, 1, 0]
    assert read_items(tmp_path / "a.npz", GREY).labels is None


def test_constant_and_single_items_may_be_read() -> None:
    assert len(read_items(np.zeros((4, 8, 8), np.uint8), GREY)) == 4
    assert read_items(np.full((4, 8, 8), 255, np.uint8), GREY).values.min() == 255


def test_the_test_items_of_a_built_in_set_are_the_same_for_every_model() -> None:
    test = open_data("digits").test.labels
    for schema in (GREY, DIGITS, BINARY, DYNAMIC, COLOUR):
        assert read_items("digits", dataclasses.replace(schema, classes=DIGITS.classes)).labels.tolist() == test.tolist()
    for name, options in (("digits", Options(size=16)), ("digits:static", Options()), ("digits:dynamic", Options())):
        data = open_data(name, options=options)
        assert data.test.labels.tolist() == test.tolist()
        assert torch.equal(read_items(name.partition(":")[0], data.schema).values, data.test.values)


def test_copies_made_by_resizing_stay_together(rng) -> None:
    coarse = rng.integers(0, 256, (10, 1, 8, 8), dtype=np.uint8)
    fine = np.kron(coarse[rng.integers(0, 10, 60)], np.ones((1, 1, 4, 4), np.uint8))
    fine[:, :, 0, 0] ^= rng.integers(0, 2, (60, 1), dtype=np.uint8)
    data = open_data(fine, options=Options(size=8))
    parts = [{v.numpy().tobytes() for v in part.values} for part in (data.train, data.validation, data.test)]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    assert torch.equal(read_items(fine, data.schema, options=Options(split="test")).values, data.test.values)


def test_dark_pictures_stay_dark(pixels, tmp_path) -> None:
    dark = pixels % 2
    assert np.array_equal(read_items(dark, GREY).values[:, 0], dark)
    assert np.array_equal(read_items(dark, DYNAMIC).values[:, 0], dark * 255)
    Image.fromarray(dark[0]).save(tmp_path / "a.png")
    assert np.array_equal(read_items(tmp_path, GREY).values[0, 0], dark[0])


def test_a_folder_of_black_and_white_pictures_is_read_back_the_same(rng, tmp_path) -> None:
    for i in range(12):
        Image.fromarray(rng.random((9, 9)) < 0.5).save(tmp_path / f"{i}.png")
    data = open_data(tmp_path)
    assert data.schema.levels == 2
    items = read_items(tmp_path, data.schema, options=Options(split="test"))
    assert torch.equal(items.values, data.test.values)


def test_whites_stay_white_whatever_else_is_in_the_batch(pixels) -> None:
    black_and_white = (pixels > 127).astype(np.uint8) * 255
    assert np.array_equal(read_items(black_and_white, GREY).values[:, 0], black_and_white)


def test_limit_applies_to_what_is_read(pixels) -> None:
    assert len(read_items(pixels, GREY, options=Options(limit=2))) == 2


def test_columns_are_put_in_the_models_order(pixels) -> None:
    schema = dataclasses.replace(GREY, context="vector", columns=("age", "height"), column_means=(0.0, 0.0), column_scales=(1.0, 1.0))
    raw = with_context(from_array(pixels, "x", None), np.arange(18).reshape(6, 3), np.array(["height", "shoe", "age"]))
    found = conform(raw, schema, None, 0)
    assert found.columns == ("age", "height")
    assert found.context.tolist() == [[3 * i + 2, 3 * i] for i in range(6)]
    other = with_context(from_array(pixels, "x", None), np.arange(6), np.array(["age"]))
    with pytest.raises(DataError, match="x has the columns age, and the model is conditional on height too: give all of age, height"):
        conform(other, schema, None, 0)
    ignored = conform(other, dataclasses.replace(schema, context="none"), None, 0)
    assert (ignored.context, ignored.columns) == (None, ())
