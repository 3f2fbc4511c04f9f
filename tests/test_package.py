"""The package's face: what it exports, what it imports, and that every module says what is public in it."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys

import pytest

import vaeworks

MODULES = ["vaeworks", *(m.name for m in pkgutil.walk_packages(vaeworks.__path__, "vaeworks.") if not m.name.endswith("__main__"))]
VERBS = (
    "train",
    "sample",
    "reconstruct",
    "encode",
    "decode",
    "interpolate",
    "evaluate",
    "score",
    "compare",
    "info",
    "recipes",
    "check",
    "fit-prior",
    "impute",
    "report",
    "doctor",
    "explore",
    "serve",
    "export",
    "push",
)


@pytest.mark.parametrize("name", MODULES)
def test_all_matches_public_names(name: str) -> None:
    importlib.import_module(name)
    module = sys.modules[name]
    assert module.__doc__
    declared = list(module.__all__)
    assert len(set(declared)) == len(declared)
    for public in declared:
        assert hasattr(module, public), f"{name}.{public} is declared and does not exist"
    defined = {
        public
        for public, value in vars(module).items()
        if not public.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == name
    }
    verbs = defined - set(declared) if name.startswith("vaeworks.cli.") else set()  # a verb is public on the command line
    assert defined - verbs <= set(declared), f"{name} has public names that __all__ does not declare"
    assert verbs <= {verb.replace("-", "_") for verb in VERBS}


def test_rooms_and_verbs_are_reached_from_the_top() -> None:
    assert set(vaeworks.__all__) <= set(dir(vaeworks))
    assert vaeworks.load is importlib.import_module("vaeworks.runs").load
    assert vaeworks.Model is importlib.import_module("vaeworks.runs").Model
    assert vaeworks.training.Trainer is importlib.import_module("vaeworks.training").Trainer
    with pytest.raises(AttributeError, match="nothing"):
        vaeworks.nothing  # noqa: B018


def test_help_and_import_do_not_wait_for_torch() -> None:
    code = f"""
import sys
import vaeworks, vaeworks.errors
from vaeworks import cli
for arguments in ([], *([verb] for verb in {VERBS})):
    sys.argv = ["vae", *arguments, "--help"]
    try:
        cli.main()
    except SystemExit as stop:
        assert not stop.code, arguments
heavy = {{"torch", "numpy", "polars", "sklearn", "matplotlib", "PIL", "fastapi", "uvicorn", "prometheus_client"}} & set(sys.modules)
assert not heavy, heavy
"""
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    for verb in VERBS:
        assert f"Usage: vae {verb}" in done.stdout
    assert "Example:" in done.stdout
