"""Model: what users hold. Against the parts it is made of, by hand; its files, and what happens where they are damaged."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import vaeworks as vw
from vaeworks.data import Options, open_data
from vaeworks.errors import ArtifactError, DataError, TrainingError, VaeworksError
from vaeworks.runs import begun, held_out_of, train_run

SMALL = ("encoder.hidden=[8]", "decoder.hidden=[8]", "latent_size=2", "training.epochs=1")
FEW = Options(limit=80)


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures of a run have tests of their own, and take longer than all the rest of it."""
    monkeypatch.setattr(sys.modules["vaeworks.runs.train"], "show", lambda *_: None)


@pytest.fixture(scope="module")
def model(digits_run: Path) -> vw.Model:
    return vw.load(digits_run)


@pytest.fixture(scope="module")
def binary() -> vw.Model:
    return vw.train("digits", options=Options(limit=80, binarisation="threshold"), overrides=SMALL, device="cpu")


@pytest.fixture(scope="module")
def point() -> vw.Model:
    return vw.train("digits", recipe="autoencoder", options=FEW, overrides=SMALL, device="cpu")


@pytest.fixture
def copy(digits_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digits_run, tmp_path / "copy"))


def pixels(n: int) -> np.ndarray:
    return load_digits().images[:n].astype("uint8")


def test_encode_and_reconstruct_by_hand(model: vw.Model) -> None:
    items = open_data("digits").test
    x = items.values.float() / 16
    with torch.no_grad():
        z = model.vae.encoder(x).mean
        expected = model.vae.decoder(z).mean
    torch.testing.assert_close(model.encode("digits"), z)
    torch.testing.assert_close(model.reconstruct("digits"), expected.clamp(0, 1))
    torch.testing.assert_close(model.decode(z), expected.clamp(0, 1))
    assert torch.equal(model.encode("digits"), model.encode("digits"))
    error = (model.reconstruct("digits") - x).square().mean()
    assert error < 0.5 * (x - x.mean(0)).square().mean(), "the model reconstructs better than the mean picture"


def test_the_same_pictures_in_any_form(model: vw.Model, tmp_path: Path) -> None:
    """Levels 0 .. 16 became 0 .. 255, and come back as what they were."""
    grey = np.rint(pixels(6) * (255 / 16)).astype("uint8")
    pictures = [Image.fromarray(p) for p in grey]
    np.save(tmp_path / "grey.npy", grey)
    expected = model.encode(grey)
    for source in (pictures, torch.from_numpy(grey), tmp_path / "grey.npy", str(tmp_path / "grey.npy")):
        torch.testing.assert_close(model.encode(source), expected)
    with torch.no_grad():
        torch.testing.assert_close(expected, model.vae.encoder(torch.from_numpy(pixels(6)[:, None]).float() / 16).mean)


def test_samples(model: vw.Model) -> None:
    state = torch.get_rng_state()
    first, again, other = model.sample(5, seed=1), model.sample(5, seed=1), model.sample(5, seed=2)
    assert torch.equal(state, torch.get_rng_state()), "the caller's own random numbers go on untouched"
    assert first.shape == (5, 1, 8, 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first >= 0).all()
    assert (first <= 1).all()
    cold = model.sample(4, temperature=0, seed=3)
    with torch.no_grad():
        torch.testing.assert_close(cold, model.vae.decoder(torch.zeros(4, 16)).mean.clamp(0, 1))
    assert [image.size for image in model.images(first)] == [(8, 8)] * 5


def test_noise_draws_pixels(binary: vw.Model) -> None:
    mean = binary.sample(1, temperature=0, seed=0)
    drawn = torch.cat([binary.sample(400, temperature=0, seed=seed, noise=True) for seed in range(5)])
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    deviation = (drawn.mean(0) - mean[0]) / (mean[0] * (1 - mean[0]) / 2000).sqrt()
    assert deviation.abs().max() < 5


def test_interpolation_ends_at_the_reconstructions(model: vw.Model) -> None:
    a, b = pixels(2)[:1], pixels(2)[1:]
    path = model.interpolate(a, b, 5)
    assert path.shape == (5, 1, 8, 8)
    torch.testing.assert_close(path[:1], model.reconstruct(a), rtol=0, atol=1e-6)
    torch.testing.assert_close(path[-1:], model.reconstruct(b), rtol=0, atol=1e-6)
    torch.testing.assert_close(path[2:3], model.decode((model.encode(a) + model.encode(b)) / 2), rtol=0, atol=1e-5)


