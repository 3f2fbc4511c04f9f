"""Every verb as a user runs it on real digits, and the files it leaves."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import vaeworks as vw
from vaeworks.check import CheckResult
from vaeworks.data import Options, open_data
from vaeworks.recipes import load_recipe, measured, recipe_names
from vaeworks.recipes.knobs import AXES

Vae = Callable[..., Any]
QUICK = ("--epochs", 1, "--set", "encoder.hidden=[8]", "--set", "decoder.hidden=[8]", "--device", "cpu")
LEFT = {
    "calibration.safetensors", "checkpoint", "figures.json", "latent.png", "metrics.jsonl", "model.safetensors", "recipe.toml", "reconstructions.png", "report.html", "run.json",
    "samples.png", "schema.json", "story.json", "tensorboard",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["vaeworks.runs.train"], "show", lambda *_: None)


@pytest.fixture(scope="module")
def model(digits_run: Path) -> vw.Model:
    return vw.load(digits_run)


def picture(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_train_leaves_a_run_folder(digits_run: Path) -> None:
    assert {path.name for path in digits_run.iterdir()} == LEFT
    printed = json.loads((digits_run.parent / "stdout.json").read_text())
    figures = json.loads((digits_run / "figures.json").read_text())
    assert {key: printed[key] for key in figures} == figures
    assert (printed["recipe"], printed["steps"]) == ("mlp", 220)
    assert figures["protocol"]["items"] == 180
    assert -120 < figures["figures"]["log_px"]["value"] < -80
    said = (digits_run.parent / "stderr.txt").read_text()
    for sentence in ("1437 training, 180 validation, 180 test", "Recipe 'mlp'", "Likelihood 'discretised-logistic'", "seed 0", "Training finished"):
        assert sentence in said
    assert "Warning" not in said
    for name in ("samples", "reconstructions", "latent"):
        assert min(picture(digits_run / f"{name}.png").shape[:2]) > 100
    report = (digits_run / "report.html").read_text()
    assert report.count("data:image/png;base64,") >= 3
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert "vae train digits" in report
    assert [json.loads(line)["step"] for line in (digits_run / "metrics.jsonl").read_text().splitlines()] == [100, 200, 220]


def test_files_can_be_read_by_whom_the_folder_lets_in(digits_run: Path) -> None:
    """No file is more private than its neighbours: a run folder is shared as a whole."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in digits_run.rglob("*") if path.is_file()}
    assert len(set(modes.values())) == 1, modes


@pytest.mark.parametrize("seed", [0, 5])
def test_sample(seed: int, vae: Vae, digits_run: Path, model: vw.Model) -> None:
    assert vae("sample", digits_run, "-n", 12, "-o", "a.npy", "--seed", seed).code == 0
    x = model.sample(12, seed=seed)
    np.testing.assert_array_equal(np.load("a.npy"), np.rint(x.numpy() * 16).astype("uint8"))
    done = vae("sample", digits_run, "-n", 12, "-o", "folder", "--seed", seed)
    assert "12 images in folder" in done.err
    assert done.out == ""
    files = sorted(Path("folder").iterdir())
    assert [f.name for f in files] == [f"{i:02}.png" for i in range(12)]
    np.testing.assert_array_equal(np.stack([picture(f) for f in files]), np.rint(x[:, 0].numpy() * 255).astype("uint8"))


def test_sample_sheets_and_seeds(vae: Vae, digits_run: Path, model: vw.Model) -> None:
    for name, arguments in {"a": (), "b": ("--seed", 0), "c": ("--seed", 1), "d": ("--temperature", 0)}.items():
        assert vae("sample", digits_run, "-n", 9, "-o", f"{name}.png", *arguments).code == 0
    a, b, c, d = (picture(f"{name}.png") for name in "abcd")
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    # 3 x 3 tiles of a whole number of times 8 pixels, 2 pixels apart
    tile = (a.shape[0] - 2) // 3 - 2
    assert a.shape == (3 * (tile + 2) + 2,) * 2
    assert tile % 8 == 0
    first = a[2 : 2 + tile, 2 : 2 + tile]
    scale = tile // 8
    np.testing.assert_array_equal(first[::scale, ::scale], np.rint(model.sample(9, seed=0)[0, 0].numpy() * 255))
    np.testing.assert_array_equal(d[2 : 2 + tile, 2 : 2 + tile], d[-2 - tile : -2, -2 - tile : -2])
    assert vae("sample", digits_run, "-n", 3, "-o", "noisy.npy", "--noise").code == 0
    assert np.load("noisy.npy").dtype == np.uint8


