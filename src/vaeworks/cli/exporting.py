"""vae export, push."""

from __future__ import annotations

from typing import Annotated

import typer

from vaeworks.cli.options import Json, Out, RunFolder, emit, open_model, say

__all__ = ["add_to"]

License = Annotated[str | None, typer.Option(help="The model's licence by its name on the hub, such as apache-2.0.", show_default="left to you")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(export)
    app.command()(push)


def export(
    run: RunFolder,
    out: Out,
    format: Annotated[str, typer.Option(help="onnx, torch (torch.export programs) or safetensors.")] = "onnx",
    only: Annotated[list[str] | None, typer.Option(help="encoder, decoder or sampler; as often as needed.", show_default="all three")] = None,
    license: License = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
    as_json: Json = False,
) -> None:
    """Write graphs that run without this library, each compared with torch, with a script that shows how and a model card.

    Reads: the run.

    Writes: a folder: encoder, decoder and sampler, what their numbers mean as JSON, the script and README.md, the card. Nothing is left where a graph differs from torch.

    Example: [bold]vae export runs/digits -o digits-onnx --license cc-by-4.0[/]
    """
    from dataclasses import asdict

    from vaeworks.errors import VaeworksError
    from vaeworks.runs import export_model

    if format not in {"onnx", "torch", "safetensors"}:
        raise VaeworksError(f"--format {format}: no such format; choose onnx, torch or safetensors")
    model = open_model(run, "cpu")
    done = export_model(model, out, format=format, only=only or (), license=license, run=run, overwrite=overwrite, progress=say)  # type: ignore[arg-type]
    facts = {**asdict(done), "folder": str(done.folder)}
    emit(facts, as_json, lambda: say(f"Wrote {', '.join(done.files)} into {done.folder}."))


def push(
    run: RunFolder,
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", help="A repository of the Hugging Face hub.", show_default=False)],
    license: License = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[str | None, typer.Option(help="A branch other than main.", show_default=False)] = None,
) -> None:
    """Upload a model and its card to the Hugging Face hub; log in with [bold]hf auth login[/] first.

    Reads: the run.

    Writes: to the repository; its address to standard output.

    Example: [bold]vae push runs/digits me/digits-vae --license cc-by-4.0 --private[/]
    """
    address = open_model(run, "cpu").push_to_hub(repo, license=license, private=private or None, branch=revision)
    print(address)
