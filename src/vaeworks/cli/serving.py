"""vae serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vaeworks.cli.options import Device, RunFolder, open_model, say
from vaeworks.errors import VaeworksError

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command()(serve)


def serve(
    run: RunFolder,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines ask.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes one that is free.", min=0, max=65535)] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the token that requests must bring, as Authorization: Bearer TOKEN.", show_default="the environment's VAE_TOKEN, if any"
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name that requests may call this machine by, beside localhost and addresses.", show_default=False)
    ] = None,
    allow_origin: Annotated[list[str] | None, typer.Option(help="An origin whose web pages may ask (CORS).", show_default=False)] = None,
    max_body: Annotated[float, typer.Option(help="Megabytes of one request.", min=0.001, max=1000)] = 16,
    max_seconds: Annotated[float, typer.Option(help="The longest that a request takes.", min=0.1)] = 30,
    max_waiting: Annotated[int, typer.Option(help="Requests that wait at most; others are told to come back.", min=1)] = 512,
    threads: Annotated[int, typer.Option(help="Threads of one call of the model; small models are quickest on one.", min=1)] = 1,
    device: Device = "auto",
) -> None:
    """Serve a model as a JSON API: sample, encode, decode, reconstruct, score, impute, interpolate, described at /openapi.json.

    Reads: the run, and no other file but --token-file; no path in a request is ever opened.

    Writes: nothing but a line for each defect; /metrics tells counts and times to Prometheus. Ctrl-C or SIGTERM ends it once accepted requests are answered.

    Example: [bold]vae serve runs/digits --port 8000[/]
    """
    import torch

    from vaeworks.serving import Settings, create_app, run_server

    torch.set_num_threads(threads)
    settings = Settings(
        host=host,
        token=_token(token_file),
        hosts=tuple(allow_host or ()),
        origins=tuple(allow_origin or ()),
        body=int(max_body * 2**20),
        seconds=max_seconds,
        waiting=max_waiting,
    )
    app = create_app(open_model(run, device), settings=settings)
    if settings.open:
        say(f"Warning: anybody who reaches {host} may ask this model. Require a token with --token-file, or listen at 127.0.0.1.")
    run_server(app, settings, port, ready=lambda url: say(f"Serving {run} at {url} (API: {url}/openapi.json). Stop with Ctrl-C."))


def _token(file: Path | None) -> str | None:
    """The token in a file, or in the environment; VaeworksError where the file cannot be read, or holds none."""
    import os

    if file is None:
        return os.environ.get("VAE_TOKEN") or None
    try:
        token = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise VaeworksError(f"--token-file {file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not token:
        raise VaeworksError(f"--token-file {file} is empty: write a token into it, openssl rand -hex 32 > {file}")
    return token
