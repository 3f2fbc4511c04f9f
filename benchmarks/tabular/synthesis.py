"""Synthetic rows of three tables: vaeworks beside SDV's synthesizers, all judged alike."""

__all__ = ["CONTESTANTS", "judge", "page", "run"]

import argparse
import functools
import json
import math
from pathlib import Path
from typing import Any

import polars as pl

from tabular.data import TABLES, Table, split
from tabular.ours import peer
from tabular.records import cell, load, once, table
from vaeworks.evaluation.efficacy import efficacy
from vaeworks.evaluation.fidelity import fidelity
from vaeworks.evaluation.memorisation import closest_records

PEERS = ("GaussianCopula", "TVAE", "CTGAN")
REAL = "held-out rows"
CONTESTANTS = ("vaeworks", "vaeworks, table-synthesis", *PEERS, REAL)
COLUMNS = {
    "shape": ("column shapes, error %", 2, 100.0),
    "pairs": ("pair trends, error %", 2, 100.0),
    "pairs_own": ("the same, SDMetrics' bins", 2, 100.0),
    "f1": ("F1", 3, 1.0),
    "auroc": ("AUROC", 3, 1.0),
    "r2": ("R2", 3, 1.0),
    "nearer": ("nearer to training rows, %", 1, 100.0),
    "copies": ("copies, %", 2, 100.0),
    "log_px": ("log p(x), nats", 2, 1.0),
}


def judge(name: str, train: pl.DataFrame, test: pl.DataFrame, rows: pl.DataFrame, seed: int) -> dict[str, float]:
    """Every figure of synthetic rows."""
    kinds, target = TABLES[name].kinds(train), TABLES[name].target
    rows = tidy(rows.select(train.columns), TABLES[name])
    shapes = fidelity(train, rows, kinds, bootstraps=0)
    own = fidelity(train, rows, kinds, bootstraps=0, own_bins=True)
    records = closest_records(train, test, rows, kinds, seed=seed)
    taught = efficacy(rows, test, kinds, target, seed=seed, bootstraps=0)
    figures = {"shape": shapes.shape_error, "pairs": shapes.pair_error, "pairs_own": own.pair_error, **taught.scores}
    return figures | {"nearer": records.nearer, "fifth": records.fifth, "copies": records.copies, "missing": shapes.missing_error}


def tidy(rows: pl.DataFrame, about: Table) -> pl.DataFrame:
    """Categories as strings without spaces around them, `?` where a reader took adult's mark for a missing cell."""
    text = rows.with_columns(pl.col(name).cast(pl.String).str.strip_chars() for name in about.categories)
    return text.with_columns(pl.col(name).fill_null("?") for name in about.categories) if about.marks_missing else text


def run(arguments: argparse.Namespace) -> None:
    folder = arguments.out / "synthesis"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in CONTESTANTS if name in arguments.contestants or (not name.startswith("vaeworks") and "peers" in arguments.contestants)]
    for contestant in wanted:
        for name in arguments.only or TABLES:
            frame = TABLES[name].read(arguments.tables)
            for seed in range(arguments.seeds):
                train, test = (frame[rows] for rows in split(len(frame), seed))
                measure = functools.partial(contest, contestant, name, train, test, seed, arguments)
                once(folder, name, "", contestant, seed, measure)


def contest(
    contestant: str, name: str, train: pl.DataFrame, test: pl.DataFrame, seed: int, arguments: argparse.Namespace
) -> tuple[dict[str, float], float, dict[str, Any]]:  # fmt: skip
    """Figures, seconds of processor in training, and the rest of what a contestant told."""
    if contestant == REAL:  # what real rows teach, and how far other real rows are from them
        taught = efficacy(train, test, TABLES[name].kinds(train), TABLES[name].target, seed=seed, bootstraps=0)
        return {**judge(name, train, test, test, seed), "nearer": math.nan, **taught.scores}, 0.0, {}
    folder = arguments.out / "synthesis" / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    source, held, rows = (folder / f"{name}-{seed}-{part}.parquet" for part in ("train", "test", contestant))
    train.write_parquet(source)
    test.write_parquet(held)
    told = rows.with_suffix(".json")
    if not told.is_file():  # what was drawn can be judged anew, by deleting its record only
        if contestant.startswith("vaeworks"):
            recipe = contestant.partition(", ")[2] or arguments.recipe
            found = peer(None, "tables_vaeworks.py", "--train", source, "--test", held, "--out", rows, "--seed", seed, *knobs(arguments, recipe))
        else:
            kinds = ("--categories", *TABLES[name].categories) if TABLES[name].categories else ()
            epochs = () if arguments.epochs is None else ("--epochs", arguments.epochs)
            found = peer(arguments.peers_python, "tables_sdv.py", contestant, "--train", source, "--out", rows, "--seed", seed, *epochs, *kinds)
        told.write_text(json.dumps(found), "utf-8")
    found = json.loads(told.read_text("utf-8"))
    figures = judge(name, train, test, pl.read_parquet(rows), seed)
    if "log_px" in found:
        figures["log_px"] = found["log_px"]
    return figures, found["processor_seconds"], found


def knobs(arguments: argparse.Namespace, recipe: str | None) -> list[object]:
    """Options of vaeworks, as its script takes them."""
    options: list[object] = ["--samples", arguments.samples]
    for name, value in (("recipe", recipe), ("minutes", arguments.minutes)):
        if value is not None:
            options += [f"--{name}", value]
    return options + [f"--set={text}" for text in arguments.set]


def page(out: Path) -> str:
    """The section as Markdown."""
    records = load(out / "synthesis")
    present = {name: held for name, held in COLUMNS.items() if any(name in record.figures for record in records)}
    epochs = {(r.contestant, r.data, r.more["epochs"]) for r in records if r.more.get("epochs")}
    fewer = ", ".join(f"{name} on {data} {n}" for name, data, n in sorted(epochs) if n != 300)
    lines = [
        "80% of the rows to learn from, as many drawn, 20% to test on; ± is a 95% interval over seeds, which also draw the split. Errors are one less SDMetrics' scores, to training",
        "rows; F1 (macro) and AUROC of adult's income, R2 of median_house_value and of quality, by HistGradientBoosting trained on synthetic rows and tested on real ones; nearer to",
        "training rows than to as many held-out ones: 50% where nothing is memorised. The row of held-out rows is the floor: other real rows in place of synthetic ones; its efficacy",
        f"that of real training rows. SDV's synthesizers at their own settings (300 epochs), column kinds told{f'; fewer epochs: {fewer}' if fewer else ''}.",
        "",
        *table(records, present, CONTESTANTS),
        "",
    ]
    for name in TABLES:
        memory = {who: [r.more["peak_mib"] for r in records if (r.data, r.contestant) == (name, who) and "peak_mib" in r.more] for who in CONTESTANTS}
        told = ", ".join(f"{who} {cell(held, 0)}" for who, held in memory.items() if held)
        if told:
            lines.append(f"Peak memory on {name}, MiB: {told}.")
    return "\n".join(lines).rstrip()
