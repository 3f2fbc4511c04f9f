"""Scores: how strange items are under a model, how often held-out items are as strange, and what of them is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.errors import VaeworksError
from vaeworks.evaluation import STATISTICS, LogProb, Statistic, benjamini_hochberg
from vaeworks.evaluation.figures import hidden
from vaeworks.evaluation.measures import log_measure
from vaeworks.model import AudioSchema, ImageSchema, TableSchema
from vaeworks.runs.calibration import ScoreCalibration

if TYPE_CHECKING:
    from vaeworks.runs.model import Model

__all__ = ["Attribution", "Scores", "score"]

SHOWN = 16
"""Of pictures and sounds, how many of the strangest are looked into."""


@dataclass(frozen=True)
class Attribution:
    """What each coordinate of an item adds to its log-probability: E[log p(x_i | z)] under p(z | x) in nats, zero where nothing is observed; numbers of rows as normal scores."""

    index: Tensor
    """(M,) the numbers of the items."""
    terms: Tensor
    """(M, *event)."""
    relative: bool
    """Whether that is told less the mean over held-out items."""


@dataclass(frozen=True)
class Scores:
    """Of N items how probable each is, and how strange."""

    log_prob: LogProb
    """log p(x) with its errors."""
    statistic: Statistic
    """What strangeness is measured by."""
    values: Tensor
    """(N,) the statistic, float64: for typicality large is strange, for others low."""
    p_values: Tensor | None
    """(N,) float64, conformal: an item that is drawn as the held-out ones were has p <= t with probability t at most. None where there is nothing to compare with."""
    reason: str
    """Why there are no p-values, as a clause; nothing where there are."""
    selected: Tensor | None = None
    """(N,) bool, the items selected at the false discovery rate that was asked for."""
    attribution: Attribution | None = None

    def __len__(self) -> int:
        return len(self.values)


def score(
    model: Model,
    items: Items,
    *,
    statistic: Statistic | None = None,
    samples: int | None = None,
    seed: int | None = None,
    fdr: float | None = None,
    attribution: bool = False,
    calibration: ScoreCalibration | None = None,
    progress: Callable[[int], None] | None = None,
) -> Scores:
    """The scores of ``items``: ``Model.score`` says what of."""
    statistic = statistic or ("standardised" if isinstance(model.schema, TableSchema) else "log-px")
    if statistic not in STATISTICS:
        raise VaeworksError(f"statistic {statistic!r} is unknown: choose one of {', '.join(STATISTICS)}")
    if fdr is not None and not 0 < fdr < 1:
        raise VaeworksError(f"a false discovery rate of {fdr} is none: give one between 0 and 1, such as 0.05")
    samples = samples or (1000 if calibration is None else calibration.reference.samples)
    seed = seed if seed is not None else 0 if calibration is None else calibration.seed
    reason = "this model comes without scores of held-out items" if calibration is None else calibration.fault(model.vae, samples)
    usable = None if reason else calibration
    if usable is None and (fdr is not None or statistic == "typicality"):
        raise VaeworksError(f"{'--fdr needs p-values' if fdr is not None else 'typicality needs the mean log p(x) of held-out items'}, and {reason}")
    measure = log_measure(model.vae, hidden(items, model.schema), model.schema, seed) if isinstance(model.schema, TableSchema) else None
    beside = None
    if statistic == "standardised":
        if measure is None:
            raise VaeworksError(
                f"statistic 'standardised' measures the numbers of rows, and this is a model of {model.schema.kind}: choose log-px, typicality or ratio"
            )
        beside = measure.sum(-1)
    if statistic == "ratio":
        if usable is None or usable.background is None:
            raise VaeworksError(f"the ratio needs a background model, and {reason or 'what this one learned from is not known: choose log-px'}")
        beside = usable.background.log_prob(hidden(items, model.schema), model.schema, seed)
    few = isinstance(model.schema, ImageSchema | AudioSchema)
    found = _log_prob(model, items, samples, seed, attribution and not few, progress)
    log_px = found.value.double().cpu()
    values = log_px if beside is None else log_px - beside
    if statistic == "typicality" and usable is not None:
        values = usable.reference.statistic(statistic, log_px)
    p_values = None if usable is None else usable.reference.p_values(statistic, log_px, beside)
    told = None
    if attribution:
        index = torch.arange(len(items))
        terms = found.terms
        if few:
            index = (-values if statistic == "typicality" else values).argsort(stable=True)[:SHOWN]
            terms = _log_prob(model, items[index], samples, seed, True, None).terms
        assert terms is not None
        told = _relative(index, terms.cpu() if measure is None else terms.cpu() - measure, items[index], usable)
    return Scores(found, statistic, values, p_values, reason, None if fdr is None or p_values is None else benjamini_hochberg(p_values, fdr), told)


def _log_prob(model: Model, items: Items, samples: int, seed: int, terms: bool, progress: Callable[[int], None] | None) -> LogProb:
    try:
        return model.log_prob(items, samples, seed=seed, terms=terms, progress=progress)
    except NotImplementedError as error:
        raise VaeworksError(f"what is strange of an item cannot be told: {error}") from error


def _relative(index: Tensor, terms: Tensor, items: Items, calibration: ScoreCalibration | None) -> Attribution:
    """The terms of ``items`` less their means over held-out items, where these are known."""
    mean = None if calibration is None else calibration.reference.mean_terms
    if mean is None or items.lengths is not None or terms.shape[1:] != mean.shape:
        return Attribution(index, terms, False)
    told = terms - mean
    return Attribution(index, told if items.observed is None else told.masked_fill(~items.observed.cpu(), 0), True)