@pytest.mark.parametrize("suffix", ["parquet", "csv", "npy"])
def test_encode_then_decode_is_reconstruct(suffix: str, vae: Vae, digits_run: Path, model: vw.Model) -> None:
    z = f"z.{suffix}"
    assert vae("encode", digits_run, "digits", "-o", z).code == 0
    assert vae("decode", digits_run, z, "-o", "decoded.npy").code == 0
    assert vae("reconstruct", digits_run, "digits", "-o", "reconstructed.npy").code == 0
    decoded, reconstructed = np.load("decoded.npy"), np.load("reconstructed.npy")
    assert decoded.shape == (180, 1, 8, 8)
    np.testing.assert_array_equal(decoded, reconstructed)
    codes = model.encode("digits").numpy()
    if suffix == "npy":
        np.testing.assert_array_equal(np.load(z), codes)
        return
    frame = pl.read_parquet(z) if suffix == "parquet" else pl.read_csv(z)
    assert frame.columns == ["item", "label", *(f"z{i}" for i in range(16))]
    np.testing.assert_allclose(frame.select(f"z{i}" for i in range(16)).to_numpy(), codes, rtol=1e-6)
    # the labels are those of the pictures: found again among scikit-learn's
    known = {image.astype("uint8").tobytes(): int(label) for image, label in zip(*_digits(), strict=True)}
    items = open_data("digits").test.values.numpy()
    assert [int(label) for label in frame["label"]] == [known[item[0].tobytes()] for item in items]


def _digits() -> tuple[np.ndarray, np.ndarray]:
    found = load_digits()
    return found.images, found.target


def test_the_same_command_gives_the_same_file(vae: Vae, digits_run: Path) -> None:
    for verb, name in (("encode", "z.parquet"), ("score", "s.parquet"), ("reconstruct", "r.png"), ("reconstruct", "r.npy")):
        more = ("--samples", 10) if verb == "score" else ()
        contents = []
        for turn in "ab":
            assert vae(verb, digits_run, "digits", "--limit", 10, "-o", turn + name, *more).code == 0
            contents.append(Path(turn + name).read_bytes())
        assert contents[0] == contents[1], verb


def test_reconstruct_sets_originals_beside(vae: Vae, digits_run: Path) -> None:
    assert vae("reconstruct", digits_run, "digits", "--limit", 4, "-o", "pairs.png").code == 0
    sheet = picture("pairs.png")
    originals = open_data("digits").test.values[:4, 0].numpy()
    scale = 7
    wanted = np.rint(originals[0] / 16 * 255).repeat(scale, 0).repeat(scale, 1)
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:, :300], wanted.shape)[:8]
    assert (np.abs(windows - wanted).max((-1, -2)) <= 1).any(), "the first original stands in the sheet, pixel for pixel"


def test_a_folder_of_pictures(vae: Vae, without_pictures: None, tmp_path: Path) -> None:
    images, labels = _digits()
    for i in range(60):
        folder = tmp_path / "pictures" / f"class{labels[i]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(images[i] / 16 * 255).astype("uint8")).save(folder / f"digit{i:02}.png")
    assert vae("train", "pictures", *QUICK).code == 0
    run = Path("runs/pictures")
    assert vw.load(run).schema.levels == 256
    assert vae("encode", run, "pictures", "-o", "z.csv").code == 0
    frame = pl.read_csv("z.csv")
    assert len(frame) == 60
    assert sorted(Path(name).name for name in frame["name"]) == [f"digit{i:02}.png" for i in range(60)]
    named = {Path(name).stem: label for name, label in zip(frame["name"], frame["label"], strict=True)}
    assert all(named[f"digit{i:02}"] == f"class{labels[i]}" for i in range(60))
    assert vae("reconstruct", run, "pictures", "-o", "out").code == 0
    assert len(list(Path("out").glob("digit*.png"))) == 60
    assert vae("decode", run, "z.csv", "-o", "decoded").code == 0
    assert sorted(p.name for p in Path("decoded").iterdir()) == sorted(p.name for p in Path("out").iterdir())
    picture_file = next((tmp_path / "pictures").rglob("*.png"))
    assert vae("interpolate", run, picture_file, picture_file, "-n", 3, "-o", "path.npy").code == 0
    assert vae("reconstruct", run, picture_file, "-o", "one.npy").code == 0
    np.testing.assert_array_equal(np.load("path.npy")[[0, 2]], np.load("one.npy")[[0, 0]])
    os.chdir("/")
    figures = json.loads(vae("evaluate", tmp_path / run, "--samples", 5, "--json").out)
    assert figures["protocol"]["items"] == 6, "the held-out tenth of the folder, found again from anywhere"


