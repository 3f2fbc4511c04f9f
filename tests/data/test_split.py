import numpy as np
import pytest
import torch

from vaeworks.data import Options, open_data
from vaeworks.data.levels import bernoulli, requantise
from vaeworks.errors import DataError


def keys(items):
    return {item.numpy().tobytes() for item in items.values}


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (200, 8, 8), dtype=np.uint8)


def test_default_sizes_and_no_item_lost_or_shared(pictures) -> None:
    data = open_data(pictures)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [160, 20, 20]
    assert keys(data.train) | keys(data.validation) | keys(data.test) == {p.tobytes() for p in pictures}
    assert "Split: 160 training, 20 validation, 20 test (at random, seed 0)." in data.notes


def test_the_split_depends_on_the_seed_alone(pictures) -> None:
    one, again, other = (open_data(pictures, options=Options(seed=seed)) for seed in (3, 3, 4))
    assert torch.equal(one.test.values, again.test.values)
    assert keys(one.test) != keys(other.test)
    shuffled = open_data(pictures[::-1], options=Options(seed=3))
    assert keys(shuffled.test) == keys(one.test)
    assert keys(shuffled.validation) == keys(one.validation)


def test_items_keep_their_order(pictures) -> None:
    order = {p.tobytes(): i for i, p in enumerate(pictures)}
    data = open_data(pictures)
    for items in (data.train, data.validation, data.test):
        positions = [order[item.numpy().tobytes()] for item in items.values]
        assert positions == sorted(positions)


def test_adding_items_moves_few_of_the_others(pictures, rng) -> None:
    before = open_data(pictures).test
    after = open_data(np.concatenate([pictures, rng.integers(0, 256, (20, 8, 8), dtype=np.uint8)])).test
    assert len(keys(before) & keys(after)) >= 15


def test_fractions(pictures) -> None:
    data = open_data(pictures, options=Options(validation=0.25, test=0))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [150, 50, 0]
    assert data.test.values.shape == (0, 1, 8, 8)
    data = open_data(pictures, options=Options(validation=0, test=0))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [200, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_copies_never_leak_between_splits(rng, seed) -> None:
    distinct = rng.integers(0, 256, (50, 8, 8), dtype=np.uint8)
    copied = distinct[rng.integers(0, 50, 400)]
    data = open_data(copied, options=Options(seed=seed))
    train, validation, test = keys(data.train), keys(data.validation), keys(data.test)
    assert not train & validation | train & test | validation & test
    assert len(data.train) + len(data.validation) + len(data.test) == 400
    assert 20 <= len(data.test) <= 40
    assert 20 <= len(data.validation) <= 40
    assert f"{400 - len({c.tobytes() for c in copied})} of 400 items are exact copies" in " ".join(data.notes)


def test_a_set_that_is_mostly_one_picture_still_has_all_three_splits(rng) -> None:
    x = rng.integers(0, 256, (4, 8, 8), dtype=np.uint8)
    data = open_data(x[np.maximum(0, np.arange(100) - 96)])
    assert min(map(len, (data.train, data.validation, data.test))) >= 1


def test_no_note_on_copies_where_there_are_none(pictures) -> None:
    assert not any("copies" in note for note in open_data(pictures).notes)


@pytest.mark.parametrize(
    ("count", "distinct", "says"),
    [(1, 1, "has 1 item, too few"), (2, 2, "has 2 items, too few"), (9, 1, "9 items, all the same"), (9, 2, "only 2 of them different")],
)
def test_too_few_items_says_how_many_are_needed(rng, count, distinct, says) -> None:
    x = rng.integers(0, 256, (distinct, 8, 8), dtype=np.uint8)
    with pytest.raises(DataError, match="at least 3 different ones") as caught:
        open_data(x[np.arange(count) % distinct])
    assert says in str(caught.value)


def test_three_items_are_enough_for_three_splits_and_one_for_one(rng) -> None:
    x = rng.integers(0, 256, (3, 8, 8), dtype=np.uint8)
    for fractions in ({}, {"validation": 0.05, "test": 0.9}, {"validation": 0.5, "test": 0.4}):
        assert [len(s) for s in _three(open_data(x, options=Options(**fractions)))] == [1, 1, 1]
    assert len(open_data(x[:1], options=Options(validation=0, test=0)).train) == 1


def _three(data):
    return data.train, data.validation, data.test


def test_limit_keeps_a_random_subset_in_order(pictures) -> None:
    data = open_data(pictures, options=Options(limit=50))
    kept = keys(data.train) | keys(data.validation) | keys(data.test)
    assert len(kept) == 50
    assert kept != {p.tobytes() for p in pictures[:50]}
    assert "Limited to 50 of 200 items." in data.notes
    assert not any("Limited" in note for note in open_data(pictures, options=Options(limit=200)).notes)


def test_labels_follow_their_items(pictures, tmp_path) -> None:
    labels = pictures[:, 0, 0] % 7
    np.savez(tmp_path / "a.npz", x=pictures, y=labels)
    data = open_data(tmp_path / "a.npz")
    for items in _three(data):
        assert [int(data.schema.classes[i]) for i in items.labels] == (items.values[:, 0, 0, 0] % 7).tolist()


def test_a_static_draw_is_fair_depends_on_the_item_alone_and_is_exact_at_the_extremes() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None, None], 4096, axis=3)
    drawn = bernoulli(grey, 256, seed=5)
    share = drawn.reshape(256, -1).mean(axis=1)
    p = np.arange(256) / 255
    assert (np.abs(share - p) <= 5 * np.sqrt(p * (1 - p) / 4096)).all()
    assert (share[0], share[255]) == (0, 1)
    assert np.array_equal(bernoulli(grey[100:110], 256, seed=5), drawn[100:110])
    assert not np.array_equal(bernoulli(grey, 256, seed=6), drawn)
    assert np.array_equal(bernoulli(np.full((1, 1, 8, 8), 16, np.uint8), 17, 0), np.ones((1, 1, 8, 8)))


def test_levels_become_the_nearest_of_other_levels() -> None:
    values = np.arange(17, dtype=np.uint8)
    assert requantise(values, 17, 256).tolist() == [round(v * 255 / 16) for v in range(17)]
    assert np.array_equal(requantise(requantise(values, 17, 256), 256, 17), values)
    assert requantise(np.array([0, 255], np.uint8), 256, 2).tolist() == [0, 1]
    assert requantise(np.array([0, 1], np.uint8), 2, 256).tolist() == [0, 255]
