"""vae train, compare, recipes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vaeworks.cli.completing import recipe_names, set_keys, trackers
from vaeworks.cli.options import (
    Binarise,
    By,
    Column,
    Data,
    DataDir,
    Device,
    Download,
    Json,
    Kind,
    LabelColumn,
    Labels,
    LabelsFrom,
    Length,
    Limit,
    Loudness,
    Rate,
    Representation,
    RunFolder,
    Samples,
    Seconds,
    Seed,
    Size,
    Strict,
    Tokenizer,
    Trim,
    Vocabulary,
    as_learned,
    counter,
    data_options,
    emit,
    open_model,
    output_path,
    say,
    seed_of,
)
from vaeworks.cli.tables import comparison_table, figures_table, parts_table, recipe_table
from vaeworks.errors import VaeworksError

if TYPE_CHECKING:
    from vaeworks.training import Progress

__all__ = ["add_to"]

Recipe = Annotated[
    str | None,
    typer.Option(
        help="A built-in recipe (see [bold]vae recipes[/]) or a TOML file.", show_default="chosen from the data", autocompletion=recipe_names
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a knob of the recipe, e.g. --set objective.beta=4.", show_default=False, autocompletion=set_keys
    ),
]
Epochs = Annotated[int | None, typer.Option(help="Passes over the data.", min=1, show_default="the recipe's")]
Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME",
        help="Tell wandb or mlflow as well, each an extra; give it once for each.",
        show_default="TensorBoard alone",
        autocompletion=trackers,
    ),
]
Minutes = Annotated[float | None, typer.Option("--max-minutes", help="Shorten training, and its schedule, to fit.", min=0.01, show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(train)
    app.command("fit-prior")(fit_prior)
    app.command()(compare)
    app.command()(recipes)


def train(
    data: Data,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The run folder.", show_default="runs/ and the data's name")] = None,
    recipe: Recipe = None,
    set_: Set = None,
    epochs: Epochs = None,
    max_minutes: Minutes = None,
    validation: Annotated[float | None, typer.Option(help="Share of the items held out for validation.", show_default="0.1")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder where it was stopped.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in the folder.")] = False,
    size: Size = None,
    binarise: Binarise = None,
    data_dir: DataDir = None,
    download: Download = False,
    limit: Limit = None,
    labels: Labels = None,
    strict: Strict = False,
    kind: Kind = None,
    by: By = None,
    column: Column = None,
    label: LabelColumn = None,
    tokenizer: Tokenizer = None,
    vocabulary: Vocabulary = None,
    length: Length = None,
    rate: Rate = None,
    seconds: Seconds = None,
    representation: Representation = None,
    loudness: Loudness = None,
    trim: Trim = None,
    labels_from: LabelsFrom = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    checkpoint_seconds: Annotated[float, typer.Option(help="Seconds between checkpoints.", min=0)] = 30.0,
    language_model: Annotated[
        bool, typer.Option(help="Train the same decoder without z as well, to measure against.", rich_help_panel="Reading text")
    ] = True,
    track: Track = None,
) -> None:
    """Look at DATA, pick a recipe if none is named, train, and leave a run folder.

    Reads: DATA, and nothing from the network unless --download is given.

    Writes: into the run folder recipe.toml, schema.json, model.safetensors, checkpoint/, metrics.jsonl, TensorBoard events, figures.json, samples, reconstructions, latent.png and
    report.html; the figures to standard output.

    Example: [bold]vae train photos/ -o runs/photos --max-minutes 10[/]
    """
    from vaeworks.reporting import EXHIBITS
    from vaeworks.runs import train_run

    overrides = [*(set_ or []), *([f"training.epochs={epochs}"] if epochs else [])]
    named = re.sub(r"[^\w.\-]+", "-", data.removeprefix("hf://")).strip("-.")
    folder = out or Path("runs") / (Path(data).resolve().stem if Path(data).exists() else named)
    options = data_options(
        seed=seed,
        size=size,
        binarise=binarise,
        data_dir=data_dir,
        strict=strict,
        limit=limit,
        download=download,
        validation=validation,
        labels=labels,
        kind=kind,
        by=by,
        column=column,
        label=label,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        length=length,
        rate=rate,
        seconds=seconds,
        representation=representation,
        loudness=loudness,
        trim=trim,
        labels_from=labels_from,
    )
    with _bar() as progress:
        run = train_run(
            data,
            out=folder,
            recipe=recipe,
            overrides=overrides,
            options=options,
            max_minutes=max_minutes,
            resume=resume,
            overwrite=overwrite,
            seed=seed,
            device=device,
            say=say,
            progress=progress,
            checkpoint_seconds=checkpoint_seconds,
            language_model=language_model,
            track=track or (),
            command=_command(sys.argv),
        )
    report = {
        "folder": str(folder),
        "recipe": run.model.recipe.name,
        "steps": run.history.steps,
        "seconds": run.history.seconds,
        **run.figures.to_json(),
    }
    emit(report, as_json, lambda: figures_table(run.figures))
    usual = EXHIBITS[run.model.schema.kind].suffixes[0]
    say(f"Look at {folder / f'samples{usual}'}, {folder / f'reconstructions{usual}'}, {folder / 'latent.png'} and {folder / 'report.html'}.")


def fit_prior(
    run: RunFolder,
    data: Annotated[str | None, typer.Argument(metavar="[DATA]", help="What to take codes of.", show_default="what the run was trained on")] = None,
    kind: Annotated[str, typer.Option(help="gmm, realnvp, maf, iaf, spline, vamp or two-stage.")] = "gmm",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where the model with its new prior goes.", show_default="RUN-KIND")] = None,
    set_: Set = None,
    steps: Annotated[int, typer.Option(help="Steps of Adam (a mixture needs none).", min=1)] = 3000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write into the folder even where it holds something.")] = False,
    samples: Samples = 200,
    data_dir: DataDir = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Fit a new prior to the codes of a trained model; it then serves sampling and log p(x) alike.

    Reads: the run, and DATA, or what it was trained on.

    Writes: a folder with the model and its new prior, its figures and samples; the figures to standard output.

    Example: [bold]vae fit-prior runs/digits --kind gmm --set prior.components=20[/]
    """
    import json
    from dataclasses import replace

    from vaeworks.files import replace_file
    from vaeworks.reporting import exhibit
    from vaeworks.runs import data_of
    from vaeworks.runs import fit_prior as fit

    folder = out or run.with_name(f"{run.name}-{kind}")
    if not overwrite:
        output_path(folder, suffixes=())
    model = open_model(run, device)
    source, options = data_of(run, data, model.schema.source, data_options(seed=seed_of(run, None), **as_learned(run)))
    options = replace(options, say=say, data_dir=data_dir or options.data_dir)
    train, validation, test = (model.items(source, replace(options, split=split)) for split in ("train", "validation", "test"))
    with counter("fitting the prior", steps) as advance:
        fitted = fit(
            model, train, validation if len(validation) else train, kind=kind, overrides=set_ or [], steps=steps, seed=seed, progress=advance
        )
    fitted.model.save(folder)
    if (run / "run.json").is_file():
        replace_file(folder / "run.json", (run / "run.json").read_bytes())
    drawn = exhibit(model.schema, {"samples": fitted.model.sample(64, seed=0)})
    drawn.write(folder / f"samples{drawn.suffixes[0]}")
    report: dict[str, Any] = {"folder": str(folder), "kind": kind, "log_pz": {"before": fitted.before, "after": fitted.after}}
    say(f"Mean log p(z) of validation codes: {fitted.before:.2f} nats before, {fitted.after:.2f} after.")
    if model.recipe["posterior"]["kind"] == "point":
        emit(report, as_json, lambda: None)
    else:
        with counter("importance sampling", len(test)) as advance:
            figures = fitted.model.evaluate(test, samples, seed=seed, progress=advance)
        replace_file(folder / "figures.json", json.dumps(figures.to_json(), indent=2).encode())
        emit(report | figures.to_json(), as_json, lambda: figures_table(figures))
    say(f"Look at {folder / f'samples{drawn.suffixes[0]}'}.")


