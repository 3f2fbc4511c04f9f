"""vae impute."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vaeworks.cli.options import (
    Data,
    DataDir,
    Device,
    Limit,
    Out,
    RunFolder,
    RunSeed,
    Split,
    as_learned,
    counter,
    data_options,
    open_model,
    output_path,
    say,
    seed_of,
)
from vaeworks.errors import ArtifactError, DataError, VaeworksError

if TYPE_CHECKING:
    from polars import DataFrame

    from vaeworks.model import AudioSchema, ImageSchema
    from vaeworks.runs import Imputation

__all__ = ["add_to"]

SUFFIXES = {
    "image": (".png", ".npy"),
    "text": (".txt", ".jsonl"),
    "audio": (".wav", ".flac"),
    "table": (".csv", ".tsv", ".parquet", ".jsonl"),
}
"""What OUT can end in, beside a folder for pictures and sounds."""


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command()(impute)


def impute(
    run: RunFolder,
    data: Data,
    out: Out,
    draws: Annotated[int, typer.Option(help="How many times each item is filled in; 0 gives best values, as --mean does.", min=0)] = 1,
    mean: Annotated[
        bool,
        typer.Option("--mean", help="Best values instead of a draw: means, of tables medians and the most probable category, of text the likeliest."),
    ] = False,
    samples: Annotated[int, typer.Option("--samples", "-k", help="Codes that are proposed for each item.", min=1)] = 1000,
    mask: Annotated[
        str | None,
        typer.Option(
            help="Pictures: what is missing; left, right, top, bottom, center, random:0.5, or a .png, .npy or .npz that is black there.",
            show_default=False,
        ),
    ] = None,
    gap: Annotated[str | None, typer.Option(metavar="START..END", help="Sounds: what is missing, in seconds.", show_default=False)] = None,
    gap_mark: Annotated[str, typer.Option(help="Text: the character that stands for each missing token.")] = "_",
    data_dir: DataDir = None,
    split: Split = None,
    limit: Limit = None,
    seed: RunSeed = None,
    device: Device = "auto",
) -> None:
    """Fill in what is missing of items, by draws from p(missing | seen): empty cells of a table, holes in pictures, gaps in sounds and text. What is seen stays as it is.

    Reads: the run, and DATA with what is missing.

    Writes: the items, filled in, to -o, by its suffix; the effective sample size to standard error.

    Example: [bold]vae impute runs/photos photos/ --mask center --draws 4 -o filled.png[/]
    """
    model = open_model(run, device)
    kind = model.schema.kind
    path = output_path(out, suffixes=SUFFIXES[kind], folders=kind in {"image", "audio"})
    if kind == "table" and (limit is not None or split is not None):
        raise DataError(
            "a table is filled in whole, so that each row stays where it is: leave --limit and --split out, and give the rows that are to be filled"
        )
    seed = seed_of(run, seed)
    options = data_options(seed=seed, data_dir=data_dir, split=split, limit=limit, **as_learned(run))
    with counter("filling in", limit or 0) as advance:
        found = model.impute(
            data,
            draws=0 if mean else draws,
            samples=samples,
            mask=mask,
            gap=_seconds(gap),
            gap_mark=gap_mark,
            seed=seed,
            options=options,
            progress=advance,
        )
    write = {"image": _write_pictures, "text": _write_texts, "audio": _write_sounds, "table": _write_table}[kind]
    told = write(path, model.schema, found, data, options)  # type: ignore[operator]
    least, middle = float(found.effective_sample_size.min()), float(found.effective_sample_size.median())
    say(f"Wrote {told}; effective sample size {middle:.1f} at the median, {least:.1f} at the least, of {found.samples} proposals.")
    if found.warning:
        say(f"Warning: {found.warning}.")


def _seconds(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    start, dots, end = text.partition("..")
    try:
        if dots:
            return float(start), float(end)
    except ValueError:
        pass
    raise VaeworksError(f"--gap {text!r} is not of the form START..END in seconds, such as --gap 0.2..0.35")


def _names(found: Imputation, best: str) -> list[str]:
    """What each version is called."""
    count = len(found.values)
    return [best] if count == 1 else [f"draw {i}" for i in range(1, count + 1)]


def _write_pictures(path: Path, schema: ImageSchema, found: Imputation, *_: Any) -> str:
    """A sheet with a row each for the items, what is seen of them and each draw; a folder with such a strip for each item; or the stored values (M, N, C, H, W), (N, C, H, W) of one."""
    import numpy as np
    import torch

    from vaeworks.files import replace_file
    from vaeworks.reporting import exhibit, save_png
    from vaeworks.reporting.pictures import grid

    if path.suffix.lower() == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, (found.values if len(found.values) > 1 else found.values[0]).numpy())
        replace_file(path, buffer.getvalue())
        return str(path)
    original, kept = schema.shown(found.missing.values), found.missing.kept
    hole = original.masked_fill(~kept, 0.5)
    versions = {"seen": hole, **dict(zip(_names(found, "filled"), schema.shown(found.values), strict=True))}
    if path.suffix:
        exhibit(schema, versions, found.missing.items.names).write(path)
        return str(path)
    path.mkdir(parents=True, exist_ok=True)
    stacked = torch.stack(list(versions.values()), 1)
    for i, strip in enumerate(stacked):
        save_png(grid(schema, strip, columns=len(strip)), path / f"{_stem(found, i)}.png")
    return f"{len(stacked)} pictures in {path}, each with what was seen at its left"


def _stem(found: Imputation, i: int) -> str:
    names, count = found.missing.items.names, found.values.shape[1]
    number = f"{i:0{len(str(count - 1))}}"
    return f"{Path(names[i]).stem}-{number}" if names else number


def _write_texts(path: Path, _: object, found: Imputation, *__: Any) -> str:
    """A line for each item; where there are several draws, below each other with an empty line between items. JSON lines hold the item under "given" and its draws."""
    from vaeworks.files import replace_file

    items = list(zip(*found.strings, strict=True))
    if path.suffix.lower() == ".jsonl":
        lines = [
            json.dumps({"given": given, "filled": list(own)}, ensure_ascii=False) for given, own in zip(found.missing.strings, items, strict=True)
        ]
        text = "\n".join(lines) + "\n"
    elif len(found.strings) == 1:
        text = "\n".join(own[0] for own in items) + "\n"
    else:
        text = "\n\n".join("\n".join(own) for own in items) + "\n"
    replace_file(path, text.encode("utf-8", "replace"))
    return f"{len(items)} texts to {path}"


def _write_sounds(path: Path, schema: AudioSchema, found: Imputation, *_: Any) -> str:
    """A file for each draw of each sound."""
    from vaeworks.data.sound_files import write_sound
    from vaeworks.runs import filled_waves

    waves = filled_waves(found)
    if path.suffix:
        if len(waves) * len(waves[0]) > 1:
            raise ArtifactError(
                f"-o {path} holds one sound, and there are {len(waves) * len(waves[0])}: give a folder, or ask for one (--limit 1 --draws 1)"
            )
        write_sound(path, waves[0][0], schema.rate)
        return str(path)
    path.mkdir(parents=True, exist_ok=True)
    for number, draw in enumerate(waves, start=1):
        for i, wave in enumerate(draw):
            write_sound(path / f"{_stem(found, i)}{f'-draw{number}' if len(waves) > 1 else ''}.wav", wave, schema.rate)
    return f"{len(waves) * len(waves[0])} sounds in {path}"


def _write_table(path: Path, schema: Any, found: Imputation, data: Any, options: Any) -> str:
    """The table that was given, with its empty cells filled."""
    from vaeworks.data.tables import frame_of
    from vaeworks.files import replace_file
    from vaeworks.runs import filled_frame

    frame: DataFrame = filled_frame(frame_of(data, options), schema, found)
    buffer = io.BytesIO()
    if path.suffix.lower() == ".parquet":
        frame.write_parquet(buffer)
    elif path.suffix.lower() == ".jsonl":
        frame.write_ndjson(buffer)
    else:
        frame.write_csv(buffer, separator="\t" if path.suffix.lower() == ".tsv" else ",")
    replace_file(path, buffer.getvalue())
    return f"{frame.height} rows to {path}"
