"""Fetching a file once: checked by its checksum, and put in place whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import IO

from vaeworks.data.options import Options
from vaeworks.errors import DataError

__all__ = ["absent", "cache", "fetch", "md5"]

_TIMEOUT = 30
_PIECE = 1 << 20
_LARGEST = 1 << 30


def cache(name: str) -> Path:
    """Where the files of the built-in set ``name`` are kept: under VAEWORKS_CACHE, or in the user's cache folder."""
    chosen = os.environ.get("VAEWORKS_CACHE")
    if chosen:
        return Path(chosen) / name
    from platformdirs import user_cache_path

    return user_cache_path("vaeworks", appauthor=False) / name


def md5(path: Path) -> str:
    """The checksum that the classical data sets are published with."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def absent(name: str, wanted: str, url: str, options: Options) -> DataError:
    """The error for a set that is not on this machine."""
    looked = ", ".join(str(p) for p in (options.data_dir, cache(name)) if p is not None)
    return DataError(
        f"{name} is not on this machine, {wanted} not found in {looked}: fetch it from {url} with download=True (--download), "
        f"or put the files into a folder and give it as data_dir (--data-dir)"
    )


def fetch(url: str, target: Path, checksum: str, options: Options) -> None:
    """Download ``url`` to ``target``. DataError, and nothing left behind, where it fails or its md5 is not ``checksum``."""
    if options.say is not None:
        options.say(f"Downloading {url} to {target}.")
    partial: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            partial = Path(file.name)
            found = _receive(url, file, options)
        if found != checksum:
            raise DataError(f"{url} has md5 {found}, not {checksum}, so it is damaged or not the original: nothing was kept; try again later")
        partial.replace(target)
        partial = None
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(f"{url} cannot be downloaded ({reason}): get it another way and give its folder as data_dir (--data-dir)") from error
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror or error}): choose another folder in VAEWORKS_CACHE") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _receive(url: str, file: IO[bytes], options: Options) -> str:
    """Write what ``url`` sends to ``file``; its md5."""
    digest = hashlib.md5(usedforsecurity=False)
    request = urllib.request.Request(url, headers={"User-Agent": "vaeworks"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        total, done = int(answer.headers.get("Content-Length") or 0), 0
        while piece := answer.read(_PIECE):
            done += len(piece)
            if done > _LARGEST:
                raise DataError(f"{url} sends more than {_LARGEST >> 30} GB, which cannot be the file it should be: nothing was kept")
            digest.update(piece)
            file.write(piece)
            if options.progress is not None:
                options.progress(done, max(total, done))
    if done < total:
        raise ConnectionError(f"only {done} of {total} bytes arrived")
    return digest.hexdigest()
