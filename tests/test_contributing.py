"""CONTRIBUTING.md walks through a likelihood, a prior and an objective: its blocks are applied to a copy of the package, as a reader would, and the laws are run on what came of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRAINING = '''
from pathlib import Path

import pytest

import vaeworks
from vaeworks.data import Options, open_data
from vaeworks.errors import RecipeError
from vaeworks.recipes import build_objective, build_trainer, build_vae, load_recipe

PARTS = {"likelihood": "student", "prior": "full-normal", "objective": "renyi"}


def test_the_parts_of_the_walk_train() -> None:
    """Two steps with each part, and with all of them."""
    assert Path(vaeworks.__file__).is_relative_to(Path(__file__).parents[1])
    data = open_data("digits", options=Options(limit=60))
    settings = ["training.epochs=1", "training.batch_size=24", "encoder.hidden=[8]", "decoder.hidden=[8]"]
    for parts in (*({axis: kind} for axis, kind in PARTS.items()), PARTS):
        recipe = load_recipe("mlp", [*settings, *(f"{axis}.kind={kind}" for axis, kind in parts.items())])
        history = build_trainer(recipe).fit(build_vae(recipe, data.schema), build_objective(recipe), data)
        assert (history.steps, history.skipped) == (2, 0)


def test_the_knob_of_the_walk_is_checked() -> None:
    with pytest.raises(RecipeError, match=r"likelihood.freedom = 1: .*greater than 2"):
        load_recipe("mlp", ["likelihood.kind=student", "likelihood.freedom=1"])
'''


def blocks() -> list[tuple[str, str, str]]:
    """(language, path, text) of every block that names a file."""
    return re.findall(r"^```(python|diff) (\S+)\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)


def applied(folder: Path, leave_out: tuple[str, ...] = ()) -> Path:
    """A copy of the package and its laws in ``folder`` with every block applied; those of files under a folder of ``leave_out`` are not."""
    for part in ("src", "tests/laws", "tests/check"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "tests/conftest.py", "tests/test_package.py"):
        shutil.copy(ROOT / file, folder / file)
    for language, name, text in blocks():
        path = folder / name
        if name.startswith(leave_out):
            continue
        if language == "python":
            assert not path.exists(), f"{name} is there already"
            path.write_text(text, "utf-8")
            continue
        lines = text.splitlines()
        assert {line[0] for line in lines} == {" ", "+"}, f"{name}: a line of the diff starts with neither a blank nor a plus"
        before, after = ("\n".join(line[1:] for line in chosen) for chosen in ([line for line in lines if line[0] == " "], lines))
        content = path.read_text("utf-8")
        assert content.count(before) == 1, f"{name}: {before!r} is there {content.count(before)} times"
        path.write_text(content.replace(before, after), "utf-8")
    (folder / "tests/test_walk.py").write_text(TRAINING, "utf-8")
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest in ``folder``, on the copy there."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


REGISTERED = [
    *(f"tests/laws/test_{room}.py::test_every_{part}_is_under_law" for room, part in (("likelihoods", "likelihood"), ("priors", "prior"), ("objectives", "objective"))),
    "tests/check/test_check.py::test_every_likelihood_is_checked",
]  # fmt: skip


def test_the_walk_says_each_of_its_steps() -> None:
    """A file, registry lines and a law-test entry for each of the three rooms."""
    for room in ("likelihoods", "priors", "objectives"):
        paths = [(language, path) for language, path, _ in blocks() if room in path]
        assert sum(language == "python" for language, _ in paths) == 1
        assert ("diff", f"src/vaeworks/{room}/__init__.py") in paths
        assert ("diff", f"tests/laws/test_{room}.py") in paths


def test_the_walk_leads_to_parts_that_obey_the_laws_and_train(tmp_path: Path) -> None:
    folder = applied(tmp_path)
    new = "student or full-normal or vaeworks.priors.full or renyi or walk or under_law or likelihood_is_checked"
    done = run(
        folder, "tests/laws", "tests/test_walk.py", "tests/test_package.py", "tests/check/test_check.py", "-k", f"({new}) and not help_and_import"
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    ran = re.search(r"(\d+) passed", done.stdout)
    assert ran is not None
    assert int(ran[1]) > 60
    assert "failed" not in done.stdout


def test_the_laws_miss_the_entries_that_are_left_out(tmp_path: Path) -> None:
    done = run(applied(tmp_path, ("tests/laws", "src/vaeworks/check")), *REGISTERED)
    assert done.returncode == 1, done.stdout[-5000:] + done.stderr[-2000:]
    assert set(re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE)) == set(REGISTERED)
