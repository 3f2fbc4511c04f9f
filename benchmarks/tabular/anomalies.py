"""Anomalies in six sets of ADBench: log p(x) of vaeworks beside detectors of PyOD."""

__all__ = ["CONTESTANTS", "SETTINGS", "page", "run"]

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import ks_2samp
from sklearn.metrics import average_precision_score, roc_auc_score

from tabular.data import split
from tabular.ours import peer, trained
from tabular.records import load, once, ranks, table

CONTESTANTS = ("vaeworks", "PyOD VAE", "PyOD ECOD", "PyOD IForest", "PyOD KNN")
SETTINGS = ("normal rows", "all rows")
"""What is learned from, of 70% of a set: rows labelled normal, or rows of which nothing is known. Scores are of the other 30%."""
COLUMNS = {"auroc": ("AUROC, %", 1, 100.0), "aupr": ("AUPR, %", 1, 100.0), "ks_p": ("KS p of p-values", 2, 1.0)}


def sets(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every set's rows (N, D) and whether each is an anomaly."""
    found = {}
    for path in sorted(folder.glob("*.npz")):
        held = np.load(path)
        found[path.stem.partition("_")[2]] = (held["X"].astype(np.float64), held["y"].astype(bool))
    return found


def figures(scores: np.ndarray, anomalous: np.ndarray) -> dict[str, float]:
    return {"auroc": float(roc_auc_score(anomalous, scores)), "aupr": float(average_precision_score(anomalous, scores))}


def run(arguments: argparse.Namespace) -> None:
    folder = arguments.out / "anomalies"
    for name, (x, y) in sets(arguments.tables / "adbench").items():
        if arguments.only and name not in arguments.only:
            continue
        for seed in range(arguments.seeds):
            first, second = split(len(x), seed, 0.7)
            for setting in SETTINGS:
                train = x[first][~y[first]] if setting == SETTINGS[0] else x[first]
                if "peers" in arguments.contestants:
                    for detector, (scores, seconds, version) in detected(train, x[second], seed, arguments, folder, name, setting).items():
                        more = {"version": version}
                        once(folder, name, setting, f"PyOD {detector}", seed, lambda s=scores, t=seconds, m=more, a=y[second]: (figures(s, a), t, m))
                if "vaeworks" in arguments.contestants:
                    once(folder, name, setting, "vaeworks", seed, lambda t=train, h=x[second], a=y[second], s=seed: ours(t, h, a, s, arguments))


def detected(train: np.ndarray, test: np.ndarray, seed: int, arguments: argparse.Namespace, folder: Path, name: str, setting: str) -> dict[str, Any]:
    """Scores, seconds and version of each of PyOD's detectors, on rows standardised by the training rows; none where they have been measured."""
    if (folder / f"{name}-{setting.replace(' ', '_')}-PyOD_KNN-{seed}.json").is_file():
        return {}
    centre, scale = train.mean(0), np.where(np.ptp(train, axis=0) > 0, train.std(0), 1)  # not std > 0: that of equal numbers is rounding
    with tempfile.TemporaryDirectory() as temporary:
        data, out = Path(temporary) / "rows.npz", Path(temporary) / "scores.npz"
        np.savez(data, train=(train - centre) / scale, test=(test - centre) / scale)
        found = peer(arguments.peers_python, "tables_pyod.py", "--data", data, "--out", out, "--seed", seed)
        scores = dict(np.load(out))
    return {detector: (held, found["processor_seconds"][detector], found["version"]) for detector, held in scores.items()}


def ours(
    train: np.ndarray, test: np.ndarray, anomalous: np.ndarray, seed: int, arguments: argparse.Namespace
) -> tuple[dict[str, float], float, dict[str, Any]]:
    """Less log p(x) of rows with their numbers as normal scores, as `vae score` judges tables, and how uniform the p-values of normal held-out rows are, calibrated by the
    split-conformal way on half of them (Vovk et al. 2005)."""

    def frame(rows: np.ndarray) -> pl.DataFrame:
        return pl.DataFrame({f"x{j}": column for j, column in enumerate(rows.T)})

    began = time.process_time()
    with tempfile.TemporaryDirectory() as temporary:
        model = trained(frame(train), Path(temporary), seed, arguments)
        seconds = time.process_time() - began
        judged = model.score(frame(test))
        scores = -judged.values.numpy()
        assert judged.p_values is not None
        told = judged.p_values.numpy()[~anomalous]
    found = figures(scores, anomalous)
    normal = np.random.default_rng(seed).permutation(scores[~anomalous])
    calibration, fresh = np.array_split(normal, 2)
    found["ks_p"] = float(
        ks_2samp(calibration, fresh).pvalue
    )  # against U(0, 1), p-values that share their calibration would seem further off than they are
    return found, seconds, {"rows": len(train), "below_tenth": float((told <= 0.1).mean())}


def page(out: Path) -> str:
    """The section as Markdown."""
    records = load(out / "anomalies")
    lines = [
        "Learned from 70% of a set, rows labelled normal or all of them, and scored on the other 30%. PyOD's detectors at their own settings, on standardised columns; ± is a 95% interval",
        "over seeds, which also draw the split. p-values are split-conformal, calibrated on half of the normal held-out rows and told of the other half; KS is of the two halves'",
        "scores, which is what uniform p-values with a finite calibration come to.",
        "",
        *table(records, COLUMNS, CONTESTANTS),
        "",
    ]
    present = [name for name in CONTESTANTS if any(record.contestant == name for record in records)]
    for setting in SETTINGS:
        for figure in ("auroc", "aupr"):
            places = ranks(records, figure, present, setting)
            if places:
                told = ", ".join(f"{name} {place:.2f}" for name, (place, _) in sorted(places.items(), key=lambda item: item[1]))
                lines.append(f"Mean rank by {figure.upper()}, {setting}, {next(iter(places.values()))[1]} of the sets: {told}.\n")
    return "\n".join(lines).rstrip()
