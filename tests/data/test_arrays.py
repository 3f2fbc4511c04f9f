import re

import numpy as np
import pytest
import torch
from PIL import Image

from vaeworks.data import Options, open_data, read_items
from vaeworks.data.arrays import from_array, with_context, with_factors
from vaeworks.data.describe import describe
from vaeworks.errors import DataError


def everything(data):
    return torch.cat([data.train.values, data.validation.values, data.test.values])


def as_set(values):
    return sorted(item.tobytes() for item in np.asarray(values))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
def test_both_layouts_of_colour_arrays_give_channels_first(rng, channels, layout) -> None:
    truth = rng.integers(0, 256, (40, channels, 9, 12), dtype=np.uint8)
    given = truth if layout == "nchw" else np.ascontiguousarray(truth.transpose(0, 2, 3, 1))
    data = open_data(given)
    assert data.schema.shape == (channels, 9, 12)
    assert data.schema.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    assert data.schema.levels == 256
    assert everything(data).dtype == torch.uint8
    assert as_set(everything(data)) == as_set(truth)


def test_grey_arrays_get_a_channel(rng) -> None:
    truth = rng.integers(0, 256, (40, 10, 11), dtype=np.uint8)
    data = open_data(truth)
    assert data.schema.shape == (1, 10, 11)
    assert as_set(everything(data)) == as_set(truth)


def test_a_tensor_a_list_and_a_read_only_view_mean_the_same_as_the_array(rng) -> None:
    truth = rng.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    frozen = truth.copy()
    frozen.flags.writeable = False
    for given in (torch.from_numpy(truth), list(truth), frozen, np.asfortranarray(truth), torch.from_numpy(truth).requires_grad_(False)):
        data = open_data(given)
        assert torch.equal(data.train.values, open_data(truth).train.values)


def test_bfloat16_and_gradient_tensors_are_read(rng) -> None:
    x = torch.from_numpy(rng.normal(size=(20, 8, 8))).float()
    assert open_data(x.clone().requires_grad_()).schema.levels == 0
    assert open_data(x.bfloat16()).schema.levels == 0
    assert open_data(x.half()).schema.levels == 0


def test_the_users_array_is_neither_changed_nor_shared(rng) -> None:
    given = rng.integers(0, 256, (30, 1, 8, 8), dtype=np.uint8)
    before = given.copy()
    data = open_data(given)
    data.train.values.zero_()
    assert (given == before).all()


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((50, 784), r"flat rows.*x.reshape\(-1, 28, 28\)"),
        ((50, 3072), r"flat rows.*x.reshape\(-1, 3, 32, 32\)"),
        ((50, 100), r"x.reshape\(-1, 10, 10\)"),
        ((50, 101), r"reshape the 101 numbers"),
        ((784,), r"give pictures of shape \(N, H, W\)"),
        ((), r"give pictures of shape"),
        ((2, 2, 3, 8, 8), r"give pictures of shape"),
        ((20, 5, 8, 8), r"1 to 4 channels neither second nor last"),
        ((0, 8, 8), r"holds no items"),
        ((32, 32, 3), r"looks like one picture"),
        ((20, 7, 8), r"7 x 8.*8 x 8 .. 256 x 256.*--size"),
        ((4, 257, 8), r"257 x 8.*8 x 8 .. 256 x 256.*--size"),
    ],
)
def test_a_shape_that_holds_no_pictures_is_named_with_the_cure(shape, says) -> None:
    with pytest.raises(DataError, match=says) as caught:
        open_data(np.asarray(np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape) % 251), options=Options(kind="image"))
    assert str(shape) in str(caught.value) or " x " in str(caught.value)


def test_too_large_arrays_are_resized_when_asked(rng) -> None:
    data = open_data(rng.integers(0, 256, (5, 300, 300), dtype=np.uint8), options=Options(size=32))
    assert data.schema.shape == (1, 32, 32)


