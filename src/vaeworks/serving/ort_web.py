"""ONNX Runtime Web, which decodes in the browser: the files of the npm package onnxruntime-web that a page carries along. Fetched when asked for, once, and checked."""

from __future__ import annotations

import hashlib
import io
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final

from vaeworks.data.download import cache
from vaeworks.errors import DataError
from vaeworks.files import replace_file

__all__ = ["VERSION", "OrtWeb", "ort_web_files"]

VERSION: Final = "1.30.0"
URL: Final = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
SHA512: Final = "ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61"
"""Of the package, as the registry tells it."""
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
_LARGEST = 200 << 20


@dataclass(frozen=True)
class OrtWeb:
    """What a page needs of the package (MIT licence)."""

    script: bytes
    wasm: bytes


def ort_web_files(source: Path | None, *, download: bool = False, say: Callable[[str], None] | None = None) -> OrtWeb:
    """The files from ``source``, the package as .tgz or unpacked, or from the cache, where ``download`` puts it. DataError says how to get it where it is not there."""
    if source is not None:
        return _unpacked(source) if source.is_dir() else _packed(_read(source), str(source))
    kept = cache("onnxruntime-web") / URL.rpartition("/")[2]
    if not kept.is_file():
        if not download:
            raise DataError(
                f"a page that decodes by itself carries onnxruntime-web {VERSION}, which is not in {kept.parent}: add --download to fetch it once (33 MB, from the npm registry), or"
                " give the package with --ort-web FILE.tgz"
            )
        if say is not None:
            say(f"Downloading {URL} to {kept}.")
        content = _fetched()
        kept.parent.mkdir(parents=True, exist_ok=True)
        replace_file(kept, content)
    return _packed(_read(kept), str(kept))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"--ort-web {path} cannot be read ({error.strerror or error}): give onnxruntime-web-{VERSION}.tgz, or its folder unpacked"
        ) from error


def _fetched() -> bytes:
    """The package from the registry."""
    request = urllib.request.Request(URL, headers={"User-Agent": "vaeworks"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            content: bytes = answer.read(_LARGEST)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise DataError(
            f"{URL} cannot be downloaded ({getattr(error, 'reason', None) or error}): get it another way and give it with --ort-web"
        ) from error
    _check(content, URL)
    return content


def _check(content: bytes, name: str) -> None:
    found = hashlib.sha512(content).hexdigest()
    if found != SHA512:
        raise DataError(
            f"{name} has sha512 {found[:16]}..., not {SHA512[:16]}..., so it is damaged or not onnxruntime-web {VERSION}: nothing of it was used"
        )


def _packed(content: bytes, name: str) -> OrtWeb:
    """The files in the package, whose checksum is right."""
    _check(content, name)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as package:
        members = [package.extractfile(f"package/dist/{part}") for part in (SCRIPT, WASM)]
        script, wasm = (b"" if member is None else member.read() for member in members)
    return OrtWeb(script, wasm)


def _unpacked(folder: Path) -> OrtWeb:
    """The files in a folder: of a package, or of its dist."""
    for place in (folder, folder / "dist", folder / "package" / "dist"):
        if (place / SCRIPT).is_file() and (place / WASM).is_file():
            return OrtWeb(_read(place / SCRIPT), _read(place / WASM))
    raise DataError(f"--ort-web {folder} holds no {SCRIPT} and {WASM}: give the unpacked npm package onnxruntime-web {VERSION}, or its .tgz")
