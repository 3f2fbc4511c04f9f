"""Sprites against what geometry says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vaeworks.data import Options, open_data
from vaeworks.data.sprites import FACTORS, SCALES, SHAPES, render, sample
from vaeworks.errors import DataError


def one(shape: int = 2, scale: int = 5, orientation: int = 0, x: int = 0, y: int = 0) -> NDArray[Any]:
    """(64, 64)."""
    return render(np.array([[shape, scale, orientation, x, y]]))[0, 0]


def centre(pictures: NDArray[Any]) -> NDArray[Any]:
    """Centre of mass (N, 2), right and down, in pixels."""
    mass = pictures[:, 0].astype(float)
    total, along = mass.sum((1, 2)), np.arange(64)
    return np.stack([(mass.sum(1) * along).sum(1), (mass.sum(2) * along).sum(1)], -1) / total[:, None]


ALL = np.stack(np.meshgrid(np.arange(3), np.arange(6), np.arange(40), indexing="ij"), -1).reshape(-1, 3)


def at(x: int, y: int) -> NDArray[Any]:
    """Every shape, scale and orientation at one place, (720, 1, 64, 64)."""
    return render(np.concatenate([ALL, np.tile([x, y], (720, 1))], 1))


def test_pictures_are_black_and_white_and_as_many_as_asked_for() -> None:
    drawn = render(sample(50, seed=1))
    assert drawn.shape == (50, 1, 64, 64)
    assert drawn.dtype == np.uint8
    assert np.unique(drawn).tolist() == [0, 1]
    assert render(np.empty((0, 5), dtype=int)).shape == (0, 1, 64, 64)


@pytest.mark.parametrize(("x", "y"), [(31, 0), (0, 31), (17, 5)])
def test_a_step_of_position_is_a_pixel_to_the_right_or_down(x: int, y: int) -> None:
    np.testing.assert_array_equal(np.roll(at(0, 0), (y, x), (2, 3)), at(x, y))
    np.testing.assert_allclose(centre(at(x, y)) - centre(at(0, 0)), np.tile([x, y], (720, 1)), atol=1e-9)


def test_the_centre_of_mass_is_the_place() -> None:
    """But for what whole pixels leave, most where an edge runs along the grid."""
    off = np.linalg.norm(centre(at(3, 9)) - [19, 25], axis=1).reshape(3, 6, 40)
    assert off.max() < 0.4
    assert np.median(off, -1).max() < 0.1


def test_the_area_is_that_of_the_scale_whatever_the_shape() -> None:
    area = at(0, 0).sum((1, 2, 3))
    expected = 22.4**2 * np.array(SCALES)[ALL[:, 1]] ** 2
    excess = (area / expected - 1).reshape(3, 6, 40)
    assert abs(excess).max() < 0.12
    assert abs(excess.mean(-1)).max() < 0.03


@pytest.mark.parametrize(("shape", "period"), [("square", 10), ("ellipse", 20), ("heart", 40)])
def test_orientation_has_the_period_of_the_shape(shape: str, period: int) -> None:
    turned = np.stack([one(SHAPES.index(shape), 5, k) for k in range(40)])
    np.testing.assert_array_equal(turned, np.roll(turned, period, 0))
    assert len(np.unique(turned.reshape(40, -1), axis=0)) == period


@pytest.mark.parametrize("shape", range(3))
def test_orientation_turns_counterclockwise(shape: int) -> None:
    for k in range(40):
        stamp = one(shape, 4, k)[:33, :33]
        np.testing.assert_array_equal(np.rot90(stamp), one(shape, 4, (k + 10) % 40)[:33, :33])
        np.testing.assert_array_equal(np.fliplr(stamp), one(shape, 4, -k % 40)[:33, :33])


def test_a_heart_stands_on_its_tip() -> None:
    rows = one(SHAPES.index("heart"))[:33, :33].sum(1)
    rows = rows[rows > 0]
    assert rows[-1] <= 3
    assert rows[0] > 6
    assert rows.argmax() < len(rows) / 2


def test_samples_are_different_uniform_and_repeatable() -> None:
    drawn = sample(20000, seed=3)
    assert len(np.unique(drawn, axis=0)) == 20000
    np.testing.assert_array_equal(drawn, sample(20000, seed=3))
    assert (drawn != sample(20000, seed=4)).any()
    for column, size in zip(drawn.T, FACTORS.values(), strict=True):
        counts = np.bincount(column, minlength=size)
        assert len(counts) == size
        assert ((counts - 20000 / size) ** 2 / (20000 / size)).sum() < size + 5 * np.sqrt(2 * size)


def test_what_cannot_be_drawn_is_told() -> None:
    with pytest.raises(ValueError, match=r"shape goes from 0 to 3: it has the 3 values 0 .. 2"):
        render([[0, 0, 0, 0, 0], [3, 0, 0, 0, 0]])
    with pytest.raises(ValueError, match="one each for shape, scale, orientation, x, y"):
        render([[0, 0, 0]])
    with pytest.raises(ValueError, match="there are 737280 combinations"):
        sample(737281)


def test_it_is_a_source_of_its_own() -> None:
    data = open_data("sprites", options=Options(limit=500))
    assert data.schema.shape == (1, 64, 64)
    assert (data.schema.levels, data.schema.x_levels, data.schema.classes) == (2, 2, SHAPES)
    assert len(data.train) + len(data.validation) + len(data.test) == 500
    with pytest.raises(DataError, match="its pictures are black and white already: use sprites"):
        open_data("sprites:dynamic")


def test_its_items_say_what_they_were_made_from() -> None:
    data = open_data("sprites", options=Options(limit=300))
    for items in (data.train, data.validation, data.test):
        assert items.factor_names == tuple(FACTORS)
        np.testing.assert_array_equal(render(items.factors.numpy()), items.values)
        np.testing.assert_array_equal(items.labels, items.factors[:, 0])
