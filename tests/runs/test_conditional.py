"""Models conditional on the label: what is asked for is what is drawn."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import vaeworks as vw
from vaeworks.data import Items
from vaeworks.errors import ArtifactError, DataError, RecipeError, VaeworksError
from vaeworks.runs import train_run


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


def test_data_without_numbers_cannot_be_conditional_on_them(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8))
    with pytest.raises(RecipeError, match="context = 'vector' needs data with numbers beside the items"):
        vw.train(tmp_path / "x.npy", recipe="mlp", overrides=["context=vector"])


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> tuple[vw.Model, Path]:
    """A model of pictures whose left half is as bright as the first number beside them, and whose right half as the second."""
    torch.set_default_dtype(torch.float32)
    folder = tmp_path_factory.mktemp("bright")
    rng = np.random.default_rng(0)
    numbers = rng.uniform([0, 100], [1, 300], (400, 2))
    shares = (numbers - [0, 100]) / [1, 200]
    pictures = np.repeat(np.repeat(shares[:, None, :], 8, 1), 4, 2) * 200 + rng.normal(20, 5, (400, 8, 8))
    np.savez(folder / "x.npz", x=np.clip(pictures, 0, 255).astype("uint8"), context=numbers, context_names=["left", "right"])
    model = vw.train(
        folder / "x.npz",
        recipe="mlp",
        overrides=["context=vector", "training.epochs=60", "training.batch_size=20", "latent_size=2", "encoder.hidden=[32]", "decoder.hidden=[32]"],
        out=folder / "run",
    )
    return model, folder


def test_numbers_that_are_asked_for_are_drawn(bright: tuple[vw.Model, Path]) -> None:
    model, _ = bright
    for left, right in ((0.1, 280), (0.9, 120), (0.5, 200)):
        x = 255 * model.sample(40, seed=1, given={"left": left, "right": str(right)})
        assert float(x[..., :4].mean()) == pytest.approx(20 + 200 * left, abs=25)
        assert float(x[..., 4:].mean()) == pytest.approx(20 + 200 * (right - 100) / 200, abs=25)
    default = model.sample(10, seed=1)
    torch.testing.assert_close(default, model.sample(10, seed=1, given=dict(zip(("left", "right"), model.schema.column_means, strict=True))))
    rows = torch.tensor([[0.1, 280], [0.9, 120]])
    torch.testing.assert_close(model.context(2, rows), model.schema.to_context(vectors=rows))


def test_a_run_is_not_resumed_with_other_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["vaeworks.runs.train"], "show", lambda *_: None)
    x, numbers = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8), np.arange(40.0)[:, None]
    settings = ["context=vector", "training.epochs=1", "latent_size=2", "encoder.hidden=[4]", "decoder.hidden=[4]"]
    for shift, resume in ((0, False), (0, True), (1, True)):
        np.savez(tmp_path / "x.npz", x=x, context=numbers + shift)
        if shift:
            with pytest.raises(ArtifactError, match="other training items"):
                train_run(tmp_path / "x.npz", out=tmp_path / "run", resume=resume, device="cpu")
        else:
            train_run(tmp_path / "x.npz", out=tmp_path / "run", recipe="mlp", overrides=settings, resume=resume, device="cpu")


def test_a_model_of_numbers_is_measured_and_saved_with_them(
    bright: tuple[vw.Model, Path], vae: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = bright
    monkeypatch.chdir(folder)
    loaded = vw.load(folder / "run")
    assert loaded.schema == model.schema
    assert loaded.schema.columns == ("left", "right")
    assert vae("sample", "run", "-n", 4, "-o", "s.npy", "--given", "left=0.9", "--given", "right=120").code == 0
    np.testing.assert_array_equal(np.load("s.npy"), model.schema.to_values(model.sample(4, seed=0, given={"left": 0.9, "right": 120})))
    assert vae("evaluate", "run", "--samples", 5, "--information", "--json").code == 0
    assert vae("reconstruct", "run", "x.npz", "-o", "r.npy", "--limit", 5).code == 0
    refused = vae("sample", "run", "--given", "left=0.9")
    assert refused.code == 2
    assert "right is missing: add --given right=NUMBER" in refused.err
    np.save("bare.npy", np.zeros((3, 8, 8), dtype="uint8"))
    bare = vae("encode", "run", "bare.npy", "-o", "z.npy")
    assert bare.code == 2
    assert "conditional on 2 columns (left, right), and the items bring none" in bare.err