def test_bool_and_zero_one_arrays_are_binary(rng) -> None:
    bits = rng.integers(0, 2, (40, 8, 8))
    for given in (bits.astype(bool), bits.astype(np.uint8), bits.astype(np.float64), bits.astype(np.uint8) * 255, bits.astype(np.int64)):
        schema = open_data(given).schema
        assert (schema.levels, schema.binarisation, schema.x_levels) == (2, "static", 2)
        assert as_set(everything(open_data(given))) == as_set(bits.astype(np.uint8))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.float32, np.float64])
def test_whole_numbers_up_to_255_are_8_bit_pixels_whatever_their_type(rng, dtype) -> None:
    truth = rng.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    data = open_data(truth.astype(dtype))
    assert data.schema.levels == 256
    assert as_set(everything(data)) == as_set(truth)
    assert any("8-bit" in note for note in data.notes)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_exact_multiples_of_one_255th_are_8_bit_pixels(rng, dtype) -> None:
    truth = rng.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    data = open_data((truth / 255).astype(dtype))
    assert data.schema.levels == 256
    assert as_set(everything(data)) == as_set(truth)
    assert any("multiples of 1/255" in note for note in data.notes)
    through_float32 = (truth.astype(np.float32) / np.float32(255)).astype(np.float64)
    assert open_data(through_float32).schema.levels == 256


def test_real_numbers_keep_their_values_and_the_range_of_the_training_items(rng) -> None:
    truth = rng.normal(size=(50, 8, 8)).astype(np.float32)
    data = open_data(truth)
    assert data.schema.levels == 0
    assert data.schema.binarisation == "none"
    assert everything(data).dtype == torch.float32
    assert as_set(everything(data)) == as_set(truth)
    train = data.train.values.numpy()
    assert (data.schema.low, data.schema.high) == (train.min(), train.max())
    x = data.schema.to_x(data.train.values).double().numpy()
    assert x.min() == 0
    assert x.max() == 1
    assert data.schema.mean == pytest.approx(x.mean(), abs=1e-6)
    assert data.schema.std == pytest.approx(x.std(), abs=1e-6)


def test_held_out_values_beyond_the_training_range_are_told(rng) -> None:
    truth = rng.normal(size=(50, 8, 8))
    data = open_data(truth)
    held = torch.cat([data.validation.values, data.test.values])
    share = float(((held < data.schema.low) | (held > data.schema.high)).float().mean())
    assert any(note.startswith(f"{share:.2%} of the held-out values") for note in data.notes) == (share > 0)


def test_values_in_the_unit_interval_that_are_no_pixels_stay_real(rng) -> None:
    assert open_data(rng.random((30, 8, 8))).schema.levels == 0


def test_16_bit_integers_are_real(rng) -> None:
    truth = rng.integers(0, 65536, (30, 8, 8), dtype=np.uint16)
    data = open_data(truth)
    assert data.schema.levels == 0
    assert as_set(everything(data)) == as_set(truth.astype(np.float32))
    assert open_data(rng.integers(-5, 5, (30, 8, 8))).schema.levels == 0


