"""vae evaluate, score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vaeworks.cli.options import Data, DataDir, Device, Json, Limit, Out, RunFolder, Samples, Seed, Split, counter, data_options, emit, open_model, output_path, say
from vaeworks.cli.tables import figures_table

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(evaluate)
    app.command()(score)


def evaluate(
    run: RunFolder,
    data: Annotated[str | None, typer.Argument(metavar="[DATA]", help="What to measure on.", show_default="the test items of the data it was trained on")] = None,
    samples: Samples = 1000,
    data_dir: DataDir = None,
    split: Split = None,
    limit: Limit = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure log p(x), ELBO, KL, bits per dimension and active units on held-out items.

    Example: [bold]vae evaluate runs/digits digits --samples 5000 --json[/]
    """
    model = open_model(run, device)
    options = data_options(seed=seed, data_dir=data_dir, split=split or (None if data else "test"), limit=limit)
    items = model.items(data or model.schema.source, options)
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
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Write log p(x) of every item in nats, with its standard error, effective sample size and ELBO.

    Example: [bold]vae score runs/photos photos/ -o scores.parquet[/]
    """
    from vaeworks.cli.frames import item_columns, write_table

    out = output_path(out, suffixes=(".parquet", ".csv"), folders=False)
    model = open_model(run, device)
    items = model.items(data, data_options(seed=seed, data_dir=data_dir, split=split, limit=limit))
    with counter("importance sampling", len(items)) as advance:
        result = model.log_prob(items, samples, seed=seed, progress=advance)
    columns = item_columns(items, model.schema.classes)
    columns |= {name: getattr(result, name).double().cpu().numpy() for name in ("value", "standard_error", "effective_sample_size", "elbo")}
    columns["log_px"] = columns.pop("value")
    write_table(out, columns)
    say(f"Wrote log p(x) of {len(items)} items to {out}; their mean is {float(result.value.mean()):.3f} nats.")
