"""vae evaluate, score."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vaeworks.cli.options import (
    Data,
    DataDir,
    Device,
    Json,
    Limit,
    Out,
    RunFolder,
    RunSeed,
    Samples,
    Split,
    counter,
    data_options,
    emit,
    open_model,
    output_path,
    say,
    seed_of,
)
from vaeworks.cli.tables import figures_table

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(evaluate)
    app.command()(score)


def evaluate(
    run: RunFolder,
    data: Annotated[
        str | None, typer.Argument(metavar="[DATA]", help="What to measure on.", show_default="the test items of the data it was trained on")
    ] = None,
    samples: Samples = 1000,
    data_dir: DataDir = None,
    split: Split = None,
    limit: Limit = None,
    seed: RunSeed = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure log p(x), ELBO, KL, bits per dimension and active units on held-out items.

    Example: [bold]vae evaluate runs/digits digits --samples 5000 --json[/]
    """
    from dataclasses import replace

    from vaeworks.runs import held_out_of

    model = open_model(run, device)
    seed = seed_of(run, seed)
    known = held_out_of(run) if data is None else None
    source, options = known or (data or model.schema.source, data_options(seed=seed, split=None if data else "test"))
    asked: dict[str, Any] = {"data_dir": data_dir, "split": split, "limit": limit}
    items = model.items(source, replace(options, say=say, **{name: value for name, value in asked.items() if value is not None}))
    with counter("importance sampling", len(items)) as advance:
        figures = model.evaluate(items, samples, seed=seed, progress=advance)
    emit(figures.to_json(), as_json, lambda: figures_table(figures))


def score(
    run: RunFolder,
    data: Data,
    out: Out,
    samples: Samples = 1000,
    data_dir: DataDir = None,
    split: Split = None,
    limit: Limit = None,
    seed: RunSeed = None,
    device: Device = "auto",
) -> None:
    """Write log p(x) of every item in nats, with its standard error, effective sample size and ELBO.

    Example: [bold]vae score runs/photos photos/ -o scores.parquet[/]
    """
    from vaeworks.cli.frames import item_columns, write_table

    out = output_path(out, suffixes=(".parquet", ".csv"), folders=False)
    model = open_model(run, device)
    seed = seed_of(run, seed)
    items = model.items(data, data_options(seed=seed, data_dir=data_dir, split=split, limit=limit))
    with counter("importance sampling", len(items)) as advance:
        result = model.log_prob(items, samples, seed=seed, progress=advance)
    columns = item_columns(items, model.schema.classes)
    columns |= {name: getattr(result, name).double().cpu().numpy() for name in ("value", "standard_error", "effective_sample_size", "elbo")}
    columns["log_px"] = columns.pop("value")
    write_table(out, columns)
    say(f"Wrote log p(x) of {len(items)} items to {out}; their mean is {float(result.value.mean()):.3f} nats.")