@pytest.mark.parametrize(("bad", "kind"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_the_first_item_that_is_not_finite_is_named(rng, bad, kind) -> None:
    x = rng.random((30, 3, 8, 8))
    x[17, 2, 3, 4] = bad
    x[23, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match=rf"item 17 \(counted from 0\) holds {kind}") as caught:
        open_data(x)
    cure = re.search(r"x\[.*\)\]", str(caught.value))
    assert cure is not None
    kept = eval(cure.group(), {"np": np, "x": x})
    assert len(kept) == 28


@pytest.mark.parametrize("given", [np.zeros((9, 8, 8), complex), np.full((9, 8, 8), "a"), np.full((9, 8, 8), None), np.zeros((9, 8, 8), "M8[s]")])
def test_values_that_are_no_numbers_are_refused(given) -> None:
    with pytest.raises(DataError, match="which are no pixels"):
        open_data(given)


def test_constant_data_are_refused() -> None:
    x = np.full((40, 8, 8), 7, dtype=np.uint8)
    with pytest.raises(DataError, match="40 items, all the same"):
        open_data(x)
    with pytest.raises(DataError, match="constant, every value of its 1 training items is 2"):
        open_data(np.stack([np.full((8, 8), i, np.uint8) for i in (1, 2, 3)]), options=Options(validation=0.34, test=0.34, seed=_seed_with_train(2)))


def _seed_with_train(value: int) -> int:
    """A seed for which the training item of three constant ones is not chosen by luck: any will do, since each item alone is constant."""
    for seed in range(100):
        try:
            open_data(np.stack([np.full((8, 8), i, np.uint8) for i in (1, 2, 3)]), options=Options(validation=0.34, test=0.34, seed=seed))
        except DataError as error:
            if f"is {value}," in str(error):
                return seed
    raise AssertionError


def test_numbers_too_large_for_32_bits_are_refused() -> None:
    x = np.random.default_rng(0).normal(size=(20, 8, 8))
    x[0, 0, 0] = 1e300
    with pytest.raises(DataError, match="1e\\+300, too large"):
        open_data(x)


def test_masked_arrays_are_refused(rng) -> None:
    with pytest.raises(DataError, match="masked"):
        open_data(np.ma.masked_less(rng.random((20, 8, 8)), 0.5))


@pytest.mark.parametrize(
    "source", [3, object(), [], [1, 2], {"x": 1}, [np.zeros((8, 8)), np.zeros((9, 9))], [np.zeros((8, 8)), Image.new("L", (8, 8))]]
)
def test_a_source_of_the_wrong_type_is_one_clear_error(source) -> None:
    with pytest.raises(DataError, match=r"give|make them agree"):
        open_data(source)


def test_sparse_tensors_are_one_clear_error() -> None:
    with pytest.raises(DataError, match="tensor"):
        open_data(torch.eye(8).expand(5, 8, 8).to_sparse())


def test_more_than_fits_into_memory_is_refused_before_it_is_read(monkeypatch) -> None:
    monkeypatch.setattr("vaeworks.data.memory.available", lambda: 10_000_000)
    with pytest.raises(DataError, match=r"needs 13\.1 GB of memory, and 0\.0 GB are free"):
        open_data(np.broadcast_to(np.float32(0.5), (100_000, 128, 128)))


def test_statistics_are_those_of_x(rng) -> None:
    truth = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8)
    for binarisation in ("none", "threshold", "dynamic", "static"):
        data = open_data(truth, options=Options(binarisation=binarisation))
        stored = data.train.values.numpy().astype(float)
        x = {"none": stored / 255, "dynamic": stored / 255, "threshold": (stored > 127.5).astype(float), "static": stored}[binarisation]
        assert data.schema.count == len(stored) == 48
        assert data.schema.mean == pytest.approx(x.mean())
        assert data.schema.std == pytest.approx(x.std())
        assert data.schema.binarisation == binarisation


def test_binarisation_of_colour_or_real_data_is_refused(rng) -> None:
    with pytest.raises(DataError, match="3 channels, and binarisation needs grey"):
        open_data(rng.integers(0, 256, (20, 3, 8, 8), dtype=np.uint8), options=Options(binarisation="dynamic"))
    with pytest.raises(DataError, match="real numbers, which cannot be binarised"):
        open_data(rng.random((20, 8, 8)), options=Options(binarisation="threshold"))


def test_numbers_beside_the_items_get_names(rng) -> None:
    raw = from_array(rng.integers(0, 256, (5, 8, 8), dtype=np.uint8), "x", None)
    one = with_context(raw, np.arange(5))
    assert (one.columns, one.context.tolist()) == (("c0",), [[0], [1], [2], [3], [4]])
    two = with_context(raw, np.eye(5)[:, :2], np.array(["age", "height"]))
    assert two.columns == ("age", "height")
    taken = two.take(np.array([3, 1]))
    assert taken.context.tolist() == [[0, 0], [0, 1]]
    made = with_factors(raw, np.arange(10.0).reshape(5, 2))
    assert (made.factor_names, made.factors.dtype) == (("factor0", "factor1"), np.int64)
    assert made.take(np.array([4])).factors.tolist() == [[8, 9]]


@pytest.mark.parametrize(
    ("attach", "numbers", "names", "says"),
    [
        (with_context, np.zeros((4, 2)), None, r"x has 5 items and context of shape \(4, 2\): give one row"),
        (with_context, np.zeros((5, 0)), None, r"context of shape \(5, 0\)"),
        (with_context, np.zeros((5, 2, 2)), None, r"context of shape \(5, 2, 2\)"),
        (with_context, np.array([[0.0, 1], [2, np.nan], [0, 0], [0, 0], [0, 0]]), None, "item 1 is nan in column c1: fill it"),
        (with_context, np.full(5, 1e300), None, "item 0 is inf in column c0"),
        (with_context, np.array(["a"] * 5), None, "context of type <U1: give numbers"),
        (with_context, np.zeros((5, 2)), np.array(["age"]), "context of 2 columns, and the names age: give a different name for each"),
        (with_context, np.zeros((5, 2)), np.array(["age", "age"]), "give a different name for each"),
        (with_factors, np.zeros((3, 2), dtype=int), None, r"factors of shape \(3, 2\)"),
        (with_factors, np.full((5, 2), 0.5), None, "factors of type float64: give integers"),
        (with_factors, np.full((5, 2), np.inf), None, "give integers"),
    ],
)
def test_what_cannot_stand_beside_the_items_is_refused(rng, attach, numbers, names, says) -> None:
    raw = from_array(rng.integers(0, 256, (5, 8, 8), dtype=np.uint8), "x", None)
    with pytest.raises(DataError, match=says):
        attach(raw, numbers, names)


def test_columns_are_measured_on_training_items(rng) -> None:
    raw = from_array(rng.integers(0, 256, (6, 8, 8), dtype=np.uint8), "x", None)
    numbers = np.stack([np.arange(6.0), np.full(6, 7.1)], 1)
    train = np.array([True, True, False, True, False, False])
    schema = describe(with_context(raw, numbers), train)
    assert schema.columns == ("c0", "c1")
    np.testing.assert_allclose(schema.column_means, [np.mean([0, 1, 3]), 7.1], rtol=1e-6)
    np.testing.assert_allclose(schema.column_scales, [np.std([0, 1, 3]), 1], rtol=1e-6)
    assert describe(raw, train).columns == ()


def test_npz_files_hold_context_and_factors(rng, tmp_path) -> None:
    pictures = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    ages, made = rng.normal(size=(40, 2)), np.stack([np.arange(40) % 4, np.arange(40) % 5], 1)
    np.savez(tmp_path / "a.npz", x=pictures, context=ages, context_names=["age", "height"], factors=made, factor_names=["hue", "size"])
    data = open_data(tmp_path / "a.npz")
    assert data.schema.columns == ("age", "height")
    np.testing.assert_allclose(data.schema.column_means, data.train.context.double().mean(0), rtol=1e-5)
    known = {picture.tobytes(): (age, factor) for picture, age, factor in zip(pictures, ages, made, strict=True)}
    for items in (data.train, data.validation, data.test, read_items(tmp_path / "a.npz", data.schema)):
        assert items.factor_names == ("hue", "size")
        for picture, age, factor in zip(items.values.numpy(), items.context.numpy(), items.factors.tolist(), strict=True):
            np.testing.assert_allclose(age, known[picture.tobytes()][0], rtol=1e-6)
            assert factor == known[picture.tobytes()][1].tolist()


def test_an_official_split_has_its_context(rng, tmp_path) -> None:
    pictures, numbers = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40.0)
    np.savez(tmp_path / "a.npz", x_train=pictures[:30], x_test=pictures[30:], context_train=numbers[:30], context_test=numbers[30:])
    assert sorted(open_data(tmp_path / "a.npz").test.context[:, 0].tolist()) == numbers[30:].tolist()
    np.savez(tmp_path / "b.npz", x_train=pictures[:30], x_test=pictures[30:], context_train=np.zeros((30, 2)), context_test=np.zeros((10, 3)))
    with pytest.raises(DataError, match=r"context_train and context_test have rows of shape \(2,\), \(3,\): make them agree"):
        open_data(tmp_path / "b.npz")
