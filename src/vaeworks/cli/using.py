"""vae sample, reconstruct, encode, decode, interpolate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vaeworks.cli.options import (
    Beam,
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
    What,
    as_learned,
    data_options,
    destination,
    open_model,
    output_path,
    say,
    seed_of,
    wishes,
)
from vaeworks.errors import DataError

__all__ = ["add_to"]

TABLES = (".parquet", ".csv", ".npy")


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (sample, reconstruct, encode, decode, interpolate):
        app.command()(verb)


def sample(
    run: RunFolder,
    n: Annotated[int, typer.Option("-n", help="How many.", min=1)] = 64,
    out: What = None,
    temperature: Annotated[float, typer.Option(help="Spread of z: below 1 safer, above 1 bolder.", min=0)] = 1.0,
    noise: Annotated[
        bool | None, typer.Option("--noise/--no-noise", help="Draw from p(x|z), instead of showing its mean.", show_default="for text alone")
    ] = None,
    token_temperature: Annotated[float, typer.Option(help="Text: spread of each token; 0 takes the most probable.", min=0)] = 1.0,
    top_p: Annotated[float, typer.Option(help="Text: draw among the most probable tokens of this probability together.", min=0, max=1)] = 1.0,
    beam: Beam = 1,
    given: Given = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Generate new items: z from the prior, x from the decoder.

    Reads: the run.

    Writes: the samples to -o, by its suffix a sheet, a sound, text, a table or an array, or a folder of files.

    Example: [bold]vae sample runs/digits -n 100 -o new.png[/]
    """
    from vaeworks.evaluation import FEW
    from vaeworks.reporting import exhibit

    model = open_model(run, device)
    path = destination(out, "samples", model.schema)
    wish = wishes(given)
    told, conditions = model.parted(wish)
    if conditions and temperature == 1 and noise is not False:
        x, effective = model.sample_given(n, conditions, context=told, seed=seed)
        advice = ": rows are much alike, widen a condition" if effective < FEW else ""
        say(f"The effective sample size behind these rows is {effective:.1f}{advice}.")
    else:
        x = model.sample(n, temperature=temperature, seed=seed, noise=noise, given=wish, token_temperature=token_temperature, top_p=top_p, beam=beam)
    say(f"Wrote {exhibit(model.schema, {'samples': x}).write(path)}.")


def reconstruct(
    run: RunFolder,
    data: Data,
    out: What = None,
    data_dir: DataDir = None,
    split: Split = None,
    limit: Annotated[int | None, typer.Option(help="At most this many items.", min=1, show_default="20 in a picture, else all")] = None,
    beam: Beam = 1,
    seed: RunSeed = None,
    device: Device = "auto",
) -> None:
    """Set originals beside what the model makes of them.

    Reads: the run and DATA.

    Writes: originals and reconstructions to -o, by its suffix.

    Example: [bold]vae reconstruct runs/photos photos/ -o pairs.png[/]
    """
    from vaeworks.reporting import exhibit
    from vaeworks.runs import originals_of

    model = open_model(run, device)
    path = destination(out, "reconstructions", model.schema)
    items = model.items(data, data_options(seed=seed_of(run, seed), data_dir=data_dir, split=split, **as_learned(run)))
    items = items[: limit or (20 if path.suffix == ".png" else len(items))]
    versions = {"original": originals_of(model, items), "reconstruction": model.reconstruct(items, beam=beam)}
    say(f"Wrote {exhibit(model.schema, versions, items.names).write(path)}.")


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

    Reads: the run and DATA.

    Writes: a row an item to -o, .parquet, .csv or .npy.

    Example: [bold]vae encode runs/photos photos/ -o z.parquet[/]
    """

    from vaeworks.cli.frames import write_codes

    out = output_path(out, suffixes=TABLES, folders=False)
    model = open_model(run, device)
    items = model.items(data, data_options(seed=seed_of(run, seed), data_dir=data_dir, split=split, limit=limit, **as_learned(run)))
    z = model.encode(items)
    write_codes(out, z, items, model.schema.classes)
    say(f"Wrote {len(z)} codes of {z.shape[1]} dimensions to {out}.")


def decode(
    run: RunFolder,
    codes: Annotated[Path, typer.Argument(metavar="CODES", help="A .parquet, .csv or .npy of codes, as [bold]vae encode[/] writes.")],
    out: What = None,
    given: Given = None,
    beam: Beam = 1,
    device: Device = "auto",
) -> None:
    """Turn codes back into items.

    Reads: the run, and a file of codes.

    Writes: the items to -o, by its suffix.

    Example: [bold]vae decode runs/photos z.parquet -o decoded/[/]
    """
    from vaeworks.cli.frames import read_codes
    from vaeworks.reporting import exhibit

    model = open_model(run, device)
    path = destination(out, "decoded", model.schema)
    z, names = read_codes(codes, model.vae.latents.code_size)
    x = model.decode(z, model.context(len(z), wishes(given)), beam=beam)
    say(f"Wrote {exhibit(model.schema, {'decoded': x}, names).write(path)}.")


def interpolate(
    run: RunFolder,
    a: Annotated[str, typer.Argument(metavar="A", help="An image or sound file, a sentence, or DATA[INDEX] such as digits[3].")],
    b: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    n: Annotated[int, typer.Option("-n", help="Steps, both ends included.", min=2)] = 10,
    out: What = None,
    data_dir: DataDir = None,
    beam: Beam = 1,
    device: Device = "auto",
) -> None:
    """Draw the path between two items through the latent space.

    Reads: the run, and the two items.

    Writes: the path to -o, by its suffix.

    Example: [bold]vae interpolate runs/digits 'digits[0]' 'digits[7]' -o path.png[/]
    """
    from vaeworks.reporting import exhibit

    model = open_model(run, device)
    path = destination(out, "path", model.schema)

    def item(text: str):  # type: ignore[no-untyped-def]
        name, bracket, rest = text.partition("[")
        if model.schema.kind == "text" and not Path(text).exists() and not Path(name).exists():
            return model.items([text])
        indexed = bracket and rest.endswith("]") and not Path(text).exists()
        items = model.items(name if indexed else text, data_options(seed=seed_of(run, None), data_dir=data_dir, **as_learned(run)))
        if not bracket or Path(text).exists():
            return items
        try:
            index = int(rest[:-1])
        except ValueError as error:
            raise DataError(f"{text!r}: the part in brackets must be a whole number, such as {name}[3]") from error
        if not 0 <= index < len(items):
            raise DataError(f"{text!r}: {name} has items 0 to {len(items) - 1}")
        return items[index : index + 1]

    x = model.interpolate(item(a), item(b), n, beam=beam)
    say(f"Wrote {exhibit(model.schema, {'path': x}, in_order=True).write(path)}.")
