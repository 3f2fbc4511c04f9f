"""vae sample, reconstruct, encode, decode, interpolate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vaeworks.cli.options import (
    Data,
    DataDir,
    Device,
    Given,
    Limit,
    Out,
    RunFolder,
    RunSeed,
    Seed,
    Split,
    data_options,
    open_model,
    output_path,
    say,
    seed_of,
    wishes,
    write_x,
)
from vaeworks.errors import DataError

__all__ = ["add_to"]

PICTURES = (".png", ".npy")
TABLES = (".parquet", ".csv", ".npy")


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (sample, reconstruct, encode, decode, interpolate):
        app.command()(verb)


def sample(
    run: RunFolder,
    n: Annotated[int, typer.Option("-n", help="How many.", min=1)] = 64,
    out: Annotated[Path, typer.Option("-o", "--out", help="A .png sheet, a .npy array, or a folder for one PNG each.")] = Path("samples.png"),
    temperature: Annotated[float, typer.Option(help="Spread of z: below 1 safer, above 1 bolder.", min=0)] = 1.0,
    noise: Annotated[bool, typer.Option("--noise", help="Draw pixels from p(x|z) instead of showing its mean.")] = False,
    given: Given = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Generate new items: z from the prior, x from the decoder.

    Example: [bold]vae sample runs/digits -n 100 -o new.png[/]
    """
    out = output_path(out, suffixes=PICTURES)
    model = open_model(run, device)
    say(f"Wrote {write_x(model.schema, model.sample(n, temperature=temperature, seed=seed, noise=noise, given=wishes(given)), out)}.")


def reconstruct(
    run: RunFolder,
    data: Data,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="A .png of originals beside reconstructions, a .npy array or a folder of reconstructions.")
    ] = Path("reconstructions.png"),
    data_dir: DataDir = None,
    split: Split = None,
    limit: Annotated[int | None, typer.Option(help="At most this many items.", min=1, show_default="20 in a picture, else all")] = None,
    seed: RunSeed = None,
    device: Device = "auto",
) -> None:
    """Set originals beside what the model makes of them.

    Example: [bold]vae reconstruct runs/photos photos/ -o pairs.png[/]
    """
    from vaeworks.reporting import pairs
    from vaeworks.runs import originals_of

    out = output_path(out, suffixes=PICTURES)
    model = open_model(run, device)
    items = model.items(data, data_options(seed=seed_of(run, seed), data_dir=data_dir, split=split))
    items = items[: limit or (20 if out.suffix == ".png" else len(items))]
    x = model.reconstruct(items)
    written = write_x(model.schema, x, out, picture=lambda: pairs(model.schema, originals_of(model, items), x), names=items.names)
    say(f"Wrote {written}.")


def encode(
    run: RunFolder,
    data: Data,
    out: Out,
    data_dir: DataDir = None,
    split: Split = None,
    limit: Limit = None,
    seed: RunSeed = None,
    device: Device = "auto",
) -> None:
    """Write the posterior mean of every item: columns z0, z1 ..., with the item's name and label where it has them.

    Example: [bold]vae encode runs/photos photos/ -o z.parquet[/]
    """

    from vaeworks.cli.frames import write_codes

    out = output_path(out, suffixes=TABLES, folders=False)
    model = open_model(run, device)
    items = model.items(data, data_options(seed=seed_of(run, seed), data_dir=data_dir, split=split, limit=limit))
    z = model.encode(items)
    write_codes(out, z, items, model.schema.classes)
    say(f"Wrote {len(z)} codes of {z.shape[1]} dimensions to {out}.")


def decode(
    run: RunFolder,
    codes: Annotated[Path, typer.Argument(metavar="CODES", help="A .parquet, .csv or .npy of codes, as [bold]vae encode[/] writes.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="A .png sheet, a .npy array, or a folder for one PNG each.")] = Path("decoded.png"),
    given: Given = None,
    device: Device = "auto",
) -> None:
    """Turn codes back into items.

    Example: [bold]vae decode runs/photos z.parquet -o decoded/[/]
    """
    from vaeworks.cli.frames import read_codes

    out = output_path(out, suffixes=PICTURES)
    model = open_model(run, device)
    z, names = read_codes(codes, model.vae.latents.code_size)
    say(f"Wrote {write_x(model.schema, model.decode(z, model.context(len(z), wishes(given))), out, names=names)}.")


def interpolate(
    run: RunFolder,
    a: Annotated[str, typer.Argument(metavar="A", help="An image file, or DATA[INDEX] such as digits[3].")],
    b: Annotated[str, typer.Argument(metavar="B", help="An image file, or DATA[INDEX] such as digits[8].")],
    n: Annotated[int, typer.Option("-n", help="Steps, both ends included.", min=2)] = 10,
    out: Annotated[Path, typer.Option("-o", "--out", help="A .png strip, a .npy array, or a folder for one PNG each.")] = Path("path.png"),
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Draw the path between two items through the latent space.

    Example: [bold]vae interpolate runs/digits 'digits[0]' 'digits[7]' -o path.png[/]
    """
    from vaeworks.reporting import strip

    out = output_path(out, suffixes=PICTURES)
    model = open_model(run, device)

    def item(text: str):  # type: ignore[no-untyped-def]
        name, bracket, rest = text.partition("[")
        indexed = bracket and rest.endswith("]") and not Path(text).exists()
        items = model.items(name if indexed else text, data_options(seed=seed_of(run, None), data_dir=data_dir))
        if not bracket or Path(text).exists():
            return items
        try:
            index = int(rest[:-1])
        except ValueError as error:
            raise DataError(f"{text!r}: the part in brackets must be a whole number, such as {name}[3]") from error
        if not 0 <= index < len(items):
            raise DataError(f"{text!r}: {name} has items 0 to {len(items) - 1}")
        return items[index : index + 1]

    x = model.interpolate(item(a), item(b), n)
    say(f"Wrote {write_x(model.schema, x, out, picture=lambda: strip(model.schema, x))}.")
