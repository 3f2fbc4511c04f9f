"""vae impute as a user runs it: on pictures, text and sounds; what is seen stays to the bit, and what cannot be is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile
from PIL import Image

from vaeworks.data import Options, read_items
from vaeworks.runs import load, train_run

RATE = 8000


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_lower_half_of_digits(digits_run: Path, vae: Callable[..., Any]) -> None:
    done = vae("impute", digits_run, "digits", "--mask", "bottom", "--draws", 4, "--limit", 30, "-o", "filled.npy", "--samples", 300)
    assert done.code == 0, done.err
    assert "effective sample size" in done.err
    filled = np.load("filled.npy")
    original = read_items("digits", load(digits_run).schema, options=Options(seed=0)).values[:30].numpy()
    assert filled.shape == (4, 30, 1, 8, 8)
    assert filled.dtype == np.uint8
    np.testing.assert_array_equal(filled[:, :, :, :4], np.broadcast_to(original[None, :, :, :4], (4, 30, 1, 4, 8)))
    below, truth = filled[:, :, :, 4:].astype(float), original[:, :, 4:].astype(float)
    assert (below[0] != below[1]).any()
    assert below.max() <= 16
    # given the upper half, the lower one is nearer to the truth than that of another digit is
    error = np.square(below - truth).mean()
    assert error < 0.8 * np.square(below - np.roll(truth, 1, 0)).mean()

    assert vae("impute", digits_run, "digits", "--mask", "bottom", "--limit", 30, "--mean", "-o", "mean.npy", "--samples", 300).code == 0
    best = np.load("mean.npy")
    assert best.shape == (30, 1, 8, 8)
    np.testing.assert_array_equal(best[:, :, :4], original[:, :, :4])
    assert np.square(best[:, :, 4:].astype(float) - truth).mean() < error  # a mean is nearer than a draw
    again = vae("impute", digits_run, "digits", "--mask", "bottom", "--draws", 4, "--limit", 30, "-o", "again.npy", "--samples", 300)
    assert again.code == 0
    np.testing.assert_array_equal(np.load("again.npy"), filled)


def test_sheets_strips_and_masks_in_files(digits_run: Path, vae: Callable[..., Any]) -> None:
    mask = np.full((8, 8), 255, np.uint8)
    mask[2:5, 3:6] = 0
    Image.fromarray(mask).save("mask.png")
    assert vae("impute", digits_run, "digits", "--mask", "mask.png", "--draws", 2, "--limit", 5, "-o", "sheet.png", "--samples", 50).code == 0
    with Image.open("sheet.png") as sheet:
        assert sheet.height > 3 * 56
    assert vae("impute", digits_run, "digits", "--mask", "mask.png", "--draws", 2, "--limit", 3, "-o", "strips", "--samples", 50).code == 0
    assert sorted(p.name for p in Path("strips").iterdir()) == ["0.png", "1.png", "2.png"]
    with Image.open("strips/0.png") as strip:
        assert strip.size == (2 + 3 * 58, 60)
    warned = vae("impute", digits_run, "digits", "--mask", "top", "--limit", 5, "-o", "few.png", "--samples", 5)
    assert warned.code == 0
    assert "5 of 5 items have an effective sample size below 10" in warned.err
    assert "--samples 50" in warned.err
    assert "training.hide" in warned.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "x.png"), "nothing is missing of the"),
        (("--mask", "upper", "-o", "x.png"), "neither a file nor one of left, right, top, bottom, center"),
        (("--gap", "0.1..0.2", "-o", "x.png"), "--gap says what is missing of audio, and this is a model of image"),
        (("--mask", "top", "-o", "x.csv"), "end it in one of .png, .npy, or give a folder"),
    ],
)
def test_mistakes_are_told(digits_run: Path, vae: Callable[..., Any], options: tuple[str, ...], message: str) -> None:
    done = vae("impute", digits_run, "digits", *options)
    assert done.code == 2
    assert message in done.err
    assert not list(Path().iterdir())


def test_gaps_of_text(vae: Callable[..., Any]) -> None:
    """Words of syllables ba, do, ki: after b an a is what was learned, written token by token."""
    rng = np.random.default_rng(0)
    Path("words.txt").write_text("\n".join("".join(rng.choice(["ba", "do", "ki"], rng.integers(2, 5))) for _ in range(400)))
    small = ("--set", "encoder.width=24", "--set", "decoder.width=24", "--set", "latent_size=4", "--epochs", 25, "--set", "training.batch_size=32")
    fast = ("--set", "training.learning_rate=0.01", "--set", "training.precision=float32")
    assert vae("train", "words.txt", "-o", "run", "--set", "decoder.kind=gru", "--set", "encoder.kind=gru", *small, *fast).code == 0
    Path("gaps.txt").write_text("b*do\n*o*iba\nkib*d*\n")
    done = vae("impute", "run", "gaps.txt", "--gap-mark", "*", "--samples", 200, "--draws", 5, "-o", "filled.jsonl")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in Path("filled.jsonl").read_text().splitlines()]
    assert [line["given"] for line in lines] == ["b*do", "*o*iba", "kib*d*"]
    for line in lines:
        assert len(line["filled"]) == 5
        for filled in line["filled"]:
            assert len(filled) == len(line["given"])
            assert all(a in {b, "*"} for a, b in zip(line["given"], filled, strict=True))
    assert vae("impute", "run", "gaps.txt", "--gap-mark", "*", "--samples", 200, "--mean", "-o", "best.txt").code == 0
    assert Path("best.txt").read_text().splitlines() == ["bado", "dokiba", "kibado"]
    refused = vae("impute", "run", "gaps.txt", "-o", "no.txt")
    assert refused.code == 2
    assert "no item holds the mark '_'" in refused.err
    hidden = vae("train", "words.txt", "-o", "no", "--set", "decoder.kind=gru", "--set", "training.hide=0.2")
    assert hidden.code == 2
    assert "decoder.kind = 'parallel'" in hidden.err


def test_gaps_of_sounds(vae: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    for i in range(30):
        Path("tones").mkdir(exist_ok=True)
        t = np.arange(int(RATE * 0.1)) / RATE
        soundfile.write(f"tones/{i}.wav", 0.5 * np.sin(2 * np.pi * 300 * rng.uniform(0.9, 1.1) * t), RATE)
    thin = [("encoder.channels", "[4,4]"), ("decoder.channels", "[4,4]"), ("encoder.hidden", "[16]"), ("decoder.hidden", "[16]")]
    sets = [part for name, value in thin for part in ("--set", f"{name}={value}")]
    recipe = ("--recipe", "sound-mel", "--set", "training.precision=float32")
    done = vae(
        "train",
        "tones",
        "-o",
        "run",
        *recipe,
        *sets,
        "--epochs",
        2,
        "--set",
        "training.batch_size=16",
        "--trim",
        0,
        "--set",
        "training.hide=0.2",
        "--set",
        "training.precision=float32",
    )
    assert done.code == 0, done.err
    filled = vae("impute", "run", "tones", "--gap", "0.03..0.05", "--draws", 2, "--limit", 3, "--samples", 20, "-o", "filled")
    assert filled.code == 0, filled.err
    names = sorted(p.name for p in Path("filled").glob("*.wav"))
    assert len(names) == 6
    stored = read_items("tones", load("run").schema, options=Options(seed=0, kind="audio"))
    assert stored.names is not None
    for name in names:
        wave, rate = soundfile.read(f"filled/{name}", dtype="int16")
        item = next(i for i, own in enumerate(stored.names) if Path(own).stem == name.split("-")[0])
        original = stored.values[item, 0, : len(wave)].numpy()
        assert rate == RATE
        inside = slice(int(0.03 * RATE), int(0.05 * RATE))
        kept = np.ones(len(wave), bool)
        kept[inside] = False
        np.testing.assert_allclose(wave[kept], original[kept], atol=1)
        assert not np.array_equal(wave[inside], original[inside])
        assert np.abs(wave[inside]).max() > 0
    late = vae("impute", "run", "tones", "--gap", "0.05..0.2", "--limit", 1, "-o", "late")
    assert late.code == 2
    assert "leave something after the gap" in late.err
    assert vae("impute", "run", "tones", "-o", "none").code == 2


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 600 rows, of which the city tells the age and the spending."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("people")
    city = rng.integers(3, size=600)
    age = np.clip(rng.normal(25 + 15 * city, 4), 18, 80).round().astype(int)
    frame = pl.DataFrame(
        {
            "city": np.array(["Graz", "Lyon", "Porto"])[city],
            "age": age,
            "spent": (age * rng.lognormal(0, 0.2, 600)).round(2),
            "planet": ["Earth"] * 600,
        }
    )
    frame.write_csv(folder / "people.csv")
    small = ["encoder.hidden=[32]", "decoder.hidden=[32]", "latent_size=2", "prior.kind=standard-normal", "training.hide=0.3"]
    train_run(
        str(folder / "people.csv"),
        out=folder / "run",
        overrides=[*small, "training.epochs=40", "training.batch_size=32", "training.precision=float32", "training.learning_rate=0.01"],
        device="cpu",
    )
    return folder


def test_rows_of_a_table_under_conditions(people: Path, vae: Callable[..., Any]) -> None:
    done = vae("sample", people / "run", "-n", 200, "--given", "city=Porto", "-o", "porto.csv")
    assert done.code == 0, done.err
    assert "effective sample size" in done.err
    porto = pl.read_csv("porto.csv")
    assert set(porto["city"]) == {"Porto"}
    assert abs(float(porto["age"].mean()) - 55) < 4  # type: ignore[arg-type]
    done = vae("sample", people / "run", "-n", 200, "--given", "age=20..30", "-o", "young.csv")
    young = pl.read_csv("young.csv")
    assert young["age"].is_between(20, 30).all()
    assert float((young["city"] == "Graz").mean()) > 0.8  # type: ignore[arg-type]
    for given, told in (("city=Rome", "choose one of Graz, Lyon, Porto"), ("age=200", "outside what training had"), ("planet=Mars", "is a constant")):
        refused = vae("sample", people / "run", "--given", given, "-o", "no.csv")
        assert refused.code == 2
        assert told in refused.err


def test_empty_cells_of_a_table(people: Path, vae: Callable[..., Any]) -> None:
    whole = pl.read_csv(people / "people.csv", infer_schema=False)
    rng = np.random.default_rng(1)
    names = ["city", "age", "spent"]
    empty = rng.random((len(whole), 3)) < 0.25
    holes = whole.with_columns(pl.when(pl.Series(empty[:, j])).then(None).otherwise(pl.col(n)).alias(n) for j, n in enumerate(names))
    holes.write_csv("holes.csv")
    done = vae("impute", people / "run", "holes.csv", "-o", "filled.csv", "--draws", 2, "--samples", 200)
    assert done.code == 0, done.err
    filled = pl.read_csv("filled.csv", infer_schema=False)
    assert filled.columns == [*whole.columns, "draw"]
    assert filled["draw"].to_list() == ["1"] * 600 + ["2"] * 600
    for j, name in enumerate(names):
        for start in (0, 600):
            assert filled[name][start : start + 600].filter(pl.Series(~empty[:, j])).equals(whole[name].filter(pl.Series(~empty[:, j])))
    assert filled.null_count().sum_horizontal()[0] == 0
    best = vae("impute", people / "run", "holes.csv", "-o", "best.parquet", "--mean", "--samples", 200)
    assert best.code == 0, best.err
    ages = pl.read_parquet("best.parquet")["age"].cast(pl.Float64).to_numpy()
    truth, gone = whole["age"].cast(pl.Float64).to_numpy(), empty[:, 1]
    blind = np.median(truth[~gone])
    assert np.abs(ages - truth)[gone].mean() < 0.65 * np.abs(blind - truth)[gone].mean()
    assert vae("impute", people / "run", "holes.csv", "--limit", 5, "-o", "no.csv").code == 2
