"""Filling in what is missing of items, and drawing rows under conditions: observed values stay, the rest is drawn from p(x | what is seen)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaeworks.data import Items, Options, read_items
from vaeworks.data.holes import gap, holes, seen_samples, without_nan
from vaeworks.data.texts import read_gapped
from vaeworks.errors import DataError, VaeworksError
from vaeworks.evaluation import FEW, Evidence, Proposals, fill
from vaeworks.evaluation.figures import hidden
from vaeworks.model import AudioSchema, ImageSchema, TableSchema, TextSchema, asked
from vaeworks.trace import Batch

if TYPE_CHECKING:
    from vaeworks.distributions import Observable
    from vaeworks.runs.model import Model

__all__ = ["Imputation", "Missing", "conditional_rows", "filled_waves", "impute", "read_missing"]

MOST = 200
"""Times as many proposals as were asked for that a rare condition may cost."""
_NUMBERS = 20_000_000


@dataclass(frozen=True)
class Missing:
    """Items some of whose coordinates are not known."""

    items: Items
    """As the model reads them, ``observed`` False where missing."""
    values: Tensor
    """(N, *) stored values before anything was hidden; what is kept of them stays as it is."""
    kept: Tensor
    """Bool, of the shape of ``values``: what stays."""
    strings: tuple[str, ...] = ()
    """The items themselves, where they are text, with their marks."""
    mark: str = "_"


@dataclass(frozen=True)
class Imputation:
    """Items filled in, M draws of each, or one of best values."""

    values: Tensor
    """(M, N, *) stored values, as given where they were."""
    missing: Missing
    x: Tensor
    """(M, N, *shape)."""
    effective_sample_size: Tensor
    """(N,) of the codes that stand for p(z | what is seen)."""
    log_prob: Tensor
    """(N,) log p(what is seen) in nats, as estimated on the way."""
    samples: int
    """K, proposals of each item."""
    strings: tuple[tuple[str, ...], ...] = ()
    """M times N strings, where items are text."""
    hiding: bool = False
    """Whether the encoder has learned from items with something hidden."""

    @property
    def warning(self) -> str:
        """What to tell of items whose draws are too much alike; empty where there are none."""
        poor = int((self.effective_sample_size < FEW).sum())
        if not poor:
            return ""
        least = float(self.effective_sample_size.min())
        return (
            f"{poor} of {len(self.effective_sample_size)} items have an effective sample size below {FEW} (the least {least:.1f}) of {self.samples} proposals, so that their draws"
            f" are much alike: ask for more with --samples {10 * self.samples}"
            + ("" if self.hiding else ", or train with --set training.hide=0.25, so that the encoder knows items with something missing")
        )


def read_missing(
    model: Model,
    source: Any,
    *,
    options: Options | None = None,
    mask: Any = None,
    gap_seconds: tuple[float, float] | None = None,
    gap_mark: str = "_",
    seed: int = 0,
) -> Missing:
    """``source`` with what is missing of it. DataError where nothing is, or where what says so does not go with the kind of data."""
    schema, options = model.schema, options or Options(seed=seed)
    wrong = {"mask": (mask, "image"), "gap": (gap_seconds, "audio")}
    for name, (asked_for, kind) in wrong.items():
        if asked_for is not None and schema.kind != kind:
            raise DataError(f"--{name} says what is missing of {kind}, and this is a model of {schema.kind}: leave it out")
    if isinstance(schema, TextSchema):
        items, strings = read_gapped(source, schema, options, gap_mark)
        assert items.observed is not None
        return Missing(items, items.values, items.observed, tuple(strings), gap_mark)
    most, options = options.limit, replace(options, limit=None)  # of a built-in set's held-out items, so many; not so many of which some are held out
    if isinstance(schema, AudioSchema):
        if gap_seconds is None:
            raise DataError("nothing is said to be missing of the sounds: give --gap START..END in seconds, such as --gap 0.2..0.3")
        whole = read_items(source, schema, options=options)[:most]
        return Missing(gap(whole, schema, *gap_seconds), whole.values, seen_samples(whole, schema, *gap_seconds))
    observed = None
    if isinstance(schema, ImageSchema) and not isinstance(source, Items):
        source, observed = without_nan(source, schema)
    items = source if isinstance(source, Items) else read_items(source, schema, options=options)
    if observed is not None:
        if len(observed) != len(items):
            raise DataError("pictures with NaN are read whole: leave --split out")
        items = replace(items, observed=observed)
    items = items[:most]
    if isinstance(schema, ImageSchema) and mask is not None:
        items = holes(items, schema, mask, seed)
    if items.observed is None or bool(items.observed.all()):
        how = (
            "give --mask left, right, top, bottom, center, random:0.5 or a file, or NaN in a .npy"
            if isinstance(schema, ImageSchema)
            else "no cell is empty"
        )
        raise DataError(f"nothing is missing of the {len(items)} items: {how}")
    return Missing(items, items.values, items.observed)


def impute(
    model: Model, missing: Missing, *, draws: int = 1, samples: int = 1000, seed: int = 0, progress: Callable[[int], None] | None = None
) -> Imputation:
    """``draws`` of what is missing from p(missing | seen); with 0 its best values: means, of tables medians of numbers and the most probable category, of text the most probable filling."""
    _has_density(model)
    if draws < 0 or samples < 1:
        raise VaeworksError(f"{draws} draws of {samples} proposals: ask for 0 draws (best values) or more, of 1 proposal or more")
    schema = model.schema
    items = hidden(missing.items, schema)
    best = partial(_best_row, schema) if isinstance(schema, TableSchema) else None
    room = _NUMBERS // (samples * schema.dimensions) if best is not None and not draws else 100
    parts = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for batch in items.batches(schema, max(1, min(100, room)), torch.Generator().manual_seed(seed)):
            found = fill(model.vae, Evidence(batch.to(model.device)), draws=draws, samples=samples, best=best)
            parts.append((_padded(found.x.cpu(), schema.shape), found.effective_sample_size.cpu(), found.log_prob.cpu()))
            if progress is not None:
                progress(len(batch))
    x, effective, log_p = torch.cat([part[0] for part in parts], 1), *(torch.cat([part[i] for part in parts]) for i in (1, 2))
    x = schema.within(x)
    new = schema.to_values(x)
    values = torch.where(missing.kept, missing.values, new.to(missing.values.dtype))
    strings = _strings(schema, x, missing) if isinstance(schema, TextSchema) else ()
    return Imputation(values, missing, x, effective, log_p, samples, strings, bool(model.recipe["training"]["hide"]))


def conditional_rows(
    model: Model, n: int, given: Mapping[str, Any], context: Tensor | None, *, samples: int = 2000, seed: int | None = None
) -> tuple[Tensor, float]:
    """n rows x (n, D) under conditions on columns, and the effective sample size of the codes that they were drawn from, the least where rows differ in context.

    More codes are proposed, up to ``MOST`` times ``samples``, until it is n, or 100. VaeworksError where none of them allows the conditions.
    """
    schema = model.schema
    if not isinstance(schema, TableSchema):
        raise VaeworksError(f"conditions on {', '.join(given)} are for the columns of a table, and this is a model of {schema.kind}: leave them out")
    _has_density(model)
    wish = asked(schema, given)
    alike = context is None or bool((context == context[:1]).all())
    rows, draws = (1, n) if alike else (n, 1)
    at = [t.expand(rows, -1).to(model.device) for t in (wish.x, wish.observed, wish.within, wish.low, wish.high)]
    batch = Batch(at[0], at[1], None if context is None else context[:rows])
    evidence = Evidence(batch, *(at[2:] if bool(wish.within.any()) else ()))
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        found = fill(model.vae, evidence, draws=draws, samples=samples, least=float(max(FEW, min(n, 100))) if alike else FEW, most=MOST * samples)
    if not bool((found.log_prob > -math.inf).all()):
        told = ", ".join(f"{name}={value}" for name, value in given.items())
        raise VaeworksError(
            f"none of {found.samples} codes allows {told}: the conditions contradict each other, or no row of the training data was like it; widen one"
        )
    return found.x.reshape(n, -1).cpu(), float(found.effective_sample_size.min())


def _has_density(model: Model) -> None:
    if model.recipe["posterior"]["kind"] == "point":
        raise VaeworksError(
            "a plain autoencoder has no p(z | what is seen) to draw from: its posterior is a point without density; train a VAE recipe"
        )


def _padded(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """x (M, B, *event) as long as items can be."""
    return torch.nn.functional.pad(x, (0, shape[-1] - x.shape[-1]))


def _best_row(schema: TableSchema, p: Observable, found: Proposals) -> Tensor:
    """Of one draw from each p(x | z), weighted: the median of each number, the most frequent category, (B, D)."""
    x, share = p.sample(), found.share.to(torch.float32)
    order = x.argsort(0)
    weight = share[..., None].expand_as(x).gather(0, order).cumsum(0)
    middle = x.gather(0, order).gather(0, (weight < 0.5).sum(0, keepdim=True).clamp_max(len(x) - 1))[0]
    for j, column in enumerate(schema.modelled):
        if column.kind in {"categorical", "boolean"}:
            votes = share.new_zeros(len(column.categories), x.shape[1]).scatter_add_(0, x[..., j].round().long(), share)
            middle[:, j] = votes.argmax(0).to(middle)
    return middle


def _strings(schema: TextSchema, x: Tensor, missing: Missing) -> tuple[tuple[str, ...], ...]:
    """Each string with its gaps filled; where tokens are characters, letter by letter, so that what the tokenizer does not know stays as well."""
    if schema.unit != "characters":
        return tuple(tuple(schema.to_raw(one)) for one in x)
    filled = []
    for one in x:
        at = [[i for i, letter in enumerate(string) if letter == missing.mark] for string in missing.strings]
        letters = iter(schema.to_raw(torch.tensor([[int(row[i]), 1] for row, places in zip(one, at, strict=True) for i in places])))
        filled.append(tuple(_written(string, missing.mark, letters) for string in missing.strings))
    return tuple(filled)


def _written(string: str, mark: str, letters: Iterator[str]) -> str:
    return "".join(next(letters) if letter == mark else letter for letter in string)


def filled_waves(imputation: Imputation) -> list[list[NDArray[np.float32]]]:
    """M times N waveforms (n,) in [-1, 1]: the samples outside the gap are those of the file."""
    lengths = imputation.missing.items.lengths
    assert lengths is not None
    return [[(v[0, : int(n)].float() / 32768).numpy() for v, n in zip(one, lengths, strict=True)] for one in imputation.values]
