"""vae explore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vaeworks.cli.options import DataDir, Device, Download, Limit, RunFolder, RunSeed, Split, as_learned, data_options, open_model, say, seed_of
from vaeworks.errors import VaeworksError

if TYPE_CHECKING:
    from vaeworks.serving.scene import Scene

__all__ = ["add_to"]

EXPORTED = 2000
"""Items of a page that stands alone, unless it is told how many."""


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(explore)


def explore(
    run: RunFolder,
    data: Annotated[str | None, typer.Argument(metavar="[DATA]", help="Items to show.", show_default="the held-out items of the run")] = None,
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.", min=0, max=65535)] = 8600,
    host: Annotated[str, typer.Option(help="Address to listen at; others than loopback let other machines in.")] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    export: Annotated[
        Path | None, typer.Option("--export", help="Write the explorer as one .html file that works alone, and end.", show_default=False)
    ] = None,
    ort_web: Annotated[
        Path | None,
        typer.Option("--ort-web", help="With --export: the package onnxruntime-web, as its .tgz or unpacked.", show_default="the one in the cache"),
    ] = None,
    data_dir: DataDir = None,
    download: Download = False,
    split: Split = None,
    limit: Limit = None,
    seed: RunSeed = None,
    device: Device = "auto",
) -> None:
    """Open a page to look around in the latent space: a map, sliders, paths, your own items, filling in.

    Reads: the run, and items: held-out ones, or DATA.

    Writes: nothing, or with --export the page as one .html file that decodes in the browser, offline; --download then also fetches onnxruntime-web, once.

    Example: [bold]vae explore runs/digits[/]
    """
    if export is not None and export.suffix.lower() not in {".html", ".htm"}:
        raise VaeworksError(f"--export {export}: end it in .html")
    from vaeworks.runs import data_of
    from vaeworks.serving.scene import Scene, drawn

    model = open_model(run, device)
    options = data_options(seed=seed_of(run, seed), data_dir=data_dir, split=split, limit=limit, download=download, **as_learned(run))
    source, options = data_of(run, data, model.schema.source, options)
    items = model.items(source, options)[:limit]
    if export is not None and limit is None and len(items) > EXPORTED:
        say(f"The page shows {EXPORTED:,} of {len(items):,} items, drawn at random: --limit changes that.")
        items = items[drawn(len(items), EXPORTED)]
    scene = Scene.of(model, items)
    if export is not None:
        from vaeworks.serving.alone import write_page
        from vaeworks.serving.ort_web import ort_web_files

        for line in write_page(export, scene, ort_web_files(ort_web, download=download, say=say)):
            say(line)
        return
    _serve(scene, host, port, browser)


def _serve(scene: Scene, host: str, port: int, browser: bool) -> None:
    """Until Ctrl-C."""
    from vaeworks.serving import Settings, create_app, run_server
    from vaeworks.serving.explorer import add_explorer

    settings = Settings(host=host, seconds=120.0)
    app = create_app(scene.model, settings=settings)
    add_explorer(app, scene)

    def ready(address: str) -> None:
        say(f"The explorer is at {address}/ (Ctrl-C ends it).")
        if settings.open:
            say(f"Warning: at {host} other machines can open it, too.")
        if browser:
            import threading
            import webbrowser

            threading.Timer(0.5, webbrowser.open, [f"{address}/"]).start()

    run_server(app, settings, port, ready=ready)
