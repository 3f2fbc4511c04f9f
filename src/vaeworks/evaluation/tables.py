"""The figures of a model of tables: what its synthetic rows are worth, and what they give away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.evaluation.efficacy import Efficacy, efficacy
from vaeworks.evaluation.fidelity import BINS, MOST_PAIRS, fidelity
from vaeworks.evaluation.figures import Figure, Figures
from vaeworks.evaluation.memorisation import closest_records, membership
from vaeworks.evaluation.tabular import Kinds
from vaeworks.model import VAE, TableSchema

if TYPE_CHECKING:
    from polars import DataFrame

__all__ = ["comparable", "default_target", "kinds_of", "row_figures", "synthetic_rows", "table_figures"]

LEAST, WIDE = 50, 200
"""Rows below which, and columns above which, nothing is said of drawn rows unasked."""
FEW = 20
"""Categories that a column to be foretold has at most."""
LEAK = 3.0
"""Standard errors above one half from which memorisation is warned of."""


def kinds_of(schema: TableSchema) -> Kinds:
    """What each modelled column is compared as."""
    return {c.name: "category" if c.kind in {"categorical", "boolean"} else "number" for c in schema.modelled}


def comparable(schema: TableSchema, x: Tensor, observed: Tensor | None = None) -> DataFrame:
    """x (N, D) as a frame of the modelled columns, dates as numbers whatever form they are written in."""
    import polars as pl

    frame = schema.to_frame(x, observed).select([column.name for column in schema.modelled])
    dates = {column.name: column.read(frame[column.name])[0] for column in schema.modelled if column.kind == "datetime"}
    return frame.with_columns(pl.Series(name, moments).fill_nan(None) for name, moments in dates.items())


def default_target(schema: TableSchema) -> str:
    """The column that is foretold where nobody names one: the last of few categories, else the last."""
    named = [c.name for c in schema.modelled if c.kind in {"categorical", "boolean"} and len(c.categories) <= FEW]
    return (named or [c.name for c in schema.modelled])[-1]


@torch.inference_mode()
def synthetic_rows(
    vae: VAE, schema: TableSchema, n: int, *, context: Tensor | None = None, seed: int = 0, device: torch.device | str = "cpu"
) -> DataFrame:
    """n rows drawn from the model, ``comparable``, for the context (n, C) of each where it is conditional."""
    drawn = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for start in range(0, n, 500):
            here = None if context is None else context[start : start + 500].to(device)
            drawn.append(vae.generate(min(500, n - start), here).sample().cpu())
    return comparable(schema, torch.cat(drawn))


def row_figures(vae: VAE, items: Items, schema: TableSchema, *, seed: int = 0, device: torch.device | str = "cpu") -> Figures:
    """How far the columns of drawn rows, and pairs of them, are from those of as many held-out ``items``; nothing where there are too few to tell."""
    if len(items) < LEAST or len(schema.modelled) > WIDE:
        return Figures({}, {})
    batch = items.batch(schema, slice(None))
    drawn = synthetic_rows(vae, schema, len(items), context=batch.context, seed=seed, device=device)
    own = fidelity(comparable(schema, batch.x, batch.observed), drawn, kinds_of(schema), seed=seed)
    worst = ", ".join(f"{name} {error:.1%}" for name, error in sorted(own.shapes.items(), key=lambda item: -item[1])[:3])
    among = f"{len(items)} drawn rows beside as many held-out ones"
    figures = {
        "column_shape_error": Figure(
            100 * own.shape_error,
            "%",
            100 * own.shape_standard_error,
            f"mean over columns of Kolmogorov-Smirnov or total variation, {among}; worst: {worst}",
        )
    }
    if own.pairs:
        figures["pair_trend_error"] = Figure(
            100 * own.pair_error,
            "%",
            100 * own.pair_standard_error,
            "mean over pairs of columns of the error of their correlation or contingency table",
        )
    return Figures(figures, {})


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