def test_scores_are_seeded_and_leave_the_callers_stream(model: vw.Model) -> None:
    state = torch.get_rng_state()
    first, again, other = (model.log_prob(pixels(5), 20, seed=seed) for seed in (0, 0, 1))
    model.evaluate(pixels(5), 20)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first.value, again.value)
    assert not torch.equal(first.value, other.value)
    noise = np.random.default_rng(0).integers(0, 17, (5, 8, 8)).astype("uint8")
    assert model.log_prob(noise, 20).value.max() < first.value.min(), "noise is no digit"


def test_dynamic_binarisation_is_drawn_by_the_seed() -> None:
    dynamic = vw.train("digits:dynamic", options=FEW, overrides=SMALL, device="cpu")
    assert torch.equal(dynamic.log_prob("digits", 5, seed=1).value, dynamic.log_prob("digits", 5, seed=1).value)
    assert torch.equal(dynamic.encode("digits"), dynamic.encode("digits"))
    torch.testing.assert_close(dynamic.decode(dynamic.encode("digits")), dynamic.reconstruct("digits"))
    assert dynamic.evaluate("digits", 5).protocol["binarisation"] == "dynamic"


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda m: m.sample(0), VaeworksError, "one or more"),
        (lambda m: m.sample(3, temperature=-1), VaeworksError, "negative"),
        (lambda m: m.decode(torch.zeros(3, 5)), DataError, r"\(N, 16\)"),
        (lambda m: m.decode(torch.zeros(16)), DataError, r"\(N, 16\)"),
        (lambda m: m.decode(torch.full((1, 16), torch.nan)), DataError, "NaN"),
        (lambda m: m.interpolate(pixels(1), pixels(1), 1), VaeworksError, "two ends"),
        (lambda m: m.encode("nowhere"), DataError, "nowhere"),
        (lambda m: m.encode(3), DataError, "int"),
        (lambda m: m.log_prob(pixels(1), 0), ValueError, "at least one"),
    ],
)
def test_what_cannot_be_asked(call: Callable[[vw.Model], Any], kind: type[Exception], message: str, model: vw.Model) -> None:
    with pytest.raises(kind, match=message):
        call(model)


def test_an_autoencoder_has_no_scores(point: vw.Model) -> None:
    with pytest.raises(VaeworksError, match=r"gives no log p\(x\)"):
        point.log_prob(pixels(2))
    assert "log_px" not in point.evaluate(pixels(4)).figures
    assert "elbo" not in point.evaluate(pixels(4)).figures
    assert point.sample(2, seed=0).shape == (2, 1, 8, 8)


def test_saved_and_loaded_it_is_the_same(model: vw.Model, tmp_path: Path) -> None:
    again = vw.load(model.save(tmp_path / "deep" / "folder"))
    assert sorted(path.name for path in (tmp_path / "deep" / "folder").iterdir()) == [
        "calibration.safetensors",
        "model.safetensors",
        "recipe.toml",
        "schema.json",
    ]
    assert again.schema == model.schema
    assert again.recipe.values == model.recipe.values
    assert torch.equal(again.sample(3, seed=0), model.sample(3, seed=0))
    assert all(torch.equal(a, b) for a, b in zip(again.vae.state_dict().values(), model.vae.state_dict().values(), strict=True))


def test_loading_never_unpickles(digits_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("unpickled")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    assert vw.load(digits_run).sample(2, seed=0).isfinite().all()


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("file", ["model.safetensors", "schema.json", "recipe.toml"])
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "text", "binary", "pickle", "null", "list", "object"])
def test_damaged_files_give_one_clear_error(file: str, damage: str, copy: Path) -> None:
    path = copy / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {
                "empty": b"",
                "half": content[: len(content) // 2],
                "text": b"hello",
                "binary": bytes(range(256)) * 4,
                "pickle": pickle.dumps(Bomb()),
                "null": b"null",
                "list": b"[]",
                "object": b"{}",
            }[damage]
        )
    with pytest.raises(VaeworksError) as caught:
        vw.load(copy)
    assert "copy" in str(caught.value) or "schema" in str(caught.value) or "recipe" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1, 9, 9]}, {"shape": "8"}, {"shape": [1, -8, 8]}, {"levels": "many"}, {"levels": None}, {"levels": 0}, {"levels": 2}, {"kind": "audio"},
        {"binarisation": "sometimes"}, {"more": 1}, {"mean": "x"}, {"std": None}, {"classes": 3},
    ],
    ids=str,
)  # fmt: skip
def test_a_schema_that_was_changed_is_refused(change: dict[str, Any], copy: Path) -> None:
    facts = json.loads((copy / "schema.json").read_text())
    (copy / "schema.json").write_text(json.dumps(facts | change))
    with pytest.raises(VaeworksError):
        vw.load(copy)