def test_interpolate_ends_at_the_reconstructions(vae: Vae, digits_run: Path) -> None:
    assert vae("interpolate", digits_run, "digits[3]", "digits[8]", "-n", 6, "-o", "path.npy").code == 0
    assert vae("reconstruct", digits_run, "digits", "-o", "r.npy").code == 0
    path, reconstructed = np.load("path.npy"), np.load("r.npy")
    assert path.shape == (6, 1, 8, 8)
    np.testing.assert_array_equal(path[[0, -1]], reconstructed[[3, 8]])
    assert vae("interpolate", digits_run, "digits[3]", "digits[8]", "-n", 6, "-o", "path.png").code == 0
    sheet = picture("path.png")
    assert sheet.shape[1] > 5 * sheet.shape[0]


def test_evaluate_repeats_what_training_measured(vae: Vae, digits_run: Path) -> None:
    done = vae("evaluate", digits_run, "--json", "--device", "cpu")
    assert done.code == 0
    figures, stored = json.loads(done.out), json.loads((digits_run / "figures.json").read_text())
    assert figures["protocol"] == stored["protocol"] | {"kl_per_dimension": figures["protocol"]["kl_per_dimension"]}
    for name, figure in stored["figures"].items():
        assert figures["figures"][name]["value"] == pytest.approx(figure["value"], rel=1e-4), name