def compare(
    targets: Annotated[list[str], typer.Argument(metavar="RUN... | DATA", help="Two or more run folders, or one data source with --recipe.")],
    recipe: Annotated[
        list[str] | None, typer.Option(help="A recipe to train; give it two or more times.", show_default=False, autocompletion=recipe_names)
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings per recipe, for confidence intervals.", min=1)] = 3,
    data: Annotated[str | None, typer.Option(help="What to compare run folders on.", show_default="the data they were trained on")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder for pictures and the trained models.", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write into the folder even where it holds something.")] = False,
    set_: Set = None,
    epochs: Epochs = None,
    max_minutes: Minutes = None,
    samples: Annotated[
        int | None, typer.Option("--samples", "-k", help="Importance samples per item.", min=1, show_default="from the data's size")
    ] = None,
    size: Size = None,
    binarise: Binarise = None,
    data_dir: DataDir = None,
    limit: Limit = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Set models side by side on the same held-out items, with 95 % confidence intervals.

    Reads: two or more runs and the data they were trained on; or DATA, on which each --recipe is trained --seeds times.

    Writes: the comparison to standard output; with -o a folder with samples, reconstructions, latent maps and the models that were trained.

    Example: [bold]vae compare digits --recipe mlp --recipe autoencoder --seeds 3 -o runs/versus[/]
    """
    from vaeworks.runs import begun, compare_recipes, compare_runs, data_of, show_comparison

    if out is not None and not overwrite:
        output_path(out, suffixes=())
    options = data_options(seed=seed, size=size, binarise=binarise, data_dir=data_dir, limit=limit)
    if recipe:
        if len(targets) != 1:
            raise VaeworksError(f"--recipe trains on one data source, but {len(targets)} were given: {', '.join(targets)}")
        overrides = [*(set_ or []), *([f"training.epochs={epochs}"] if epochs else [])]
        with _bar() as progress:
            result = compare_recipes(
                targets[0], recipe, seeds=seeds, overrides=overrides, options=options, max_minutes=max_minutes, samples=samples, device=device, out=out,
                say=say, progress=progress,
            )  # fmt: skip
    else:
        from vaeworks.cli.options import open_model

        folders = [Path(target) for target in targets]
        models = {target: open_model(folder, device) for target, folder in zip(targets, folders, strict=True)}
        source, options = data_of(folders[0], data, models[targets[0]].schema.source, options)
        if len({facts.data for facts in map(begun, folders) if facts is not None}) > 1:
            say("Note: these runs did not learn from the same items, so what is held out of one may be known to another: train them with one --seed.")
        result = compare_runs(models, source, samples=samples, seed=seed, options=options)
    if out is not None:
        show_comparison(result, out)
        say(f"Look at samples, reconstructions and latent-*.png in {out}.")
    emit(result.to_json(), as_json, lambda: comparison_table(result))


def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to explain.", show_default=False, autocompletion=recipe_names)] = None,
    parts: Annotated[bool, typer.Option("--parts", help="List the parts that recipes are made of, with their knobs.")] = False,
    as_json: Json = False,
) -> None:
    """List the built-in recipes, or print one in full, or list what they are made of.

    Reads: nothing but its own library.

    Writes: to standard output; a recipe is printed as the TOML that --recipe takes.

    Example: [bold]vae recipes conv[/]
    """
    from vaeworks.recipes import load_recipe, measured, recipe_names

    if parts:
        parts_table()
        return
    if name is not None:
        chosen = load_recipe(name)
        emit(chosen.values, as_json, lambda: print(chosen.to_toml(), end=""))
        return
    loaded, figures = [load_recipe(each) for each in recipe_names()], measured()["figures"]
    emit({each.name: each.values | {"measured": figures.get(each.name)} for each in loaded}, as_json, lambda: recipe_table(loaded))


@contextmanager
def _bar() -> Iterator[Any]:
    """Training's progress bar: steps, loss, rate and time left; nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    facts = TextColumn("loss {task.fields[loss]:.2f}  best {task.fields[best]}  {task.fields[rate]:,.0f} items/s")
    with Bar(
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), facts, TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("training", total=None, loss=float("nan"), best="-", rate=0.0)

        def update(progress: Progress) -> None:
            best = f"{progress.best:.2f}" if progress.best > float("-inf") else "-"
            bar.update(task, completed=progress.step, total=progress.steps, loss=progress.loss, best=best, rate=progress.items_per_second)

        yield update


def _command(arguments: list[str]) -> str:
    import shlex

    return shlex.join(["vae", *arguments[1:]])
