"""The figures of a model of tables: what its synthetic rows are worth, and what they give away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from vaeworks.evaluation.efficacy import Efficacy, efficacy
from vaeworks.evaluation.fidelity import BINS, MOST_PAIRS, fidelity
from vaeworks.evaluation.figures import Figure, Figures
from vaeworks.evaluation.memorisation import closest_records, membership
from vaeworks.evaluation.tabular import Kinds

if TYPE_CHECKING:
    from polars import DataFrame

__all__ = ["table_figures"]

LEAK = 3.0
"""Standard errors above one half from which memorisation is warned of."""


def table_figures(
    train: DataFrame,
    test: DataFrame,
    synthetic: DataFrame,
    kinds: Kinds,
    *,
    target: str | None = None,
    scores: tuple[Tensor, Tensor] | None = None,
    seed: int = 0,
) -> Figures:
    """Shapes, trends, efficacy and memorisation of ``synthetic`` rows, ``train`` being what was learned from and ``test`` real rows that were not.

    ``kinds`` names the columns to compare as "number" or "category"; ``target`` is predicted by gradient boosting, where it is given; ``scores`` are log p(x) of training and of
    held-out rows, for the membership inference. What real held-out rows score in place of synthetic ones is told in the meanings: no generator is expected to do better.
    """
    found = _fidelity(train, test, synthetic, kinds, seed)
    protocol: dict[str, object] = {
        "table_rows": {"train": len(train), "test": len(test), "synthetic": len(synthetic)},
        "table_columns": dict(kinds),
        "pairs": f"at most {MOST_PAIRS}; numbers beside categories in {BINS} bins of equal width over the training values",
    }
    if target is not None:
        found |= _efficacy(train, test, synthetic, kinds, target, seed)
        protocol["efficacy"] = f"scikit-learn's HistGradientBoosting predicts {target!r} of real test rows"
    memorised, warnings = _memorisation(train, test, synthetic, kinds, scores, seed)
    return Figures(found | memorised, protocol, tuple(warnings))


def _fidelity(train: DataFrame, test: DataFrame, synthetic: DataFrame, kinds: Kinds, seed: int) -> dict[str, Figure]:
    own, floor = fidelity(train, synthetic, kinds, seed=seed), fidelity(train, test, kinds, bootstraps=0, seed=seed)
    worst = sorted(own.shapes.items(), key=lambda item: -item[1])[:3]
    shapes = f"mean over columns of Kolmogorov-Smirnov (numbers) and total variation (categories) to training rows; {floor.shape_error:.2%} of test rows; worst: "
    found = {
        "column_shape_error": Figure(100 * own.shape_error, "%", 100 * own.shape_standard_error, shapes + ", ".join(f"{n} {e:.1%}" for n, e in worst))
    }
    if own.pairs:
        trends = f"mean over pairs of half the difference of correlations, or total variation of contingency tables, to training rows; {floor.pair_error:.2%} of test rows"
        found["pair_trend_error"] = Figure(100 * own.pair_error, "%", 100 * own.pair_standard_error, trends)
    if train.null_count().sum_horizontal()[0] or synthetic.null_count().sum_horizontal()[0]:
        found["missing_share_error"] = Figure(100 * own.missing_error, "%", None, "mean over columns of how far the share of missing cells is off")
    return found


def _efficacy(train: DataFrame, test: DataFrame, synthetic: DataFrame, kinds: Kinds, target: str, seed: int) -> dict[str, Figure]:
    taught: Mapping[str, Efficacy] = {
        "synthetic": efficacy(synthetic, test, kinds, target, seed=seed),
        "real": efficacy(train, test, kinds, target, seed=seed),
    }
    units = {"f1": "macro F1", "auroc": "AUROC", "r2": "R2", "rmse": "RMSE"}
    return {
        f"efficacy_{name}{'_of_real' if rows == 'real' else ''}": Figure(
            value, units[name], one.standard_errors[name], f"{target}, told by gradient boosting trained on {rows} rows, of {one.rows} real test rows"
        )
        for name in taught["real"].scores
        for rows, one in taught.items()
        for value in (one.scores[name],)
    }


def _memorisation(
    train: DataFrame, test: DataFrame, synthetic: DataFrame, kinds: Kinds, scores: tuple[Tensor, Tensor] | None, seed: int
) -> tuple[dict[str, Figure], list[str]]:  # fmt: skip
    records, warnings = closest_records(train, test, synthetic, kinds, seed=seed), []
    found = {
        "closest_record_share": Figure(
            records.nearer, "share", records.nearer_standard_error,
            f"synthetic rows nearer to {records.against} training rows than to as many test rows: 0.5 where nothing is memorised",
        ),
        "closest_record_distance": Figure(
            records.fifth, "Gower distance", None, f"5th percentile over {records.rows} synthetic rows, to the nearest training row; {records.held_fifth:.4g} of test rows",
        ),
        "copies": Figure(100 * records.copies, "%", None, f"synthetic rows that are a training row in every column; {records.held_copies:.2%} of test rows"),
    }  # fmt: skip
    if records.nearer - 0.5 > LEAK * records.nearer_standard_error:
        warnings.append(
            f"{records.nearer:.1%} of the synthetic rows are nearer to training rows than to test rows: the model memorises; train for less, or a smaller network"
        )
    if scores is not None:
        area, error = membership(*(each.double().cpu().numpy() for each in scores))
        found["membership_auroc"] = Figure(area, "AUROC", error, "of log p(x) telling training rows from test rows: 0.5 where nothing leaks")
        if area - 0.5 > LEAK * error:
            warnings.append(
                f"log p(x) tells training rows from test rows with an AUROC of {area:.2f}: do not give away the model where its rows are secret"
            )
    return found, warnings
