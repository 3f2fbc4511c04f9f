"""Help, the page made from it, and what the shell is offered: complete, consistent, and there at once."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

from vaeworks.cli.completing import data_sources, recipe_names, run_folders, set_keys
from vaeworks.cli.main import app
from vaeworks.cli.verb import PANELS
from vaeworks.data import BUILTIN
from vaeworks.recipes import load_recipe
from vaeworks.recipes import recipe_names as library

ROOT = Path(__file__).parents[2]
GROUP: Any = typer.main.get_command(app)
VERBS = sorted(GROUP.commands)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_cli", ROOT / "docs" / "generate_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", VERBS)
def test_each_verb_says_what_it_reads_and_writes_with_an_example_and_exit_codes(name: str, vae: Callable[..., Any]) -> None:
    told = vae(name, "--help").out
    for part in ("Reads:", "Writes:", f"Example: vae {name}", "Exit codes: 0 done; 2"):
        assert told.count(part) == 1, f"{name}: {part}"
    assert told.index("Reads:") < told.index("Writes:") < told.index("Example:") < told.index("Exit codes:")


def test_an_option_stands_in_the_same_panel_whatever_the_verb() -> None:
    panels: dict[str, set[str]] = {}
    for verb in GROUP.commands.values():
        for option in verb.params:
            if option.param_type_name == "option":
                panels.setdefault(option.name, set()).add(option.rich_help_panel)
                assert option.help or option.name == "help"
    for name, panel in PANELS.items():
        assert panels.get(name, {panel}) == {panel}


def test_the_page_of_the_command_line_and_the_keys_of_set_are_those_of_the_code(generator: ModuleType) -> None:
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == generator.page(), "stale: python docs/generate_cli.py > docs/cli.md"
    kept = (ROOT / "src" / "vaeworks" / "cli" / "knobs.txt").read_text("utf-8")
    assert kept == generator.keys(), "stale: python docs/generate_cli.py --knobs > src/vaeworks/cli/knobs.txt"


def test_what_is_offered_is_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {name.partition(":")[0] for name in data_sources("")} == {*BUILTIN, "hf"}
    assert recipe_names("") == library()
    assert recipe_names("res") == [name for name in library() if name.startswith("res")]
    keys = dict(set_keys(""))
    assert "beta" in keys["objective.beta="]
    assert {"training.epochs=", "latent_size=", "decoder.hidden="} <= set(keys)
    assert ("objective.kind=iwae", "") in set_keys("objective.kind=i")
    load_recipe("mlp", [f"{set_keys('objective.kind=iw')[0][0]}"])  # a key that is offered is one that is taken
    monkeypatch.chdir(tmp_path)
    for name in ("runs/digits", "runs/faces", "runs/no-run", "mine"):
        Path(name).mkdir(parents=True)
        if name != "runs/no-run":
            (Path(name) / "run.json").touch()
    assert run_folders("") == ["mine", "runs/digits", "runs/faces"]
    assert run_folders("runs/f") == ["runs/faces"]
    assert run_folders("mi") == ["mine"]
    assert run_folders(f"{tmp_path}/runs/d") == [f"{tmp_path}/runs/digits"]
    assert run_folders("absent/x") == []


@pytest.fixture
def command(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``vae`` is a command, and HOME a folder of its own."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "vae"
    script.write_text(f"#!{sys.executable}\nfrom vaeworks.cli import main\nmain()\n")
    script.chmod(0o755)
    return {**os.environ, "HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("shell", "line", "word", "offered"),
    [
        ("bash", "vae train fashion", 2, "fashion-mnist"),
        ("bash", "vae train digits --recipe iwa", 4, "iwae"),
        ("zsh", "vae train digits --set objective.bet", 4, "objective.beta="),
        ("fish", "vae impu", 1, "impute"),
    ],
)
def test_the_shell_is_answered_at_once(command: dict[str, str], shell: str, line: str, word: int, offered: str) -> None:
    asked = {"_VAE_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": str(word), "_TYPER_COMPLETE_ARGS": line}
    asked |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(["vae"], env=command | asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert offered in done.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "vaeworks" in loaded
    assert not loaded & {"torch", "numpy", "polars", "PIL", "scipy", "fastapi", "datasets", "wandb", "mlflow"}


@pytest.mark.parametrize(
    ("shell", "place"), [("bash", ".bash_completions/vae.sh"), ("zsh", ".zfunc/_vae"), ("fish", ".config/fish/completions/vae.fish")]
)
def test_completion_is_installed(command: dict[str, str], shell: str, place: str) -> None:
    asked = command | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(["vae", "--install-completion", shell], env=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    script = Path(command["HOME"], place)
    assert script.is_file()
    if shell == "bash":
        typed = f"source {script}; COMP_WORDS=(vae recipes iwa); COMP_CWORD=2; _vae_completion vae; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        answer = subprocess.run(["bash", "-c", typed], env=command, capture_output=True, text=True, check=False)
        assert answer.stdout.split() == [name for name in library() if name.startswith("iwa")]
