"""Models conditional on the label: what is asked for is what is drawn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import vaeworks as vw
from vaeworks.data import Items
from vaeworks.errors import DataError, RecipeError, VaeworksError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> vw.Model:
    torch.set_default_dtype(torch.float32)
    return vw.train("digits", recipe="cvae", overrides=["training.epochs=60"], out=tmp_path_factory.mktemp("runs") / "cvae")


@pytest.fixture(scope="module")
def reader() -> LogisticRegression:
    """A classifier trained on real digits."""
    images, labels = load_digits(return_X_y=True)
    return LogisticRegression(max_iter=2000).fit(images / 16, labels)


def test_what_is_asked_for_is_what_is_drawn(model: vw.Model, reader: LogisticRegression) -> None:
    right = [(reader.predict(model.sample(50, seed=1, given={"label": label}).flatten(1).numpy()) == label).mean() for label in range(10)]
    assert np.mean(right) > 0.9


def test_without_a_wish_the_classes_take_turns(model: vw.Model, reader: LogisticRegression) -> None:
    found = reader.predict(model.sample(200, seed=1).flatten(1).numpy())
    assert (found == np.arange(200) % 10).mean() > 0.9


def test_items_bring_their_labels(model: vw.Model) -> None:
    """The code of an item says what its label does not: with another label it becomes that digit in the same hand."""
    items = model.items("digits", vw.data.Options(limit=100, split="test"))
    z = model.encode(items)
    as_labelled = model.decode(z, model.schema.to_context(items.labels))
    torch.testing.assert_close(model.reconstruct(items), as_labelled)
    assert items.labels is not None
    other = model.decode(z, model.schema.to_context((items.labels + 1) % 10))
    x = model.schema.to_x(items.values)
    assert (as_labelled - x).square().mean() < 0.7 * (other - x).square().mean()


def test_it_is_conditional_again_when_loaded(model: vw.Model, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    loaded = vw.load(tmp_path / "m")
    torch.testing.assert_close(loaded.sample(5, seed=3, given={"label": 4}), model.sample(5, seed=3, given={"label": 4}))
    assert loaded.log_prob("digits", samples=3).value.isfinite().all()


def test_wishes_that_cannot_be_met_are_refused(model: vw.Model) -> None:
    with pytest.raises(VaeworksError, match="label=12 is no class of this model: choose one of 0, 1"):
        model.sample(2, given={"label": 12})
    with pytest.raises(VaeworksError, match="cannot draw for colour=red: this model can be given label"):
        model.sample(2, given={"colour": "red"})
    with pytest.raises(VaeworksError, match="give each code its context"):
        model.decode(torch.zeros(2, 16))
    with pytest.raises(DataError, match="conditional on the label, and 1 of 2 items have none"):
        model.encode(Items(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([3, -1])))


def test_data_without_labels_cannot_be_conditional(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8))
    with pytest.raises(RecipeError, match="context = 'label' needs data with labels, and these have no classes"):
        vw.train(tmp_path / "x.npy", recipe="cvae")