def test_weights_of_another_recipe_are_refused(binary: vw.Model, copy: Path, tmp_path: Path) -> None:
    binary.save(tmp_path / "binary")
    shutil.copy(tmp_path / "binary" / "model.safetensors", copy)
    with pytest.raises(ArtifactError, match="do not fit the recipe"):
        vw.load(copy)
    with pytest.raises(ArtifactError, match="no run folder"):
        vw.load(tmp_path / "nowhere")


def test_held_out_items_are_those_a_run_has_not_learned_from(tmp_path: Path) -> None:
    """Whatever seed, size and limit it was begun with."""
    options = Options(seed=5, limit=100, size=10, data_dir=tmp_path)
    run = train_run("digits", out=tmp_path / "run", options=options, seed=7, overrides=SMALL, device="cpu")
    facts, known = begun(tmp_path / "run"), held_out_of(tmp_path / "run")
    assert facts is not None
    assert known is not None
    assert facts.seed == 7
    source, again = known
    assert (again.seed, again.limit, again.size, again.split) == (5, 100, 10, "test")
    held_out = run.model.items(source, again).values
    assert torch.equal(held_out, run.data.test.values)
    trained = {item.numpy().tobytes() for item in run.data.train.values}
    assert not any(item.numpy().tobytes() in trained for item in held_out)
    assert held_out_of(run.model.save(tmp_path / "saved")) is None
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"run\.json is damaged"):
        held_out_of(tmp_path / "run")


def test_data_in_memory_train_without_a_folder(tmp_path: Path) -> None:
    said: list[str] = []
    run = train_run(pixels(60), out=tmp_path / "run", overrides=SMALL, device="cpu", say=said.append)
    assert run.history.ended == "finished"
    assert held_out_of(tmp_path / "run") is None
    assert any(sentence.startswith("Recipe 'mlp'") for sentence in said)
    assert vw.train([Image.fromarray(p) for p in pixels(60)], overrides=iter(SMALL), device="cpu").recipe["latent_size"] == 2


def test_a_seed_decides_everything(tmp_path: Path) -> None:
    first, again, other = (vw.train("digits", options=FEW, seed=seed, overrides=SMALL, device="cpu") for seed in (1, 1, 2))
    assert torch.equal(first.sample(2, seed=0), again.sample(2, seed=0))
    assert not torch.equal(first.sample(2, seed=0), other.sample(2, seed=0))


def test_a_run_that_diverges_keeps_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train_run("digits", out=tmp_path / "run", options=FEW, overrides=[*SMALL, "training.epochs=40", "training.learning_rate=1e30"], device="cpu")
    assert (tmp_path / "run" / "checkpoint" / "state.safetensors").is_file()
    with pytest.raises(ArtifactError, match="has not finished"):
        vw.load(tmp_path / "run")


def test_overwriting_leaves_nothing_of_the_run_before(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train_run("digits", out=folder, options=FEW, overrides=SMALL, device="cpu")
    (folder / "notes.txt").write_text("mine")
    before = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError):
        train_run(
            "digits", out=folder, options=FEW, overrides=[*SMALL, "training.epochs=40", "training.learning_rate=1e30"], device="cpu", overwrite=True
        )
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {path for path in left if "tfevents" not in path} == {
        "checkpoint/state.safetensors", "metrics.jsonl", "notes.txt", "recipe.toml", "run.json", "schema.json",
    }  # fmt: skip
    assert len([path for path in left if "tfevents" in path]) == len([path for path in before if "tfevents" in str(path)]) == 1


