"""Filled gaps: vaeworks beside scikit-learn's imputers, cells missing completely at random in training and in test rows."""

__all__ = ["CONTESTANTS", "SETS", "page", "run"]

import argparse
import functools
import gzip
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from tabular.data import TABLES, split
from tabular.ours import trained
from tabular.records import load, once, ranks, table

CONTESTANTS = ("vaeworks", "mean", "KNN", "iterative ridge", "iterative forest")
RATES = (0.2, 0.5)
COLUMNS = {
    "rmse": ("RMSE, standardised", 3, 1.0),
    "accuracy": ("accuracy, %", 1, 100.0),
    "coverage": ("coverage of 90% intervals, %", 1, 100.0),
    "closed": ("of closed ones", 1, 100.0),
    "width": ("their width", 2, 1.0),
}
LEVEL = 0.9
SAME = 1e-9
"""Standard deviations within which two numbers are the same."""


@dataclass(frozen=True)
class Gaps:
    """A split with cells hidden. Frames have null where a cell is hidden, or was missing to begin with."""

    train: pl.DataFrame
    test: pl.DataFrame
    truth: pl.DataFrame
    """``test`` before cells were hidden."""
    hidden: np.ndarray
    """(M, D) bool: cells of ``test`` that are hidden and known."""
    kinds: dict[str, str]
    forest: dict[str, Any]
    """Settings of the forest: trees and rounds that fit the set."""


SETS: dict[str, dict[str, Any]] = {
    "breast-w": {"n_estimators": 50, "rounds": 10},
    "wine": {"n_estimators": 50, "rounds": 10},
    "housing": {"n_estimators": 20, "rounds": 4},
    "mnist 14x14": {"n_estimators": 10, "rounds": 2},
}
TRAIN_DIGITS, TEST_DIGITS = 2000, 500


def read(name: str, folder: Path) -> tuple[pl.DataFrame, dict[str, str]]:
    """A set's rows and kinds of columns. Digits are means of 2x2 pixels of the first 2500 training images, 0 .. 255."""
    if name in TABLES:
        frame = TABLES[name].read(folder / "tables")
        return frame, TABLES[name].kinds(frame)
    if name == "breast-w":
        x = np.load(folder / "tables/adbench/4_breastw.npz")["X"].astype(np.int64)
    else:
        raw = gzip.decompress((folder / "images/mnist/train-images-idx3-ubyte.gz").read_bytes())
        pixels = np.frombuffer(raw, np.uint8, (TRAIN_DIGITS + TEST_DIGITS) * 784, 16).astype(np.float64)
        x = pixels.reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(-1, 196)
    return pl.DataFrame({f"x{j}": column for j, column in enumerate(x.T)}), {f"x{j}": "number" for j in range(x.shape[1])}


def gaps(name: str, folder: Path, rate: float, seed: int) -> Gaps:
    """70% of the rows, or 2000 digits, to learn from; each cell hidden with probability ``rate``."""
    frame, kinds = read(name, folder)
    first, second = split(len(frame), seed, 0.8 if name.startswith("mnist") else 0.7)
    mask = np.random.Generator(np.random.PCG64([seed, round(100 * rate)])).random((len(frame), len(kinds))) < rate
    known = np.column_stack([frame[column].is_not_null().to_numpy() for column in frame.columns])
    shown = frame.with_columns(pl.when(pl.Series(~mask[:, j])).then(pl.col(column)).alias(column) for j, column in enumerate(frame.columns))
    return Gaps(shown[first], shown[second], frame[second], (mask & known)[second], kinds, SETS[name])


