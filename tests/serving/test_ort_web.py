"""ONNX Runtime Web comes from the cache, a file or a folder, is checked, and never fetched unasked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vaeworks.errors import DataError
from vaeworks.serving import ort_web
from vaeworks.serving.ort_web import SCRIPT, WASM, ort_web_files


def test_what_is_absent_is_told_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAEWORKS_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("nothing is fetched unasked"))
    with pytest.raises(DataError, match=r"--download.*--ort-web"):
        ort_web_files(None)
    with pytest.raises(DataError, match="cannot be read"):
        ort_web_files(tmp_path / "none.tgz")
    with pytest.raises(DataError, match=f"holds no {SCRIPT}"):
        ort_web_files(tmp_path)


def test_a_package_of_another_checksum_is_refused_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        def __enter__(self) -> Answer:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self, most: int) -> bytes:
            return b"another package"

    monkeypatch.setenv("VAEWORKS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Answer())
    with pytest.raises(DataError, match="sha512"):
        ort_web_files(None, download=True)
    assert not list(tmp_path.rglob("*.tgz"))
    (tmp_path / "other.tgz").write_bytes(b"another package")
    with pytest.raises(DataError, match="sha512"):
        ort_web_files(tmp_path / "other.tgz")


def test_a_package_is_fetched_once_and_read_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as package:
        for name, content in ((SCRIPT, b"script"), (WASM, b"wasm")):
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
    content = buffer.getvalue()
    asked: list[Any] = []

    class Answer(io.BytesIO):
        pass

    monkeypatch.setattr(ort_web, "SHA512", hashlib.sha512(content).hexdigest())
    monkeypatch.setenv("VAEWORKS_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", lambda request, **_: asked.append(request.full_url) or Answer(content))
    for _ in range(2):
        found = ort_web_files(None, download=True)
        assert (found.script, found.wasm) == (b"script", b"wasm")
    assert asked == [ort_web.URL]


def test_an_unpacked_package_is_read_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "package" / "dist").mkdir(parents=True)
    for name in (SCRIPT, WASM):
        (tmp_path / "package" / "dist" / name).write_bytes(name.encode())
    assert ort_web_files(tmp_path).wasm == WASM.encode()


def test_the_verb_tells_what_is_wrong_with_an_export(vae: Callable[..., Any], tmp_path: Path) -> None:
    outcome = vae("explore", tmp_path / "run", "--export", "page.png")
    assert outcome.code == 2
    assert ".html" in outcome.err
