"""Every verb on text and on sounds, as a user runs it, reading the files it leaves."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile

SMALL = ("--set", "encoder.width=16", "--set", "decoder.width=16", "--set", "latent_size=4", "--epochs", "3", "--set", "training.batch_size=32")
THIN = (
    "--set",
    "encoder.channels=[4,4]",
    "--set",
    "decoder.channels=[4,4]",
    "--set",
    "encoder.hidden=[16]",
    "--set",
    "decoder.hidden=[16]",
    "--epochs",
    "3",
)
RATE = 8000


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 300 made-up words, a line each."""
    rng = np.random.default_rng(0)
    syllables = ["ba", "do", "ki", "lu", "me", "na"]
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text("\n".join("".join(rng.choice(syllables, rng.integers(1, 5))) for _ in range(300)))
    return path


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 tones of unequal length, low and high in a folder each."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("sounds") / "tones"
    for i in range(60):
        name, hertz = (("low", 300), ("high", 1200))[i % 2]
        (folder / name).mkdir(parents=True, exist_ok=True)
        t = np.arange(int(RATE * rng.uniform(0.15, 0.3))) / RATE
        soundfile.write(folder / name / f"{i}.wav", 0.5 * np.sin(2 * np.pi * hertz * rng.uniform(0.9, 1.1) * t), RATE)
    return folder


def test_text_from_a_file_to_samples_scores_and_a_report(
    tmp_path: Path, words: Path, vae: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = vae("train", words, "-o", "run", *SMALL, "--json")
    assert done.code == 0, done.err
    assert "characters" in done.err
    figures = json.loads(done.out)["figures"]
    assert math.isfinite(figures["log_px"]["value"])
    assert "bits_per_dim" not in figures
    assert {"perplexity_per_token", "bits_per_character", "language_model_log_px", "over_language_model_percent"} <= set(figures)
    assert {"language-model.safetensors", "samples.txt", "reconstructions.txt", "latent.png", "report.html", "model.safetensors"} <= {
        p.name for p in Path("run").iterdir()
    }
    assert len(Path("run/samples.txt").read_text().splitlines()) == 64

    assert vae("sample", "run", "-n", 5, "--seed", 3).code == 0
    first = Path("samples.txt").read_text()
    assert len(first.splitlines()) == 5
    assert set(first) <= set("badokilumen\n\ufffd")
    assert vae("sample", "run", "-n", 5, "--seed", 3, "-o", "again.txt").code == 0
    assert Path("again.txt").read_text() == first
    assert vae("sample", "run", "-n", 5, "--token-temperature", 0.5, "--top-p", 0.8, "-o", "safer.jsonl").code == 0
    assert len(Path("safer.jsonl").read_text().splitlines()) == 5
    assert vae("sample", "run", "-n", 2, "--beam", 4, "-o", "beam.txt").code == 0

    assert vae("reconstruct", "run", words, "--limit", 3).code == 0
    assert Path("reconstructions.txt").read_text().count("original:") == 3
    assert vae("interpolate", "run", "bado", "kilu", "-n", 4).code == 0
    assert len(Path("path.txt").read_text().splitlines()) == 4
    assert vae("encode", "run", words, "-o", "z.parquet", "--limit", 7).code == 0
    assert pl.read_parquet("z.parquet").height == 7
    assert vae("decode", "run", "z.parquet", "-o", "decoded.txt").code == 0
    asked = ("--samples", 5, "--attribution", "--statistic", "ratio")
    assert vae("score", "run", words, "-o", "scores.parquet", "--limit", 7, *asked).code == 0
    scores = pl.read_parquet("scores.parquet")
    assert np.isfinite(scores["log_px"].to_numpy()).all()
    assert scores["p_value"].is_between(0.032, 1).all()
    tokens = [json.loads(told) for told in scores["because"]]
    strings = ["".join(piece for piece, _ in row[:-1]) for row in tokens]
    assert set(strings) <= set(words.read_text().splitlines())
    assert all(row[-1][0] == "<end>" and all(nats < 0 for _, nats in row[:-1]) for row in tokens)
    Path("two.txt").write_text("\n".join([strings[3], "bakilume"]))
    assert vae("score", "run", "two.txt", "-o", "two.csv", *asked).code == 0
    assert pl.read_csv("two.csv")["log_px"][0] == pytest.approx(scores["log_px"][3], rel=1e-5), "whatever else is in the file"
    assert vae("evaluate", "run", "--samples", 5, "--json").code == 0
    refused = vae("evaluate", "run", "--samples", 5, "--sample-quality")
    assert refused.code == 2
    assert "compares pictures or rows, and the items are text" in refused.err
    assert vae("info", "run").code == 0


def test_sounds_from_a_folder_to_wavs_and_a_report(tmp_path: Path, tones: Path, vae: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = vae("train", tones, "-o", "run", "--recipe", "sound-mel", *THIN, "--set", "context=label", "--set", "training.batch_size=16", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert "log-mel" in report["protocol"]["density"]
    assert "bits_per_dim" not in report["figures"]
    assert (Path("run") / "samples" / "sheet.png").is_file()
    assert "data:audio/wav" in Path("run/report.html").read_text()

    assert vae("sample", "run", "-n", 3, "--given", "label=high", "-o", "three").code == 0
    for path in Path("three").glob("*.wav"):
        wave, rate = soundfile.read(path)
        assert rate == RATE
        assert np.isfinite(wave).all()
    assert len(list(Path("three").glob("*.wav"))) == 3
    assert vae("sample", "run", "-n", 1, "-o", "one.flac").code == 0
    assert vae("sample", "run", "-n", 4, "-o", "sheet.png").code == 0
    assert vae("reconstruct", "run", tones, "--limit", 2, "-o", "pairs").code == 0
    assert len(list(Path("pairs").glob("*-original.wav"))) == len(list(Path("pairs").glob("*-reconstruction.wav"))) == 2
    sounds = sorted(tones.rglob("*.wav"))
    assert vae("encode", "run", tones, "-o", "z.csv").code == 0
    assert vae("score", "run", tones, "-o", "scores.csv", "--samples", 5, "--limit", 5, "--statistic", "ratio", "--attribution").code == 0
    scores = pl.read_csv("scores.csv")
    assert scores["p_value"].is_between(0.142, 1).all()
    assert (scores["statistic"] > scores["log_px"]).all(), "a code's length is no probability above one"
    assert Path("scores.png").is_file()
    refused = vae("interpolate", "run", sounds[0], sounds[1], "-n", 3, "-o", "morph")
    assert refused.code == 2
    assert "label" in refused.err
    assert vae("sample", "run", "--top-p", 0.5, "-o", "no").code == 2


def test_sounds_morph(tmp_path: Path, tones: Path, vae: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert vae("train", tones, "-o", "run", "--recipe", "sound-mel", *THIN).code == 0
    low, high = sorted((tones / "low").iterdir())[0], sorted((tones / "high").iterdir())[0]
    assert vae("interpolate", "run", low, high, "-n", 3, "-o", "morph").code == 0
    assert len(list(Path("morph").glob("*.wav"))) == 3
