"""What synthetic rows teach: a model is trained on them and tested on real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vaeworks.errors import DataError
from vaeworks.evaluation.memorisation import auroc
from vaeworks.evaluation.tabular import Floats, Kinds, matrices

if TYPE_CHECKING:
    from polars import DataFrame

__all__ = ["Efficacy", "efficacy"]

MOST_CATEGORIES = 254
"""That gradient boosting tells apart; rarer ones are missing to it."""


@dataclass(frozen=True)
class Efficacy:
    """Scores on the test rows of a model that was trained on others, and their standard errors, by bootstrap of the test rows."""

    scores: dict[str, float]
    """"f1" (macro) and "auroc" (one against the rest, macro) of a category; "r2" and "rmse" of a number."""
    standard_errors: dict[str, float]
    rows: int
    """Test rows that the target is known of."""


def efficacy(train: DataFrame, test: DataFrame, kinds: Kinds, target: str, *, seed: int = 0, bootstraps: int = 100) -> Efficacy:
    """Gradient boosting (scikit-learn's HistGradientBoosting at its own settings) trained on ``train`` to tell ``target``, scored on ``test``, which should be real and held out.

    Rows whose target is missing are left out. Classes that ``train`` lacks are never told, and their AUROC is that of chance: synthetic rows are not forgiven for leaving them out.
    """
    if target not in kinds:
        raise DataError(f"there is no column {target!r} to predict; there are {', '.join(kinds)}")
    x, y = matrices([train, test], kinds)
    place = list(kinds).index(target)
    x, y = (rows[~np.isnan(rows[:, place])] for rows in (x, y))
    if not len(x) or not len(y):
        raise DataError(f"column {target!r} is missing in every row of the {'test' if len(x) else 'training'} table: predict another")
    categorical = [kind == "category" for name, kind in kinds.items() if name != target]
    inputs, held = _inputs(np.delete(x, place, 1), np.delete(y, place, 1), categorical)
    score = _classes(inputs, x[:, place], held, categorical, seed) if kinds[target] == "category" else _numbers(
        inputs, x[:, place], held, categorical, seed
    )  # fmt: skip
    found = score(y[:, place], np.arange(len(y)))
    generator = np.random.default_rng(seed)
    draws = [score(y[:, place], generator.integers(len(y), size=len(y))) for _ in range(bootstraps)]
    errors = {name: float(np.nanstd([draw[name] for draw in draws], ddof=1)) if bootstraps > 1 else float("nan") for name in found}
    return Efficacy(found, errors, len(y))


Score = Callable[[Floats, NDArray[np.int64]], dict[str, float]]


def _inputs(x: Floats, y: Floats, categorical: list[bool]) -> tuple[Floats, Floats]:
    """Categories renumbered by how often training rows have them; the rarest of very many are missing."""
    x, y = x.copy(), y.copy()
    for j in np.flatnonzero(categorical):
        known, counts = np.unique(x[:, j][~np.isnan(x[:, j])], return_counts=True)
        kept = known[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES]
        order = np.argsort(kept)
        for rows in (x, y):
            at = np.searchsorted(kept, rows[:, j], sorter=order).clip(max=max(len(kept) - 1, 0))
            same = kept[order[at]] == rows[:, j] if len(kept) else np.zeros(len(rows), dtype=bool)
            rows[:, j] = np.where(same, order[at] if len(kept) else 0, np.nan)
    return x, y


def _classes(x: Floats, target: Floats, held: Floats, categorical: list[bool], seed: int) -> Score:
    from sklearn.ensemble import HistGradientBoostingClassifier

    classes = np.unique(target)
    if len(classes) > 1:
        model = HistGradientBoostingClassifier(categorical_features=categorical, random_state=seed).fit(x, target)
        told = model.predict_proba(held)
    else:
        told = np.ones((len(held), 1))
    guesses = classes[told.argmax(1)]

    def score(truth: Floats, rows: NDArray[np.int64]) -> dict[str, float]:
        y, guess = truth[rows], guesses[rows]
        kinds = np.unique(truth)
        f1, areas = [], []
        for kind in kinds:
            right, either = float(((y == kind) & (guess == kind)).sum()), float((y == kind).sum() + (guess == kind).sum())
            f1.append(2 * right / either if either else 0.0)
            at = np.flatnonzero(classes == kind)
            probability = told[rows, at[0]] if len(at) else np.zeros(len(rows))
            if 0 < (y == kind).sum() < len(y):
                areas.append(auroc(probability[y == kind], probability[y != kind])[0])
        return {"f1": float(np.mean(f1)), "auroc": float(np.mean(areas)) if areas else float("nan")}

    return score


def _numbers(x: Floats, target: Floats, held: Floats, categorical: list[bool], seed: int) -> Score:
    from sklearn.ensemble import HistGradientBoostingRegressor

    guesses = HistGradientBoostingRegressor(categorical_features=categorical, random_state=seed).fit(x, target).predict(held)

    def score(truth: Floats, rows: NDArray[np.int64]) -> dict[str, float]:
        y = truth[rows]
        wrong, spread = float(np.square(y - guesses[rows]).mean()), float(y.var())
        return {"r2": 1 - wrong / spread if spread > 0 else float("nan"), "rmse": wrong**0.5}

    return score
