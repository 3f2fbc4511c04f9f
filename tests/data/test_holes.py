"""What is said to be missing, in words, in files and by NaN, is what is marked so, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vaeworks.data import Items, Options, open_data
from vaeworks.data.holes import gap, holes, seen_samples, without_nan
from vaeworks.data.texts import read_gapped
from vaeworks.errors import DataError
from vaeworks.model import AudioSchema, ImageSchema, TextSchema

COLOUR = ImageSchema(shape=(3, 8, 9), mode="RGB", levels=256)
ITEMS = Items(torch.zeros(4, 3, 8, 9, dtype=torch.uint8))


def observed(mask: Any, seed: int = 0) -> torch.Tensor:
    found = holes(ITEMS, COLOUR, mask, seed).observed
    assert found is not None
    assert found.shape == (4, 3, 8, 9)
    return found


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("left", np.s_[:, :, :, :4]),
        ("right", np.s_[:, :, :, 5:]),
        ("top", np.s_[:, :, :4]),
        ("bottom", np.s_[:, :, 4:]),
        ("center", np.s_[:, :, 2:6, 2:7]),
    ],
)
def test_sides_have_names(name: str, missing: Any) -> None:
    expected = np.ones((4, 3, 8, 9), bool)
    expected[missing] = False
    np.testing.assert_array_equal(observed(name).numpy(), expected)


def test_chance_takes_whole_pixels_as_often_as_it_says() -> None:
    many = Items(torch.zeros(500, 3, 8, 9, dtype=torch.uint8))
    found = holes(many, COLOUR, "random:0.3", 1).observed
    assert found is not None
    assert (found == found[:, :1]).all()
    assert float(found.double().mean()) == pytest.approx(0.7, abs=4.5 * (0.21 / 36_000) ** 0.5)
    assert torch.equal(found, holes(many, COLOUR, "random:0.3", 1).observed)
    assert not torch.equal(found, holes(many, COLOUR, "random:0.3", 2).observed)


def test_files_and_arrays_of_every_layout(tmp_path: Path) -> None:
    one = np.random.default_rng(0).random((8, 9)) < 0.6
    Image.fromarray((255 * one).astype(np.uint8)).save(tmp_path / "m.png")
    np.save(tmp_path / "m.npy", one)
    np.savez(tmp_path / "m.npz", mask=one.astype(np.float32))
    expected = np.broadcast_to(one, (4, 3, 8, 9))
    for mask in (
        tmp_path / "m.png",
        str(tmp_path / "m.npy"),
        tmp_path / "m.npz",
        one,
        torch.from_numpy(one),
        np.stack([one] * 4),
        np.stack([one] * 3, -1),
    ):
        np.testing.assert_array_equal(observed(mask).numpy(), expected)
    each = np.random.default_rng(0).random((4, 3, 8, 9)) < 0.6
    np.testing.assert_array_equal(observed(each).numpy(), each)
    np.testing.assert_array_equal(observed(each.transpose(0, 2, 3, 1)).numpy(), each)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("middle", "neither a file nor one of left, right"),
        ("random:1.5", "no share of the pixels"),
        ("random:x", "no share of the pixels"),
        (np.ones((5, 5)), r"shape \(5, 5\) .* give \(8, 9\) for all of 4 items"),
        (np.ones((8, 9)), "hides nothing"),
    ],
)
def test_what_is_no_mask_is_told(mask: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        holes(ITEMS, COLOUR, mask)


def test_nan_is_missing_in_every_layout(tmp_path: Path) -> None:
    schema = ImageSchema(shape=(3, 8, 9), mode="RGB", levels=0, low=-1.0, high=2.0)
    array = np.random.default_rng(0).random((5, 3, 8, 9))
    array[np.random.default_rng(1).random(array.shape) < 0.3] = np.nan
    seen = ~np.isnan(array)
    np.save(tmp_path / "x.npy", array.transpose(0, 2, 3, 1))
    for source in (array, array.transpose(0, 2, 3, 1), torch.from_numpy(array), tmp_path / "x.npy"):
        filled, found = without_nan(source, schema)
        assert np.isfinite(filled).all()
        assert found is not None
        np.testing.assert_array_equal(found.numpy(), seen)
    _, one = without_nan(array[0], schema)
    assert one is not None
    np.testing.assert_array_equal(one.numpy(), seen[:1])
    whole = np.zeros((2, 8, 9))
    assert without_nan(whole, schema) == (whole, None)
    with pytest.raises(DataError, match="do not fit the model's"):
        without_nan(np.full((2, 12, 9), np.nan), schema)


def sounds(representation: Any, lengths: list[int]) -> tuple[Items, AudioSchema]:
    shape = (1, 4, 32) if representation == "mel" else (1, 512)
    bands: dict[str, Any] = {"mel_means": (0.0,) * 4, "mel_scales": (1.0,) * 4} if representation == "mel" else {}
    schema = AudioSchema(shape=shape, rate=1000, representation=representation, window=64, hop=16, **bands)
    return Items(torch.randint(-3000, 3000, (len(lengths), 1, 512), dtype=torch.int16), lengths=torch.tensor(lengths)), schema


def test_a_gap_hides_its_samples_and_every_frame_that_hears_them() -> None:
    items, schema = sounds("wave", [512, 400])
    found = gap(items, schema, 0.1, 0.2)
    assert found.observed is not None
    np.testing.assert_array_equal(found.observed[1, 0].numpy(), [not 100 <= i < 200 for i in range(512)])
    items, schema = sounds("mel", [512, 400])
    found, seen = gap(items, schema, 0.1, 0.2), seen_samples(items, schema, 0.1, 0.2)
    assert found.observed is not None
    # a frame that is called seen must not change when the samples of the gap do
    other = items.values.clone()
    other[:, :, 100:200] = 1234
    change = (schema.to_x(items.values) - schema.to_x(other)).abs()
    assert (change[found.observed] == 0).all()
    assert (change[~found.observed].view(2, -1).amax(1) > 0).all()
    assert torch.equal(seen[0, 0], torch.tensor([not 100 <= i < 200 for i in range(512)]))
    assert (found.values[:, :, 100:200] == 0).all()


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [(0.2, 0.1, "is none"), (0.3, 0.45, "sound 1 is 0.4 s long, and the gap 0.3..0.45 reaches its end"), (2.0, 3.0, "reaches its end")],
)
@pytest.mark.parametrize("representation", ["mel", "wave"])
def test_a_gap_that_is_none_or_takes_the_end_is_refused(representation: str, start: float, end: float, message: str) -> None:
    items, schema = sounds(representation, [512, 400])
    with pytest.raises(DataError, match=message):
        gap(items, schema, start, end)


def test_marks_are_tokens_that_are_not_known() -> None:
    strings = [a + b + c for a in "abcd" for b in "abcd" for c in ("", "a", "bc")] * 3
    schema = open_data(strings, options=Options(seed=0)).schema
    assert isinstance(schema, TextSchema)
    items, given = read_gapped(["a_c", "b*", "__", "abc"], schema, Options())
    assert given == ["a_c", "b*", "__", "abc"]
    assert items.observed is not None
    assert items.lengths is not None
    assert items.lengths.tolist() == [4, 3, 3, 4]
    batch = items.batch(schema, slice(None))
    assert batch.observed is not None
    assert batch.observed.tolist() == [[True, False, True, True], [True, True, True, False], [False, False, True, False], [True] * 4]
    plain, _ = schema.encode(["aac", "b*", "aa", "abc"])
    assert ((batch.x == plain[:, :4]) | ~batch.observed).all()
    with pytest.raises(DataError, match="no item holds the mark '_'"):
        read_gapped(["abc"], schema, Options())
    with pytest.raises(DataError, match="no single character"):
        read_gapped(["abc"], schema, Options(), "ab")
    with pytest.raises(DataError, match=r"item 0 has 9 characters, and the model at most"):
        read_gapped(["abcd_abcd"], schema, Options())