def test_evaluate_a_few_of_the_held_out_items(vae: Vae, digits_run: Path) -> None:
    """A limit chooses among the items that the run holds out, and splits nothing anew."""
    done = vae("evaluate", digits_run, "--limit", 7, "--samples", 5, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["protocol"]["items"] == 7


def test_evaluate_for_people(vae: Vae, digits_run: Path) -> None:
    out = vae("evaluate", digits_run, "digits", "--samples", 10, "--limit", 300).out
    for part in ("log p(x)", "bits per dimension", "ELBO", "active units", "Measured on", "10 importance samples, seed 0"):
        assert part in out


def test_evaluate_measures_what_is_asked_for(vae: Vae, digits_run: Path) -> None:
    asked = ("--information", "--probes", "--sample-quality")
    done = vae("evaluate", digits_run, "--samples", 5, *asked, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    figures = {name: figure["value"] for name, figure in told["figures"].items()}
    plain = json.loads(vae("evaluate", digits_run, "--samples", 5, "--json").out)["figures"]
    assert {name: told["figures"][name] for name in plain} == plain, "what else is asked for changes no figure"
    assert figures["linear_probe"] > 0.7
    assert figures["nearest_neighbours"] > 0.7
    assert 0 < figures["mutual_information"] < np.log(180)
    assert figures["mutual_information"] + figures["aggregate_kl"] == pytest.approx(figures["kl"], rel=0.1)
    assert 0 < figures["coverage"] <= 1
    assert "1437 labelled items" in told["protocol"]["features"]
    out = vae("evaluate", digits_run, "--samples", 5, *asked).out
    for part in ("I(x; z)", "linear probe", "Frechet distance", "Samples are means of p(x | z), compared in 64 features", "180 test items"):
        assert part in out


def test_evaluate_disentanglement(vae: Vae, without_pictures: None) -> None:
    assert vae("train", "sprites", "-o", "run", "--recipe", "mlp", "--limit", 500, "--set", "latent_size=3", *QUICK).code == 0
    done = vae("evaluate", "run", "--disentanglement", "--samples", 2, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)["figures"]
    for name in ("mig", "dci_disentanglement", "dci_completeness", "dci_informativeness", "sap", "modularity", "factor_vae_score", "beta_vae_score"):
        assert 0 <= told[name]["value"] <= 1
    assert "shape, scale, orientation, x, y; 50 items" in told["mig"]["meaning"]


def test_evaluate_all_leaves_out_what_the_data_do_not_allow(vae: Vae, digits_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaeworks.evaluation.studies.STEPS", 20)
    done = vae("evaluate", digits_run, "digits", "--samples", 5, "--annealed", 10, "--all", "--json", "--limit", 400)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    for name in ("annealed_log_px", "sandwich_gap", "amortisation_gap", "mutual_information", "linear_probe", "coverage", "effective_sample_size"):
        assert name in told["figures"]
    assert "mig" not in told["figures"]
    assert any("disentanglement was not measured: it needs items whose factors" in warning for warning in told["warnings"])


def test_score(vae: Vae, digits_run: Path, model: vw.Model) -> None:
    done = vae("score", digits_run, "digits", "-o", "s.parquet", "--samples", 30, "--limit", 400)
    assert done.code == 0
    assert "Scoring held-out items of the run with 30 importance samples" in done.err
    frame = pl.read_parquet("s.parquet")
    assert frame.columns == ["item", "label", "log_px", "standard_error", "effective_sample_size", "elbo", "statistic", "p_value"]
    assert frame["item"].to_list() == list(range(len(frame)))
    direct = model.log_prob(model.items("digits", Options(limit=400)), 30)
    np.testing.assert_allclose(frame["log_px"], direct.value, rtol=1e-5)
    np.testing.assert_array_equal(frame["statistic"], frame["log_px"])
    assert f"{direct.value.mean():.3f} nats" in done.err
    assert (frame["effective_sample_size"] >= 1).all()
    assert (frame["effective_sample_size"] <= 30).all()
    assert (frame["log_px"] - frame["elbo"]).mean() > 0
    assert vae("score", digits_run, "digits", "-o", "t.csv", "--samples", 30, "--limit", 400).code == 0
    np.testing.assert_allclose(pl.read_csv("t.csv")["log_px"], frame["log_px"])
    held_out = model.log_prob("digits", 30).value.numpy()
    expected = [(1 + (held_out <= own).sum()) / 181 for own in direct.value.numpy()]
    np.testing.assert_allclose(frame["p_value"], expected, atol=1.5 / 181)


def test_score_finds_what_is_no_digit(vae: Vae, digits_run: Path) -> None:
    """Ten pictures of noise among held-out digits, by the samples of the calibration in the run, which gives the p-values at once."""
    values = open_data("digits").test.values[:90, 0].numpy()
    noise = np.random.default_rng(0).integers(0, 17, (10, 8, 8)).astype("uint8")
    np.save("mixed.npy", np.concatenate([values, noise]))
    for statistic in ("log-px", "typicality", "ratio"):
        out = f"{statistic}.parquet"
        done = vae(
            "score",
            digits_run,
            "mixed.npy",
            "-o",
            out,
            "--statistic",
            statistic,
            "--fdr",
            0.1,
            *(("--attribution",) if statistic == "log-px" else ()),
        )
        assert done.code == 0, done.err
        assert "Scoring held-out items" not in done.err
        frame = pl.read_parquet(out)
        assert frame["selected"].to_list()[90:] == [True] * 10
        assert f"Selected {frame['selected'].sum()} of 100 items at a false discovery rate of 0.1" in done.err
        assert frame["selected"][:90].sum() <= 6
        strange = frame["statistic"] if statistic == "typicality" else -frame["statistic"]
        assert strange[90:].min() > strange[:90].median()
    assert not Path("ratio.png").exists()
    assert "the 16 strangest items" in vae("score", digits_run, "mixed.npy", "-o", "again.csv", "--attribution").err
    assert Path("log-px.png").read_bytes() == Path("again.png").read_bytes()


def test_a_run_without_calibration(vae: Vae, digits_run: Path, tmp_path: Path) -> None:
    """Held-out items are scored anew where they can be found, with the same outcome; where not, what needs them is refused and the rest is told."""
    old = Path(shutil.copytree(digits_run, tmp_path / "old"))
    (old / "calibration.safetensors").unlink()
    small = ("digits", "--limit", 40)
    assert vae("score", digits_run, *small, "-o", "new.parquet", "--samples", 1000, "--statistic", "ratio").code == 0
    done = vae("score", old, *small, "-o", "old.parquet", "--statistic", "ratio")
    assert done.code == 0, done.err
    assert "Scoring held-out items of the run with 1000 importance samples" in done.err
    first, second = pl.read_parquet("new.parquet"), pl.read_parquet("old.parquet")
    np.testing.assert_allclose(first["statistic"], second["statistic"], rtol=1e-5)
    np.testing.assert_allclose(first["p_value"], second["p_value"], atol=1.5 / 181)

    facts = json.loads((old / "run.json").read_text())
    (old / "run.json").write_text(json.dumps(facts | {"source": None}))
    done = vae("score", old, *small, "-o", "none.parquet", "--samples", 5)
    assert done.code == 0
    assert "No p-values: it is not known what the run learned from" in done.err
    assert "p_value" not in pl.read_parquet("none.parquet").columns
    for asked in (("--fdr", 0.1), ("--statistic", "typicality"), ("--statistic", "ratio")):
        refused = vae("score", old, *small, "-o", "no.parquet", "--samples", 5, *asked)
        assert refused.code == 2
        assert "Error: " in refused.err
        assert not Path("no.parquet").exists()


def test_a_run_of_another_seed_is_measured_on_what_it_has_not_seen(vae: Vae, without_pictures: None) -> None:
    assert vae("train", "digits", "-o", "run", "--seed", 5, *QUICK).code == 0
    assert vae("encode", "run", "digits", "-o", "z.npy").code == 0
    data = open_data("digits", options=Options(seed=5))
    np.testing.assert_array_equal(np.load("z.npy"), vw.load("run").encode(data.test))
    told = json.loads(vae("evaluate", "run", "--samples", 5, "--json").out)
    assert (told["protocol"]["items"], told["protocol"]["seed"]) == (180, 5)
    direct = vw.load("run").evaluate(data.test, 5, seed=5)
    assert told["figures"]["log_px"]["value"] == pytest.approx(direct.figures["log_px"].value)


def test_resume_and_overwrite(vae: Vae, without_pictures: None) -> None:
    assert vae("train", "digits", "-o", "run", "--limit", 80, *QUICK).code == 0
    weights = Path("run/model.safetensors").read_bytes()
    refused = vae("train", "digits", "-o", "run", "--limit", 80, *QUICK)
    assert (refused.code, "--resume" in refused.err, "--overwrite" in refused.err) == (2, True, True)
    again = vae("train", "digits", "-o", "run", "--limit", 80, "--resume", "--device", "cpu")
    assert again.code == 0
    assert "as the run in run was begun" in again.err
    assert Path("run/model.safetensors").read_bytes() == weights
    assert vae("train", "digits", "-o", "run", "--limit", 80, "--overwrite", "--seed", 1, *QUICK).code == 0
    assert Path("run/model.safetensors").read_bytes() != weights


def test_info(vae: Vae, digits_run: Path) -> None:
    told = json.loads(vae("info", digits_run, "--json").out)
    assert told["schema"]["shape"] == [1, 8, 8]
    assert told["recipe"]["training"]["epochs"] == 20
    # 64 -> 256 -> 256 -> 2 x 16, and back from 16; one scale
    assert told["parameters"] == (64 * 256 + 256) + (256 * 256 + 256) + (256 * 32 + 32) + (16 * 256 + 256) + (256 * 256 + 256) + (256 * 64 + 64) + 1
    out = vae("info", digits_run).out
    assert "177,249 parameters" in out
    assert "bits_per_dim" in out


def test_recipes(vae: Vae) -> None:
    out = vae("recipes").out
    assert all(name in out for name in recipe_names())
    assert tomllib.loads(vae("recipes", "conv").out)["encoder"]["kind"] == "conv"
    listed = vae("recipes", "--parts").out
    assert all(kind in listed for parts in AXES.values() for kind in parts)
    assert "E_q[log p(x" in listed
    told, figure = json.loads(vae("recipes", "--json").out)["mlp"], measured()["figures"]["mlp"]
    assert told["latent_size"] == load_recipe("mlp")["latent_size"]
    assert told["measured"] == figure
    assert f"{figure['value']:.2f} ± {figure['standard_error']:.2f} nats" in out
    assert measured()["protocol"] in out
    assert json.loads(vae("recipes", "mlp", "--json").out)["name"] == "mlp"


@pytest.mark.parametrize("passed", [True, False])
def test_check_tells_by_its_exit_code(passed: bool, vae: Vae, monkeypatch: pytest.MonkeyPatch) -> None:
    made = CheckResult("two and two", "addition", 4.0 if passed else 5.0, 4.0, 0.1, passed)
    monkeypatch.setattr("vaeworks.check.run_checks", lambda **_: [made])
    done = vae("check", "--json")
    assert done.code == (0 if passed else 1)
    assert json.loads(done.out)["passed"] is passed
    assert ("report this" in done.err) is not passed


def test_compare_runs(vae: Vae, digits_run: Path, tmp_path: Path, model: vw.Model) -> None:
    model.save(tmp_path / "twin")
    done = vae("compare", digits_run, tmp_path / "twin", "-o", "versus", "--samples", 10, "--json")
    assert done.code == 0
    told = json.loads(done.out)
    first, second = told["table"].values()
    assert first == second
    assert first["elbo"]["half_width_95"] > 0
    assert told["protocol"]["items"] == 180
    assert sorted(p.name for p in Path("versus").iterdir()) == ["latent-digits.png", "latent-twin.png", "reconstructions.png", "samples.png"]
    assert "±: 95 % over items" in vae("compare", digits_run, tmp_path / "twin", "--samples", 5).out


def test_compare_recipes(vae: Vae, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaeworks.runs.show_comparison", lambda *_: None)
    done = vae(
        "compare", "digits", "--recipe", "mlp", "--recipe", "autoencoder", "--seeds", 2, "--limit", 100, "--samples", 10, "-o", "out", "--json", *QUICK
    )  # fmt: skip
    assert done.code == 0
    told = json.loads(done.out)
    assert list(told["table"]) == ["mlp", "autoencoder"]
    assert "log_px" in told["table"]["mlp"]
    assert not {"log_px", "elbo", "bits_per_dim", "kl"} & set(told["table"]["autoencoder"])
    assert told["protocol"]["seeds"] == 2
    assert sorted(p.name for p in Path("out").iterdir()) == ["autoencoder-seed0", "autoencoder-seed1", "mlp-seed0", "mlp-seed1"]
    assert vw.load("out/mlp-seed1").sample(1, seed=0).isfinite().all()


def test_an_autoencoder_tells_no_log_px_anywhere(vae: Vae, without_pictures: None) -> None:
    done = vae("train", "digits", "-o", "run", "--recipe", "autoencoder", "--limit", 80, *QUICK)
    assert done.code == 0
    evaluated = vae("evaluate", "run", "--json")
    figures = json.loads(evaluated.out)["figures"]
    assert set(figures) == {"log_likelihood", "active_units"}
    for text in (done.out, vae("info", "run").out, vae("evaluate", "run").out):
        for word in ("log_px", "elbo", "ELBO", "bits_per_dim", "bits per dimension"):
            assert word not in text
    refused = vae("score", "run", "digits", "-o", "s.csv")
    assert refused.code == 2
    assert "gives no log p(x)" in refused.err
    assert not Path("s.csv").exists()


def test_a_full_disk_is_one_clear_error(vae: Vae, without_pictures: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vaeworks.files.save_file", full)
    done = vae("train", "digits", "-o", "run", "--limit", 80, *QUICK)
    assert done.code == 2
    assert "cannot write run/checkpoint/state.safetensors" in done.err
    assert "No space left" in done.err
    assert not list(Path("run").rglob("*.tmp"))


def test_what_a_damaged_run_says(vae: Vae, digits_run: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "schema.json", "recipe.toml"):
        copy = Path(shutil.copytree(digits_run, tmp_path / name))
        (copy / name).write_bytes((copy / name).read_bytes()[:40])
        done = vae("info", copy)
        assert done.code == 2
        assert done.err.startswith("Error: ")
        assert name in done.err


def test_a_training_that_diverges_says_what_to_do(vae: Vae) -> None:
    done = vae("train", "digits", "-o", "run", "--limit", 80, *QUICK, "--epochs", 40, "--set", "training.learning_rate=1e30")
    assert done.code == 2
    assert "lower the learning rate (--set training.learning_rate=" in done.err
    assert Path("run/checkpoint/state.safetensors").is_file()


def test_memory_that_runs_out_is_no_defect(vae: Vae, digits_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("vaeworks.runs.load", full)
    done = vae("info", digits_run)
    assert done.code == 2
    assert "out of memory" in done.err
    assert torch.get_num_threads() >= 1
