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
    as_learned,
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
    annealed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=10,
            help="log p(x) by annealed importance sampling over N temperatures too, and from both sides on items drawn from the model; slow.",
            show_default=False,
        ),
    ] = None,
    gaps: Annotated[bool, typer.Option("--gaps", help="What the family of q costs, and what one encoder for all items costs; slow.")] = False,
    information: Annotated[
        bool, typer.Option("--information", help="What codes tell of x, and how far all codes together are from the prior.")
    ] = False,
    probes: Annotated[bool, typer.Option("--probes", help="Labels read off codes, by a linear classifier and by neighbours; needs labels.")] = False,
    sample_quality: Annotated[
        bool,
        typer.Option(
            "--sample-quality",
            help="Pictures: precision, recall, density, coverage and Frechet distance of samples, in a named space of features. Tables: columns, pairs of them, "
            "what a learner gets from drawn rows, and what they give away of those learned from.",
        ),
    ] = False,
    target: Annotated[
        str | None, typer.Option(help="Tables: the column that the learner of --sample-quality foretells.", show_default="the last of few categories")
    ] = None,
    disentanglement: Annotated[
        bool, typer.Option("--disentanglement", help="MIG, DCI, SAP, modularity, FactorVAE and beta-VAE scores; needs factors (sprites have them).")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of these that the model and the data allow.")] = False,
    data_dir: DataDir = None,
    split: Split = None,
    limit: Limit = None,
    seed: RunSeed = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure log p(x), ELBO, KL, bits per dimension and active units on held-out items, and what else is asked for.

    Reads: the run, and DATA, or the test items of what it was trained on.

    Writes: each figure with its standard error and protocol to standard output, as JSON with --json.

    Example: [bold]vae evaluate runs/digits digits --samples 5000 --information --probes --json[/]
    """
    from dataclasses import replace

    import torch

    from vaeworks.evaluation import STUDIES, Setting, further
    from vaeworks.runs import data_of

    model = open_model(run, device)
    seed = seed_of(run, seed)
    source, options = data_of(run, data, model.schema.source, data_options(seed=seed, **as_learned(run)))
    asked: dict[str, Any] = {"data_dir": data_dir, "split": split, "limit": None if data is None else limit}
    options = replace(options, say=say, **{name: value for name, value in asked.items() if value is not None})
    items = model.items(source, options)
    if data is None and limit is not None:  # of what the run holds out: fewer items to split would be held out otherwise
        items = items[torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))[:limit]]
    chosen = {
        "annealed": annealed is not None, "gaps": gaps, "information": information, "probes": probes, "sample-quality": sample_quality,
        "disentanglement": disentanglement,
    }  # fmt: skip
    names = [name for name in STUDIES if everything or chosen[name]]
    learning = data is None and split is None and {"probes", "sample-quality"} & set(names)
    setting = Setting(
        model.vae,
        model.schema,
        items,
        learned=model.items(source, replace(options, split="train")) if learning else None,
        samples=samples,
        temperatures=annealed or 1000,
        target=target,
        seed=seed,
        device=model.device,
        counter=counter,
    )
    more = further(setting, names, strict=not everything)
    with counter("importance sampling", len(items)) as advance:
        figures = model.evaluate(items, samples, seed=seed, progress=advance)
    emit(figures.joined(more).to_json(), as_json, lambda: figures_table(figures.joined(more)))


def score(
    run: RunFolder,
    data: Data,
    out: Out,
    statistic: Annotated[
        Any,
        typer.Option(
            help="What is strange: a low log p(x) (log-px; of rows with every number as its normal score, whatever the units: standardised), one far from usual"
            " (typicality), or a low one for the item's complexity, or its parts' frequencies (ratio).",
            show_default="standardised for tables, else log-px",
        ),
    ] = None,
    fdr: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Select anomalies, at most this share of them false in the mean.", min=0, max=1, show_default=False),
    ] = None,
    attribution: Annotated[
        bool,
        typer.Option("--attribution", help="Tell what of an item is strange: columns because_NAME of a table, tokens of text, heat maps beside OUT."),
    ] = False,
    samples: Annotated[
        int | None, typer.Option("--samples", "-k", help="Importance samples per item.", min=1, show_default="those of the run's calibration")
    ] = None,
    data_dir: DataDir = None,
    split: Split = None,
    limit: Limit = None,
    seed: RunSeed = None,
    device: Device = "auto",
) -> None:
    """Write log p(x) of every item in nats, with its standard error, effective sample size and ELBO, and how often held-out items are as strange, as a p-value.

    Reads: the run and DATA.

    Writes: a row an item to -o, .parquet or .csv; with --attribution of pictures and sounds a .png beside it.

    Example: [bold]vae score runs/photos photos/ -o scores.parquet --fdr 0.05[/]
    """
    from vaeworks.cli.frames import attribution_columns, item_columns, score_columns, write_table
    from vaeworks.evaluation import item_batches
    from vaeworks.evaluation.figures import hidden
    from vaeworks.reporting import heat_map_sheet, save_png
    from vaeworks.runs import recalibrate

    out = output_path(out, suffixes=(".parquet", ".csv"), folders=False)
    model = open_model(run, device)
    items = model.items(data, data_options(seed=seed_of(run, seed), data_dir=data_dir, split=split, limit=limit, **as_learned(run)))
    calibration, reason = model.calibration, ""
    samples = samples or (1000 if calibration is None else calibration.reference.samples)
    if seed is None:
        seed = seed_of(run, None) if calibration is None else calibration.seed
    if not model.point and (calibration is None or calibration.fault(model.vae, samples)):
        say(f"Scoring held-out items of the run with {samples} importance samples, to compare with.")
        reading: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
        calibration, reason = recalibrate(run, model, samples, seed=seed, **reading)
    if reason:
        say(f"No p-values: {reason}.")
    with counter("importance sampling", len(items)) as advance:
        scores = model.score(
            items, statistic=statistic, samples=samples, seed=seed, fdr=fdr, attribution=attribution, calibration=calibration, progress=advance
        )
    columns = item_columns(items, model.schema.classes) | score_columns(scores)
    told = scores.attribution
    if told is not None and len(told.index):
        strangest = next(item_batches(hidden(items[told.index], model.schema), model.schema, len(told.index), seed))
        if model.schema.kind in {"image", "audio"}:
            titles = [str(items.names[i]) if items.names else f"item {i}" for i in told.index.tolist()]
            save_png(heat_map_sheet(model.schema, strangest.x.cpu(), told.terms, titles), out.with_suffix(".png"))
            say(f"Look at {out.with_suffix('.png')}: the {len(told.index)} strangest items above the nats that their parts add to log p(x).")
        else:
            columns |= attribution_columns(model.schema, strangest.x.cpu(), told.terms)
    write_table(out, columns)
    say(f"Wrote log p(x) of {len(items)} items to {out}; their mean is {float(scores.log_prob.value.mean()):.3f} nats.")
    if scores.selected is not None and calibration is not None:
        smallest = 1 / (len(calibration.reference) + 1)
        least = (
            "" if scores.selected.any() else f" (no p-value can be below {smallest:.2g}, for there are {len(calibration.reference)} held-out items)"
        )
        say(f"Selected {int(scores.selected.sum())} of {len(items)} items at a false discovery rate of {fdr:g}{least}.")
