"""vae doctor and vae report as a user runs them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Vae = Callable[..., Any]


@pytest.fixture
def run(digits_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digits_run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint", "tensorboard")))


def sections(page: Path) -> list[str]:
    import re

    return re.findall(r'<section id="([^"]+)">', page.read_text("utf-8"))


WHOLE = [
    "findings",
    "data",
    "choices",
    "training",
    "samples",
    "reconstructions",
    "traversals",
    "interpolation",
    "latent",
    "figures",
    "dimensions",
    "reproduce",
]


def test_training_leaves_the_whole_page(digits_run: Path) -> None:
    assert sections(digits_run / "report.html") == WHOLE


def test_the_doctor_speaks_json_and_words(vae: Vae, digits_run: Path) -> None:
    done = vae("doctor", digits_run, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert {"latent dimensions", "prior", "course of training"} <= {one["name"] for one in told["examined"]}
    assert told["healthy"] is False, "220 steps are few"
    (first,) = [finding for finding in told["findings"] if finding["problem"]]
    assert first["name"] == "stopped while improving"
    assert "--set training.epochs=" in first["commands"][0]
    words = vae("doctor", digits_run)
    assert words.code == 0
    assert "Problem: stopped while improving" in words.out
    assert first["commands"][0] in words.out


def test_the_doctor_looks_at_other_data(vae: Vae, digits_run: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 17, (40, 8, 8), dtype=np.uint8))
    done = vae("doctor", digits_run, tmp_path / "noise.npy", "--json")
    assert done.code == 0, done.err
    assert "data of another kind" in {finding["name"] for finding in json.loads(done.out)["findings"]}
    wrong = vae("doctor", digits_run, tmp_path / "none.npy")
    assert wrong.code == 2
    assert "none.npy" in wrong.err


def test_the_page_is_made_anew(vae: Vae, run: Path, tmp_path: Path) -> None:
    old = (run / "report.html").read_bytes()
    done = vae("report", run, "-o", tmp_path / "page.html")
    assert done.code == 0, done.err
    assert "Wrote" in done.err
    assert sections(tmp_path / "page.html") == WHOLE
    assert (run / "report.html").read_bytes() == old
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "1437 training, 180 validation, 180 test" in text
    assert "vae train digits --epochs 20" in text
    assert 'role="note"' not in text
    assert vae("report", run, "-o", tmp_path / "page.pdf").code == 2


def test_without_the_data_the_page_is_made_of_what_remains(vae: Vae, run: Path, tmp_path: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "source": str(tmp_path / "gone.npy")}))
    (run / "story.json").unlink()  # as an earlier version left it
    done = vae("report", run)
    assert done.code == 0, done.err
    assert "can no longer be read" in done.err
    assert "gone.npy" in done.err
    text = (run / "report.html").read_text("utf-8")
    assert 'role="note"' in text
    assert sections(run / "report.html") == [name for name in WHOLE if name not in {"traversals", "interpolation"}]
    assert text.count("data:image/png") == 3


def test_data_that_have_changed_are_told(vae: Vae, run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "data": "0" * 32}))
    done = vae("report", run)
    assert done.code == 0, done.err
    assert "have changed" in done.err


def test_a_damaged_story_is_a_readable_error(vae: Vae, run: Path) -> None:
    (run / "story.json").write_text("{")
    done = vae("report", run)
    assert done.code == 2
    assert "story.json is damaged" in done.err
