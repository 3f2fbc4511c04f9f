"""vae info, check."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vaeworks.cli.options import Json, RunFolder, Seed, emit, open_model, say
from vaeworks.cli.tables import check_table

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(info)
    app.command()(check)


def info(run: RunFolder, as_json: Json = False) -> None:
    """Say what a run folder holds: the data, the recipe, the size and the figures.

    Reads: the run.

    Writes: to standard output, as JSON with --json.

    Example: [bold]vae info runs/digits[/]
    """
    import json

    model = open_model(run, "cpu")
    size = sum(p.numel() for p in model.vae.parameters())
    figures_file = run / "figures.json"
    figures = json.loads(figures_file.read_text("utf-8")) if figures_file.is_file() else None
    facts = {"schema": model.schema.to_json(), "recipe": model.recipe.values, "parameters": size, "figures": figures}

    def lines() -> None:
        s = model.schema
        print(
            f"Data: {s.source}, {s.count} training items of shape {'x'.join(map(str, s.shape))}, {', '.join(f'{k} {v}' for k, v in s.protocol.items())}."
        )
        print(
            f"Recipe: {model.recipe.name}, {model.recipe['latent_size']} latent dimensions, likelihood {model.recipe['likelihood']['kind']}, {size:,} parameters."
        )
        for name, figure in (figures or {}).get("figures", {}).items():
            error = f" ± {figure['standard_error']:.3g}" if figure["standard_error"] is not None else ""
            print(f"{name}: {figure['value']:.4f}{error} {figure['unit']}")

    emit(facts, as_json, lines)


def check(
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Compare every estimator on this machine with models whose answer is known exactly.

    Reads: nothing.

    Writes: a line a check to standard output; the exit code is 1 where one fails.

    Example: [bold]vae check[/]
    """
    from dataclasses import asdict

    from vaeworks.check import run_checks

    results = run_checks(device=device, progress=say if sys.stderr.isatty() else None, seed=seed)
    failed = [r.name for r in results if not r.passed]
    emit({"checks": [asdict(r) for r in results], "passed": not failed}, as_json, lambda: check_table(results))
    if failed:
        say(f"{len(failed)} of {len(results)} checks failed: {', '.join(failed)}. Please report this with the table above.")
        raise typer.Exit(1)
    say(f"All {len(results)} checks passed in {sum(r.seconds for r in results):.0f} s.")