class Coded:
    """Rows as the numbers that scikit-learn takes: standardised by what training rows show, categories one-hot and back by the largest."""

    def __init__(self, given: Gaps):
        self.kinds, self.categories = (
            given.kinds,
            {n: given.train[n].drop_nulls().unique().sort().to_list() for n, k in given.kinds.items() if k == "category"},
        )
        numbers = [n for n, k in given.kinds.items() if k == "number"]
        self.centre = {n: float(given.train[n].mean()) for n in numbers}
        self.scale = {n: float(given.train[n].std() or 0) or 1.0 for n in numbers}

    def x(self, frame: pl.DataFrame) -> np.ndarray:
        parts = []
        for name, kind in self.kinds.items():
            if kind == "number":
                parts.append((frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy() - self.centre[name]) / self.scale[name])
            else:
                missing = frame[name].is_null().to_numpy()
                parts += [np.where(missing, np.nan, (frame[name] == value).fill_null(False).to_numpy()) for value in self.categories[name]]
        return np.column_stack(parts)

    def columns(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Standardised numbers, and places of categories, by column."""
        found, at = {}, 0
        for name, kind in self.kinds.items():
            size = 1 if kind == "number" else len(self.categories[name])
            found[name] = x[:, at] if kind == "number" else x[:, at : at + size].argmax(1)
            at += size
        return found


Filled = dict[str, np.ndarray]


class Imputer(Protocol):
    """Fills the test rows: the best guess by column, and draws where there are some, (draws, M) by column of numbers."""

    def __call__(self, given: Gaps, coded: Coded, seed: int) -> tuple[Filled, Filled | None, float]: ...


def figures(given: Gaps, coded: Coded, filled: Filled, draws: Filled | None) -> dict[str, float]:
    """Over the hidden cells: root of the mean square over all numbers, each in standard deviations of its column; share of categories that are right; intervals of draws.

    An interval is between draws of order .05 (m + 1) and .95 (m + 1) of m, which cover 90% of fresh ones whatever their distribution, if it has no atoms. Whole numbers have: there the ends
    hold more than 5% each, so that closed intervals cover more, and ``coverage`` counts a value as inside for the share of its places among the draws that are.
    """
    truth = coded.columns(coded.x(given.truth))
    squares, right, inside, closed, widths = [], [], [], [], []
    for j, (name, kind) in enumerate(given.kinds.items()):
        rows = given.hidden[:, j]
        if kind == "category":
            right.append(filled[name][rows] == truth[name][rows])
            continue
        squares.append(np.square(filled[name][rows] - truth[name][rows]))
        if draws is not None:
            held, value = draws[name][:, rows], truth[name][rows]
            low, high = np.quantile(held, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0, method="weibull")
            closed.append((low - SAME <= value) & (value <= high + SAME))
            inside.append(central(held, value))
            widths.append(high - low)
    found = {"rmse": float(np.sqrt(np.concatenate(squares).mean()))}
    if right:
        found["accuracy"] = float(np.concatenate(right).mean())
    if inside:
        found |= {"coverage": float(np.concatenate(inside).mean()), "closed": float(np.concatenate(closed).mean())}
        found["width"] = float(np.concatenate(widths).mean())
    return found


def central(draws: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Of values (M,), the share of the places that each may take among ``draws`` (m, M) equal to it that lies in the middle 90%: 90% on average where draws and value are exchangeable."""
    places = len(draws) + 1
    first = (draws < value - SAME).sum(0) / places
    last = ((draws <= value + SAME).sum(0) + 1) / places
    return (np.minimum(last, (1 + LEVEL) / 2) - np.maximum(first, (1 - LEVEL) / 2)).clip(0) / (last - first)


def peers(name: str, draws: int) -> Imputer:
    """scikit-learn's imputers at their own settings, but for the forest's."""
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    def fill(given: Gaps, coded: Coded, seed: int) -> tuple[Filled, Filled | None, float]:
        train, test = coded.x(given.train), coded.x(given.test)
        began = time.process_time()
        if name == "iterative forest":
            trees = ExtraTreesRegressor(given.forest["n_estimators"], max_features="sqrt", random_state=seed)
            model: Any = IterativeImputer(trees, max_iter=given.forest["rounds"], random_state=seed, keep_empty_features=True)
        else:
            kinds = {"mean": SimpleImputer, "KNN": KNNImputer, "iterative ridge": IterativeImputer}
            model = kinds[name](keep_empty_features=True, **({"random_state": seed} if name == "iterative ridge" else {}))
        filled = coded.columns(model.fit(train).transform(test))
        sampled = None
        if name == "iterative ridge":
            model = IterativeImputer(sample_posterior=True, random_state=seed, keep_empty_features=True).fit(train)
            each = [coded.columns(model.transform(test)) for _ in range(draws)]
            sampled = {column: np.stack([one[column] for one in each]) for column in filled}
        return filled, sampled, time.process_time() - began

    return fill


def ours(arguments: argparse.Namespace) -> Imputer:
    """Trained on the rows with their gaps; a number is filled with the mean of the draws, a category with the commonest."""

    def fill(given: Gaps, coded: Coded, seed: int) -> tuple[Filled, Filled | None, float]:
        began = time.process_time()
        with tempfile.TemporaryDirectory() as temporary:
            model = trained(given.train, Path(temporary), seed, arguments)
            found = model.impute(given.test, draws=arguments.draws, samples=arguments.samples, seed=seed)
            each = [coded.columns(coded.x(model.frame(x))) for x in found.x]
        draws = {name: np.stack([one[name] for one in each]) for name in given.kinds}
        filled = {
            name: draws[name].mean(0) if kind == "number" else np.array([np.bincount(held).argmax() for held in draws[name].T])
            for name, kind in given.kinds.items()
        }
        return filled, draws, time.process_time() - began

    return fill


def run(arguments: argparse.Namespace) -> None:
    names = [name for name in CONTESTANTS if ("vaeworks" if name == "vaeworks" else "peers") in arguments.contestants]
    for name in arguments.only or SETS:
        for seed in range(arguments.seeds):
            for rate in RATES:
                given = gaps(name, arguments.data, rate, seed)
                for contestant in names:
                    imputer = ours(arguments) if contestant == "vaeworks" else peers(contestant, arguments.draws)
                    once(
                        arguments.out / "imputation", name, f"{rate:.0%} missing", contestant, seed, functools.partial(measure, imputer, given, seed)
                    )


def measure(imputer: Imputer, given: Gaps, seed: int) -> tuple[dict[str, float], float, dict[str, Any]]:
    """Figures of the gaps of the test rows, and seconds of processor for training and filling."""
    coded = Coded(given)
    filled, draws, seconds = imputer(given, coded, seed)
    return figures(given, coded, filled, draws), seconds, {"train": len(given.train), "test": len(given.test)}


def page(out: Path) -> str:
    """The section as Markdown."""
    records = load(out / "imputation")
    forests = "; ".join(f"{name}: {held['n_estimators']} trees, at most {held['rounds']} rounds" for name, held in SETS.items())
    lines = [
        "Cells hidden at random in training (70%; of digits 2000) and test rows (30%; 500); figures are of hidden test cells, numbers in standard deviations of their column,",
        "± a 95% interval over seeds, which also draw splits and gaps. Digits are pictures of 14x14, means of 2x2 pixels. scikit-learn's IterativeImputer and KNNImputer at their",
        "own settings on standardised columns, categories one-hot; intervals of the former from as many draws of its posterior. The forest is IterativeImputer with extremely random",
        f"trees, sqrt(D) columns a split ({forests}). Closed intervals cover more than 90% of whole numbers, even where draws are right; the first coverage shares out ties.",
        "",
        *table(records, COLUMNS, CONTESTANTS),
        "",
    ]
    present = [name for name in CONTESTANTS if any(record.contestant == name for record in records)]
    for rate in RATES:
        places = ranks(records, "rmse", present, f"{rate:.0%} missing", higher=False)
        if places:
            told = ", ".join(f"{name} {place:.2f}" for name, (place, _) in sorted(places.items(), key=lambda item: item[1]))
            lines.append(f"Mean rank by RMSE, {rate:.0%} missing, {next(iter(places.values()))[1]} of the sets: {told}.\n")
    return "\n".join(lines).rstrip()
