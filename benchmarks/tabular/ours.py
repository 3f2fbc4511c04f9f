"""Training vaeworks on a table, in this process through its public calls; and peers, in processes of their own."""

__all__ = ["peer", "trained"]

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl

import vaeworks
from vaeworks.data import Options

PEERS = Path(__file__).parents[1] / "peers"


def trained(frame: pl.DataFrame, folder: Path, seed: int, arguments: argparse.Namespace) -> vaeworks.Model:
    """A model of ``frame``, by the recipe that is the default for tables unless another is asked for, its columns all of the margin that is asked for, if one is."""
    file = folder / "train.parquet"
    frame.write_parquet(file)
    margin = getattr(arguments, "margin", None)
    options = Options(seed=seed, columns=tuple((name, margin) for name in frame.columns) if margin else ())
    return vaeworks.train(
        file, out=folder / "run", recipe=arguments.recipe, overrides=arguments.set, max_minutes=arguments.minutes, seed=seed, device="cpu", options=options
    )  # fmt: skip


def peer(python: Path | None, script: str, *options: object) -> dict[str, Any]:
    """Runs a script of `peers/` on one thread, under ``python`` or else this interpreter, and reads the line of JSON it prints last."""
    command = [str(python or sys.executable), str(PEERS / script), *map(str, options)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | one)
    if done.returncode:
        sys.exit(f"{script} failed: {' '.join(command)}\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
