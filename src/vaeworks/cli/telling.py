"""vae report, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vaeworks.cli.options import DataDir, Device, Json, Limit, RunFolder, RunSeed, Split, as_learned, emit, open_model, output_path, say, seed_of

if TYPE_CHECKING:
    from vaeworks.reporting import Diagnosis

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(report)
    app.command()(doctor)


def report(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The .html file to write.", show_default="RUN/report.html")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Make the page of a run anew: one file with figures, curves, samples, reconstructions, traversals, the latent map and the doctor's findings.

    Reads: the run, and its data from where it learned them; without them the page is made from what the folder holds.

    Writes: one .html file that needs nothing else.

    Example: [bold]vae report runs/digits -o digits.html[/]
    """
    from vaeworks.runs.remake import remake

    path = output_path(out or run / "report.html", suffixes=(".html",), folders=False)
    model = open_model(run, device)
    reading: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
    remake(model, run, path, say=say, **reading)
    say(f"Wrote {path}, {path.stat().st_size / 1e6:.1f} MB: open it in any browser.")


def doctor(
    run: RunFolder,
    data: Annotated[
        str | None, typer.Argument(metavar="[DATA]", help="Items to examine it with.", show_default="the test items of the data it was trained on")
    ] = None,
    data_dir: DataDir = None,
    split: Split = None,
    limit: Limit = None,
    seed: RunSeed = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Say what is wrong with a trained model, what that means, and which knob or command mends it.

    Looks at the course of training, over- and underfitting, posterior collapse, the decoder, the prior and its components, samples, scales at their bound, the amount and
    range of data, and importance samples. Finding something wrong is no error.

    Reads: the run and items, by default its own held-out ones.

    Writes: findings to standard output, as JSON with --json.

    Example: [bold]vae doctor runs/digits --json[/]
    """
    from vaeworks.runs.doctor import diagnose, patient_of

    model = open_model(run, device)
    chosen = seed_of(run, seed)
    asked: dict[str, Any] = {"data_dir": data_dir, "split": split, "limit": limit}
    reading = {name: value for name, value in asked.items() if value is not None}
    if data is not None:
        reading |= as_learned(run)
    found = diagnose(patient_of(model, run, data, chosen, **reading))
    emit(found.to_json(), as_json, lambda: _lines(found))


def _lines(found: Diagnosis) -> None:
    """The findings, problems first, and then what was looked at."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    for one in found.findings:
        color, word = ("red", "Problem") if one.problem else ("yellow", "Note")
        console.print(f"[bold {color}]{word}: {escape(one.name)}[/]")
        console.print(f"  {escape(one.meaning)}")
        console.print(f"  Measured: {escape(one.measured)}")
        console.print(f"  {escape(one.cure)}")
        for command in one.commands:
            console.print(f"    [bold]{escape(command)}[/]")
        console.print()
    problems, notes = len(found.problems), len(found.findings) - len(found.problems)
    console.print("Looked at:")
    for examined in found.examined:
        console.print(f"  {escape(examined.name)}: {escape(examined.measured)}")
    verdict = f"{problems} problem{'s' * (problems != 1)}" if problems else "Nothing is wrong"
    console.print(f"[bold]{verdict}{f', {notes} note' + 's' * (notes != 1) if notes else ''}.[/]")