def test_resuming_asks_for_the_same_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train_run("digits", out=folder, options=FEW, overrides=SMALL, seed=3, device="cpu")
    weights = (folder / "model.safetensors").read_bytes()
    with pytest.raises(ArtifactError, match="other training items"):
        train_run("digits", out=folder, options=Options(limit=70), resume=True, device="cpu")
    with pytest.raises(ArtifactError, match="another recipe"):
        train_run("digits", out=folder, options=FEW, overrides=[*SMALL, "latent_size=3"], resume=True, device="cpu")
    with pytest.raises(ArtifactError, match="begun with all labels: resume without --labels"):
        train_run("digits", out=folder, options=Options(limit=80, labels=20), resume=True, device="cpu")
    again = train_run("digits", out=folder, options=FEW, resume=True, device="cpu")
    assert again.model.recipe["latent_size"] == 2
    assert "as the run in" in again.choices[0]
    assert (folder / "model.safetensors").read_bytes() == weights
    (folder / "recipe.toml").write_text("a =")
    with pytest.raises(VaeworksError, match=r"recipe\.toml"):
        train_run("digits", out=folder, options=FEW, resume=True, device="cpu")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["vaeworks.runs.train"], "show", lambda *_: None)
        train_run("digits", out=folder, options=FEW, overrides=SMALL, device="cpu")
    return folder


@pytest.mark.parametrize("left", [[], [".run.json.77.tmp"], ["run.json"], ["run.json", "schema.json", ".recipe.toml.77.tmp"]])
def test_a_run_killed_while_it_began_can_be_resumed(left: list[str], whole: Path, tmp_path: Path) -> None:
    """At every file it writes before the first step."""
    for name in left:
        (tmp_path / name).write_bytes((whole / name).read_bytes() if (whole / name).is_file() else b"{")
    train_run("digits", out=tmp_path, options=FEW, overrides=SMALL, device="cpu", resume=True)
    assert (tmp_path / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_tokens_are_for_text(binary: vw.Model) -> None:
    for wish in ({"top_p": 0.5}, {"token_temperature": 0.1}, {"beam": 4}):
        with pytest.raises(VaeworksError, match="models of text"):
            binary.sample(2, **wish)
    for wish in ({"top_p": 0.0}, {"token_temperature": -1.0}, {"beam": 0}):
        with pytest.raises(VaeworksError, match="must be 0 or more"):
            binary.sample(2, **wish)


def test_raw_items_are_those_of_the_kind(binary: vw.Model) -> None:
    x = binary.sample(3, seed=0)
    assert [image.size for image in binary.raw(x)] == [image.size for image in binary.images(x)] == [(8, 8)] * 3


def test_scores_of_a_model_in_memory(model: vw.Model, point: vw.Model, tmp_path: Path) -> None:
    """p-values by counting among the calibration's held-out items, from memory or from the folder; other samples, other weights or no calibration leave them out, and say so."""
    assert model.calibration is not None
    scores = model.score(pixels(5))
    held_out = model.calibration.reference.log_px
    expected = [(1 + int((held_out <= own).sum())) / (len(held_out) + 1) for own in scores.values]
    np.testing.assert_allclose(scores.p_values, expected)
    again = vw.load(model.save(tmp_path / "kept")).score(pixels(5))
    assert torch.equal(again.p_values, scores.p_values)
    assert scores.reason == ""
    fewer = model.score(pixels(5), samples=7, attribution=True)
    assert fewer.p_values is None
    assert "7" in fewer.reason
    assert fewer.attribution is not None
    assert not fewer.attribution.relative
    np.testing.assert_allclose(model.score(pixels(3)).values, scores.values[:3], rtol=1e-5)
    moved = vw.load(tmp_path / "kept")
    with torch.no_grad():
        next(moved.vae.parameters()).add_(1e-3)
    assert "other weights" in moved.score(pixels(2)).reason
    with pytest.raises(VaeworksError, match="--fdr needs p-values"):
        moved.score(pixels(2), fdr=0.1)
    with pytest.raises(VaeworksError, match=r"gives no log p\(x\)"):
        point.score(pixels(2))
    assert point.calibration is None


def test_dynamic_binarisation_of_an_item_is_its_own() -> None:
    dynamic = vw.train("digits:dynamic", options=FEW, overrides=SMALL, device="cpu")
    items = dynamic.items("digits")
    whole = dynamic.log_prob(items, 20)
    np.testing.assert_allclose(dynamic.log_prob(items[torch.tensor([7, 2])], 20).value, whole.value[[7, 2]], rtol=1e-5)
