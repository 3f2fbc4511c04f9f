"""Seconds and memory of training: vaeworks beside SDV's TVAE, on 30,000 and a million rows, and on a column of 10,000 categories."""

__all__ = ["CASES", "CONTESTANTS", "page", "run"]

import argparse
import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tabular.data import TABLES
from tabular.ours import peer
from tabular.records import load, once, table
from tabular.synthesis import knobs

CONTESTANTS = ("vaeworks", "TVAE")
COLUMNS = {
    "seconds": ("processor seconds, all told", 1, 1.0),
    "seconds_an_epoch": ("seconds an epoch", 2, 1.0),
    "sampling_seconds": ("sampling as many rows, seconds", 1, 1.0),
    "peak_gib": ("peak memory, GiB", 2, 1.0),
}


@dataclass(frozen=True)
class Case:
    """Rows, and two numbers of epochs: what the second takes beyond the first tells the pace of one, without what goes before training."""

    rows: int
    few: int
    more: int
    categories: int = 0
    """Of a column of their own, in place of adult's columns."""


CASES = {"30,000 rows": Case(30_000, 1, 6), "1,000,000 rows": Case(1_000_000, 1, 2), "10,000 categories": Case(20_000, 1, 2, 10_000)}


def rows(case: Case, folder: Path, seed: int) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Adult's rows drawn with replacement; or two numbers beside a column of many categories, all of which occur, the frequent ones as in words (Zipf). And which columns are categories."""
    generator = np.random.Generator(np.random.PCG64(seed))
    if not case.categories:
        frame = TABLES["adult"].read(folder)
        return frame[generator.integers(len(frame), size=case.rows)], TABLES["adult"].categories
    weights = 1 / np.arange(1, case.categories + 1)
    drawn = generator.choice(case.categories, case.rows - case.categories, p=weights / weights.sum())
    codes = generator.permutation(np.concatenate([np.arange(case.categories), drawn]))
    number = generator.normal(np.log1p(codes), 1)
    return pl.DataFrame({"item": [f"item {code}" for code in codes], "price": np.exp(number), "weight": number + generator.normal(size=case.rows)}), (
        "item",
    )


def run(arguments: argparse.Namespace) -> None:
    folder = arguments.out / "speed"
    for name in arguments.only or CASES:
        for contestant in CONTESTANTS:
            if contestant in arguments.contestants or (contestant != "vaeworks" and "peers" in arguments.contestants):
                for seed in range(arguments.seeds):
                    once(folder, name, "", contestant, seed, functools.partial(pace, contestant, name, seed, arguments))


def pace(contestant: str, name: str, seed: int, arguments: argparse.Namespace) -> tuple[dict[str, float], float, dict[str, Any]]:
    """Two trainings of a contestant."""
    case, folder = CASES[name], arguments.out / "speed" / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    frame, categories = rows(case, arguments.tables, seed)
    source = folder / f"{len(frame)}-{case.categories}-{seed}.parquet"
    frame.write_parquet(source)
    found = []
    for epochs in (case.few, case.more):
        if contestant == "vaeworks":
            options = [*knobs(arguments, arguments.recipe), f"--set=training.epochs={epochs}"]
            found.append(peer(None, "tables_vaeworks.py", "--train", source, "--out", folder / "drawn.parquet", "--seed", seed, *options))
        else:
            options = ["--epochs", epochs, "--categories", *categories]
            found.append(
                peer(
                    arguments.peers_python,
                    "tables_sdv.py",
                    contestant,
                    "--train",
                    source,
                    "--out",
                    folder / "drawn.parquet",
                    "--seed",
                    seed,
                    *options,
                )
            )
    few, more = (one["processor_seconds"] for one in found)
    figures = {
        "seconds": more,
        "seconds_an_epoch": (more - few) / (case.more - case.few) if more > few else math.nan,  # drowned in what else a run does
        "sampling_seconds": found[1]["sampling_seconds"],
        "peak_gib": max(one["peak_mib"] for one in found) / 1024,
    }
    return figures, more, {"epochs": case.more}


def page(out: Path) -> str:
    """The section as Markdown."""
    cases = "; ".join(f"{name}: {case.more} epochs" for name, case in CASES.items())
    lines = [
        f"Adult's rows drawn with replacement, and a table of two numbers and a column of 10,000 categories in 20,000 rows. Epochs are few ({cases}), and all that comes before and after",
        "training is in the time, for vaeworks its evaluation too; seconds an epoch are what further epochs add. Both on one thread; ± is a 95% interval over seeds.",
        "",
        *table(load(out / "speed"), COLUMNS, CONTESTANTS),
    ]
    return "\n".join(lines)
