"""Options that several verbs share, what they become, and how progress is drawn."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vaeworks.cli.completing import data_sources, run_folders
from vaeworks.errors import ArtifactError, VaeworksError

if TYPE_CHECKING:
    from vaeworks.data import Options
    from vaeworks.model import Schema
    from vaeworks.runs import Model

__all__ = [
    "Beam", "Binarise", "By", "Column", "Data", "DataDir", "Device", "Download", "Given", "Json", "Kind", "LabelColumn", "Labels", "LabelsFrom",
    "Length", "Limit", "Loudness", "Out", "Rate", "Representation", "RunFolder", "RunSeed", "Samples", "Seconds", "Seed", "Size", "Split",
    "Strict", "Tokenizer", "Trim", "Vocabulary", "What",
    "as_learned", "counter", "data_options", "destination", "emit", "open_model", "output_path", "say", "seed_of", "wishes",
]  # fmt: skip

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, as left by [bold]vae train[/].", show_default=False, autocompletion=run_folders)
]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A built-in name (digits, mnist, mnist-binarized:dynamic ...), a folder of images or sounds, a .txt, .csv, .parquet, .jsonl, .h5ad, .npy, .npz or idx file, "
        "or hf://org/name, a data set of the Hugging Face hub (extra: datasets).",
        autocompletion=data_sources,
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.", min=0)]
RunSeed = Annotated[
    int | None, typer.Option("--seed", help="Seed of everything that is drawn, and of the split of DATA.", min=0, show_default="the run's")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on standard output, and nothing else there.")]
Samples = Annotated[int, typer.Option("--samples", "-k", help="Importance samples per item.", min=1)]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--given",
        metavar="KEY=VALUE",
        help="What a conditional model draws for: --given label=7, --given height=1.8; of a table any column: --given sex=F --given age=30..40.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("-o", "--out", help="Where to write.", show_default=False)]
What = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        help="A .png sheet (images, sounds), a .txt or .jsonl (text), a .csv or .parquet (tables), a .wav (one sound), a .npy array, or a folder for one file each.",
        show_default="by the kind of data",
    ),
]
DataDir = Annotated[Path | None, typer.Option(help="Folder with the original files of a built-in data set.", show_default=False)]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch a built-in data set (checksummed) or one of hf:// where this machine does not have it, once.")
]
Size = Annotated[str | None, typer.Option(help="Resize images to this side, or HEIGHTxWIDTH.", show_default="chosen from the data")]
Binarise = Annotated[str | None, typer.Option(help="none, threshold, dynamic or static.", show_default="none, or as the data's name says")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse a folder with unreadable files instead of skipping them.")]
Beam = Annotated[int, typer.Option(help="Text: beginnings that the search for the most probable string keeps; 1 is greedy.", min=1)]
Limit = Annotated[int | None, typer.Option(help="Use at most this many items.", min=1, show_default=False)]
Labels = Annotated[
    int | None,
    typer.Option("--labels", help="Keep the labels of this many training items, and hide the others (for --recipe m2).", min=1, show_default="all"),
]
Split = Annotated[str | None, typer.Option(help="train, validation, test or all.", show_default="test of a built-in set, all of anything else")]


_TEXT, _SOUND = "Reading text", "Reading sounds"
Kind = Annotated[
    str | None, typer.Option("--kind", help="image, text, audio or table.", show_default="told by the files", rich_help_panel="Reading data")
]
By = Annotated[str | None, typer.Option(help="An item is a line, paragraph or file.", show_default="a line", rich_help_panel=_TEXT)]
Column = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME|NAME=KIND",
        help="The column or key with the text; of hf:// that with the images or sounds; or what a table's column holds: --column age=count, --column income=log-normal. As often as needed.",
        show_default="told by the data",
    ),
]
LabelColumn = Annotated[str | None, typer.Option("--label", help="Text, tables, hf://: the column or key with the label.", show_default=False)]
Tokenizer = Annotated[str | None, typer.Option(help="characters, bytes or bpe.", show_default="chosen from the data", rich_help_panel=_TEXT)]
Vocabulary = Annotated[int | None, typer.Option(help="Tokens of bpe.", show_default="by how much text there is", rich_help_panel=_TEXT)]
Length = Annotated[int | None, typer.Option(help="Tokens of the longest item.", show_default="chosen from the data", rich_help_panel=_TEXT)]
Rate = Annotated[int | None, typer.Option(help="Samples a second, in Hz.", show_default="that of most files", rich_help_panel=_SOUND)]
Seconds = Annotated[float | None, typer.Option(help="Cut or pad sounds to this length.", show_default="chosen from the data", rich_help_panel=_SOUND)]
Representation = Annotated[str | None, typer.Option(help="mel or wave.", show_default="mel", rich_help_panel=_SOUND)]
Loudness = Annotated[str | None, typer.Option(help="none, peak or rms.", show_default="peak", rich_help_panel=_SOUND)]
Trim = Annotated[
    float | None, typer.Option(help="Decibels below the peak that count as silence; 0 keeps it.", show_default="60", rich_help_panel=_SOUND)
]
LabelsFrom = Annotated[
    str | None,
    typer.Option(help="Pattern of file names, such as {label}_{speaker}_{take}.", show_default="told by the names", rich_help_panel=_SOUND),
]


def say(sentence: str) -> None:
    """One sentence for people, on standard error."""
    print(sentence, file=sys.stderr, flush=True)


def data_options(
    *,
    seed: int = 0,
    size: str | None = None,
    binarise: str | None = None,
    data_dir: Path | None = None,
    strict: bool = False,
    limit: int | None = None,
    split: str | None = None,
    download: bool = False,
    validation: float | None = None,
    labels: int | None = None,
    **others: object,
) -> Options:
    """The reading options that the command line gave; None among ``others`` leaves one at its default."""
    from vaeworks.data import Options

    given: dict[str, Any] = {name: value for name, value in others.items() if value is not None}
    if isinstance(told := given.pop("column", None), list):
        given |= _columns(told)
    elif told is not None:
        given["column"] = told
    return Options(
        size=_size(size),
        binarisation=binarise,  # type: ignore[arg-type]
        data_dir=data_dir,
        seed=seed,
        strict=strict,
        limit=limit,
        split=split,  # type: ignore[arg-type]
        download=download,
        validation=validation,
        labels=labels,
        say=say,
        **given,
    )


def _columns(told: list[str]) -> dict[str, Any]:
    """The options that ``--column`` gave: the column with the text, and the kinds of those of a table."""
    text = [name for name in told if "=" not in name]
    if len(text) > 1:
        raise VaeworksError(
            f"--column names {len(text)} columns with text ({', '.join(text)}): give one; the kind of a table's column is --column NAME=KIND"
        )
    kinds = tuple((name, kind) for name, _, kind in (one.rpartition("=") for one in told if "=" in one))
    return ({"column": text[0]} if text else {}) | ({"columns": kinds} if kinds else {})


def _size(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    try:
        sides = [int(part) for part in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise VaeworksError(f"--size {text!r} is neither a side such as 64 nor HEIGHTxWIDTH such as 48x64")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def open_model(folder: Path, device: str) -> Model:
    """The model in ``folder`` on the device asked for."""
    from vaeworks.runs import load
    from vaeworks.training import choose_device, keep_memory

    keep_memory()
    return load(folder, device=choose_device(device))


def seed_of(folder: Path, seed: int | None) -> int:
    """``seed`` if it was given, else the one that split the data of the run in ``folder``: held-out items are then those it has not learned from."""
    from vaeworks.runs import begun

    facts = begun(folder) if seed is None else None
    return seed if seed is not None else int(facts.options.get("seed", 0)) if facts else 0


def as_learned(folder: Path) -> dict[str, Any]:
    """How the run in ``folder`` told items and labels in files, for reading others alike."""
    from vaeworks.runs import begun

    facts = begun(folder)
    return {} if facts is None else {name: facts.options[name] for name in ("by", "column", "label", "labels_from", "kind") if name in facts.options}


def wishes(given: list[str] | None) -> dict[str, str]:
    """What ``--given`` asked for, by name."""
    pairs = [text.partition("=") for text in given or ()]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise VaeworksError(f"--given {name + equals + value!r} is not of the form key=value, for example --given label=7")
    return {name: value for name, _, value in pairs}


@contextmanager
def counter(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar with rate and time left on a terminal, nothing elsewhere; the function received advances it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


def output_path(path: Path, *, suffixes: tuple[str, ...], folders: bool = True) -> Path:
    """``path`` if something can be written there: a file of a known suffix, or a folder (no suffix) that is new or empty."""
    if path.suffix.lower() in suffixes:
        if path.is_dir():
            raise ArtifactError(f"{path} is a folder: name a file in it")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArtifactError(f"-o {path}: {path.parent} cannot be made a folder ({error.strerror})") from error
        return path
    if path.suffix or not folders:
        raise ArtifactError(f"-o {path}: end it in one of {', '.join(suffixes)}" + (", or give a folder" if folders else ""))
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ArtifactError(f"-o {path} already exists and is not an empty folder: choose another, so that nothing is mixed up")
    return path


def destination(out: Path | None, stem: str, schema: Schema) -> Path:
    """``out``, or ``stem`` in the form that is usual for the kind of data, if something can be written there."""
    from vaeworks.reporting import EXHIBITS

    suffixes = EXHIBITS[schema.kind].suffixes
    return output_path(out or Path(f"{stem}{suffixes[0]}"), suffixes=(*filter(None, suffixes), ".npy"))


def emit(figures: dict[str, Any], as_json: bool, lines: Callable[[], None]) -> None:
    """Figures as JSON on standard output, or for people."""
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        lines()
