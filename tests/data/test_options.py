import numpy as np
import pytest
import torch

from vaeworks import data
from vaeworks.data import Options, open_data, read_items
from vaeworks.errors import DataError


def test_public_names_exist_and_are_all_listed() -> None:
    assert sorted(data.__all__) == data.__all__
    assert all(hasattr(data, name) for name in data.__all__)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": 7}, "7 x 7"),
        ({"size": (28, 257)}, "28 x 257"),
        ({"binarisation": "soft"}, "'soft' is unknown: choose one of none, threshold, dynamic, static"),
        ({"split": "dev"}, "'dev' is unknown: choose one of train, validation, test, all"),
        ({"validation": 1.0}, "validation=1.0"),
        ({"test": -0.1}, "test=-0.1"),
        ({"test": float("nan")}, "test=nan"),
        ({"validation": 0.5, "test": 0.5}, "leave nothing to train on"),
        ({"limit": 0}, "limit=0"),
        ({"labels": 0}, "labels=0"),
    ],
)
def test_a_value_out_of_range_is_named_with_the_cure(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match="choose") as caught:
        Options(**wrong)  # type: ignore[arg-type]
    assert says in str(caught.value)


def test_size_is_a_side_or_height_and_width() -> None:
    assert Options(size=32).target() == (32, 32)
    assert Options(size=(20, 28)).target() == (20, 28)


def test_few_labels_are_as_many_of_each_class_and_chosen_by_the_seed() -> None:
    whole, data, other = (open_data("digits", options=Options(labels=count, seed=seed)) for count, seed in ((None, 0), (50, 0), (50, 1)))
    assert whole.train.labels is not None
    assert data.train.labels is not None
    kept = data.train.labels >= 0
    assert torch.equal(data.train.values, whole.train.values)
    assert torch.equal(data.train.labels[kept], whole.train.labels[kept])
    assert data.train.labels[kept].bincount().tolist() == [5] * 10
    assert data.validation.labels is not None
    assert (data.validation.labels == -1).all()
    assert torch.equal(data.test.labels, whole.test.labels)
    assert any("50 of 1437 training items keep theirs, 5 a class" in note for note in data.notes)
    again = open_data("digits", options=Options(labels=50))
    assert torch.equal(again.train.labels, data.train.labels)
    chosen = [{part.values[i].numpy().tobytes() for i in (part.labels >= 0).nonzero()[:, 0]} for part in (data.train, other.train)]
    assert chosen[0] != chosen[1]
    assert torch.equal(read_items("digits", data.schema, options=Options(labels=50)).labels, whole.test.labels)


def test_a_small_class_gives_all_it_has_and_the_others_more() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (63, 8, 8), dtype=np.uint8)
    from vaeworks.data.labels import keep_labels
    from vaeworks.data.raw import TRAIN, Raw

    raw = Raw(pixels[:, None], 256, "these", np.repeat([0, 1, 2], [30, 3, 30]), ("a", "b", "c"))
    parts = np.full(63, TRAIN, dtype=np.int8)
    kept = keep_labels(raw, parts, Options(labels=21)).labels
    assert kept is not None
    assert np.bincount(kept[kept >= 0]).tolist() == [9, 3, 9]
    for count, says in ((2, "choose from 3 to 63"), (64, "63 labelled training items of 3 classes")):
        with pytest.raises(DataError, match=says):
            keep_labels(raw, parts, Options(labels=count))
    with pytest.raises(DataError, match="these has none: leave it out"):
        keep_labels(Raw(pixels[:, None], 256, "these"), parts, Options(labels=10))
