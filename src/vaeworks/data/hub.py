"""Sources of the library ``datasets``: addresses hf://..., folders that it wrote, and its objects in memory, each as streams of rows by split."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vaeworks.data.raw import TEST, TRAIN, VALIDATION
from vaeworks.errors import DataError, VaeworksError

__all__ = ["PARTS", "SCHEME", "Address", "Streams", "absolute", "address_of", "is_object", "open_streams"]

SCHEME: Final = "hf://"
PARTS: Final = {
    "train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION, "validation": VALIDATION, "dev": VALIDATION, "test": TEST, "testing": TEST,
}  # fmt: skip
"""Splits of the hub that are kept as they are."""
_FORM: Final = re.compile(r"(?P<name>[\w.\-]+(/[\w.\-]+)?)(/(?P<config>[\w.\-]+))?(@(?P<revision>[\w.\-/]+))?(:(?P<split>[\w.\-]+))?")
_OFFLINE: Final = frozenset(
    {"OfflineModeIsEnabled", "ConnectError", "ConnectTimeout", "ReadTimeout", "ConnectionError", "Timeout", "LocalEntryNotFoundError"}
)


@dataclass(frozen=True)
class Address:
    """Where a data set of the hub lies."""

    text: str
    """As it was given."""
    name: str
    """``org/name``, or a path."""
    config: str | None = None
    revision: str | None = None
    split: str | None = None
    local: bool = False
    """Whether it is a folder of this machine."""


@dataclass(frozen=True)
class Streams:
    """The rows of a data set, split by split, none of them read yet."""

    what: str
    """What people call it."""
    splits: Mapping[str, Any]
    """``datasets.Dataset`` or ``IterableDataset`` by the name of its split."""
    revision: str | None
    """The commit that they are of, where the hub says."""
    aside: tuple[str, ...]
    """Splits that are there and left out."""


def is_object(source: Any) -> bool:
    """Whether something in memory is a data set of the library ``datasets``, or a dictionary of its splits."""
    return any(base.__module__.partition(".")[0] == "datasets" for base in type(source).__mro__)


def address_of(text: str) -> Address:
    """``hf://org/name[/config][@revision][:split]``, or ``hf://`` and the path of a folder, as an Address. DataError where it is neither."""
    rest = text.removeprefix(SCHEME)
    if rest.startswith(("/", ".", "~")):
        path, colon, split = rest.rpartition(":")
        inner = colon and "/" not in split and not Path(rest).expanduser().exists()
        return Address(text, str(Path(path if inner else rest).expanduser()), split=split if inner else None, local=True)
    if rest.startswith("datasets/") and rest.count("/") > 1:
        rest = rest.removeprefix("datasets/")
    found = _FORM.fullmatch(rest)
    if found is None:
        raise DataError(
            f"{text!r} is no address of a data set: write hf://org/name, hf://org/name/config or hf://org/name:split, such as hf://ylecun/mnist"
        )
    return Address(text, found["name"], found["config"], found["revision"], found["split"])


def absolute(text: str) -> str:
    """``text``; where it is the address of a folder, the one that says where the folder is from everywhere."""
    address = address_of(text) if text.startswith((f"{SCHEME}.", f"{SCHEME}~")) else None
    return text if address is None else f"{SCHEME}{Path(address.name).resolve()}{f':{address.split}' if address.split else ''}"


def open_streams(source: Any) -> Streams:
    """The splits of what an Address or an object of ``datasets`` names, those asked for. DataError where there are none; VaeworksError without the library."""
    library = _library()
    if isinstance(source, Address):
        with _telling(source):
            found, revision = _local(source, library) if source.local else _remote(source, library)
        chosen, aside = _chosen(_splits(found), source.split, source.text)
        return Streams(source.text, chosen, revision, aside)
    chosen, aside = _chosen(_splits(source), None, "the data set")
    return Streams("the data set", chosen, None, aside)


def _library() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise VaeworksError("reading hf:// needs the extra 'datasets': pip install 'vaeworks[datasets]'") from error


def _remote(address: Address, library: Any) -> tuple[Any, str | None]:
    """A data set of the hub, and the commit that it is of, to which it is held."""
    hub = importlib.import_module("huggingface_hub")
    sha = hub.HfApi().dataset_info(address.name, revision=address.revision, timeout=30).sha
    return library.load_dataset(address.name, address.config, revision=sha, streaming=True), sha


def _local(address: Address, library: Any) -> tuple[Any, None]:
    """A folder of files of a kind that ``datasets`` tells, or one that it saved to disk."""
    folder = Path(address.name)
    if not folder.is_dir():
        raise DataError(f"{address.text}: {folder} is no folder: give one with the files of a data set, or hf://org/name for one of the hub")
    if (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file():
        return library.load_from_disk(str(folder)), None
    return library.load_dataset(str(folder), streaming=True), None


def _splits(found: Any) -> dict[str, Any]:
    return dict(found) if isinstance(found, Mapping) else {str(found.split or "train"): found}


def _chosen(splits: dict[str, Any], wanted: str | None, what: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The split asked for; else those for training, validation and test; else the only one. And what is left out."""
    if wanted is not None:
        if wanted not in splits:
            raise DataError(f"{what} has no split {wanted!r}: choose one of {', '.join(splits)}")
        return {wanted: splits[wanted]}, ()
    known = {name: rows for name, rows in splits.items() if name.lower() in PARTS}
    if not any(PARTS[name.lower()] == TRAIN for name in known):
        known = splits
        if len(splits) != 1:
            first = next(iter(splits), "train")
            raise DataError(
                f"{what} has the splits {', '.join(splits) or 'none'}, and none of them is for training: say which to read, {what}:{first}"
            )
    return known, tuple(name for name in splits if name not in known)


@contextmanager
def _telling(address: Address) -> Iterator[None]:
    """What goes wrong on the way to a data set, as a DataError that says what to do."""
    try:
        yield
    except VaeworksError:
        raise
    except Exception as error:  # the hub's libraries raise what theirs raise
        chain: list[BaseException] = [error]
        while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
            chain.append(cause)
        kinds = {base.__name__ for one in chain for base in type(one).__mro__}
        lines = str(error).strip().splitlines()
        said = " ".join(line.strip() for line in lines[:2])[:300] or type(error).__name__
        if "GatedRepoError" in kinds or "is a gated dataset" in str(error):
            told = f"it is gated: accept its terms at https://huggingface.co/datasets/{address.name}, then log in with: hf auth login"
        elif "RevisionNotFoundError" in kinds:
            told = f"it has no revision {address.revision!r}: leave @{address.revision} out for the newest"
        elif "RepositoryNotFoundError" in kinds:
            told = "there is no such data set, or it is private: look for its name at https://huggingface.co/datasets, or log in with: hf auth login"
        elif kinds & _OFFLINE:
            told = f"the hub cannot be reached ({said}): try again with a network; what was read once with --download needs none"
        elif "BuilderConfig" in str(error) or "onfig name" in str(error):
            told = f"its configuration must be one that it has ({said}): write {SCHEME}{address.name}/CONFIG"
        elif "scripts are no longer supported" in str(error):
            told = "it is a program that loads data, and those are not run: look for a copy of it in Parquet"
        else:
            told = f"{said}: see whether it opens with datasets.load_dataset, or choose another"
        raise DataError(f"{address.text} cannot be opened, {told}") from error
