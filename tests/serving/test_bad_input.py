"""What is wrong in a request is told with its field, never as a defect, and the service answers the next one."""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from starlette.testclient import TestClient

from vaeworks.serving import media

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
JSON = {"Content-Type": "application/json"}


def url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def bomb(side: int) -> str:
    """A PNG of side x side pixels in few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b"")
    return url(data, "image/png")


def wav(samples: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, options.pop("rate", 8000), format="WAV", **options)
    return buffer.getvalue()


def eps() -> str:
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "EPS")
    return url(buffer.getvalue(), "image/png")


def cut() -> str:
    """A PNG that ends too early."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64)).astype("uint8")).save(buffer, "PNG")
    return url(buffer.getvalue()[:2000], "image/png")


CUT = cut()
TONE = np.sin(np.arange(1600)) / 2
WRONG: list[tuple[str, str, Any, int, str | None]] = [
    ("image", "sample", b'{"n": NaN}', 422, "n"),
    ("image", "sample", b'{"temperature": Infinity}', 422, "temperature"),
    ("image", "sample", b'{"seed": 1' + b"0" * 4000 + b"}", 422, "seed"),
    ("image", "sample", b'{"seed": 1' + b"0" * 9000 + b"}", 400, None),
    ("image", "sample", b"[" * 200_000, 400, None),
    ("image", "sample", b'{"n":' * 5000 + b"1" + b"}" * 5000, 400, None),
    ("image", "sample", b"\xff\xfe", 400, None),
    ("image", "sample", b"{", 400, None),
    ("image", "sample", b"", 422, None),
    ("image", "sample", b"[]", 422, None),
    ("image", "sample", b'{"given": {"\\ud800": "\\udfff"}}', 422, "given"),
    ("image", "sample", {"n": 0}, 422, "n"),
    ("image", "sample", {"n": 10**9}, 422, "n"),
    ("image", "sample", {"n": "3 "}, 422, "n"),
    ("image", "sample", {"m": 1}, 422, "m"),
    ("image", "sample", {"seed": -1}, 422, "seed"),
    ("image", "sample", {"given": {"label": "7"}}, 422, "given"),
    ("image", "encode", {}, 422, "items"),
    ("image", "encode", {"items": []}, 422, "items"),
    ("image", "encode", {"items": [PIXEL] * 257}, 422, "items"),
    ("image", "encode", {"items": [PIXEL, 7]}, 422, "items.1"),
    ("image", "encode", {"items": [PIXEL, {"a": 1}]}, 422, "items.1"),
    ("image", "encode", {"items": ["/etc/passwd"]}, 422, "items.0"),
    ("image", "encode", {"items": ["digits"]}, 422, "items.0"),
    ("image", "encode", {"items": ["file:///etc/passwd"]}, 422, "items.0"),
    ("image", "encode", {"items": ["data:image/png;base64,!!!!"]}, 422, "items.0"),
    ("image", "encode", {"items": ["data:image/png;base64,é"]}, 422, "items.0"),
    ("image", "encode", {"items": ["data:image/png;base64,aGVsbG8="]}, 422, "items.0"),
    ("image", "encode", {"items": ["data:image/png;base64,"]}, 422, "items.0"),
    ("image", "encode", {"items": [PIXEL[:-30]]}, 422, "items.0"),
    ("image", "encode", {"items": [PIXEL, CUT]}, 422, "items.1"),
    ("image", "encode", {"items": [bomb(5000)]}, 422, "items.0"),
    ("image", "encode", {"items": [bomb(30_000)]}, 422, "items.0"),
    ("image", "encode", {"items": [eps()]}, 422, "items.0"),
    ("image", "encode", {"items": [PIXEL], "given": ["3"]}, 422, "given"),
    ("image", "decode", {"codes": [[0.0]]}, 422, "codes"),
    ("image", "decode", {"codes": [[0.0] * 16, [0.0]]}, 422, "codes.1"),
    ("image", "decode", {"codes": [[1e300] * 16]}, 422, "codes.0.0"),
    ("image", "decode", b'{"codes": [[0, NaN]]}', 422, "codes.0.1"),
    ("image", "decode", b'{"codes": [[0, 1e999]]}', 422, "codes.0.1"),
    ("image", "decode", {"codes": [[None]]}, 422, "codes.0.0"),
    ("image", "impute", {"items": [PIXEL]}, 422, "mask"),
    ("image", "impute", {"items": [PIXEL], "mask": "left"}, 422, "mask"),
    ("image", "impute", {"items": [PIXEL], "mask": "/etc/passwd"}, 422, "mask"),
    ("image", "impute", {"items": [PIXEL], "gap": [0, 1]}, 422, "gap"),
    ("image", "interpolate", {"a": PIXEL, "b": "x", "n": 3}, 422, "b"),
    ("image", "interpolate", {"a": PIXEL, "b": PIXEL, "n": 1}, 422, "n"),
    ("image", "score", {"items": [PIXEL], "samples": 10**7}, 422, "samples"),
    ("audio", "encode", {"items": [url(wav(TONE)[:20], "audio/wav")]}, 422, "items.0"),
    ("audio", "encode", {"items": [url(b"RIFF" + bytes(100), "audio/wav")]}, 422, "items.0"),
    ("audio", "encode", {"items": [url(wav(TONE), "audio/wav"), url(wav(0 * TONE), "audio/wav")]}, 422, "items.1"),
    ("audio", "encode", {"items": [url(wav(np.where(TONE > 0, np.nan, TONE), subtype="FLOAT"), "audio/wav")]}, 422, "items.0"),
    ("audio", "encode", {"items": ["tones/1.wav"]}, 422, "items.0"),
    ("audio", "impute", {"items": [url(wav(TONE), "audio/wav")]}, 422, "gap"),
    ("audio", "impute", {"items": [url(wav(TONE), "audio/wav")], "gap": [0.1, 5]}, 422, "gap"),
    ("audio", "impute", {"items": [url(wav(TONE), "audio/wav")], "gap": [1e300, -1]}, 422, "gap"),
    ("text", "encode", {"items": ["  "]}, 422, "items.0"),
    ("text", "encode", {"items": ["ba", "ba" * 1000]}, 422, "items.1"),
    ("text", "encode", b'{"items": ["ba\\ud800"]}', 422, "items.0"),
    ("text", "impute", {"items": ["baba"]}, 422, "items"),
    ("table", "encode", {"items": ["height"]}, 422, "items.0"),
    ("table", "encode", {"items": [{}]}, 422, "items.0"),
    ("table", "encode", {"items": [{"height": 170}, {"hight": 170}]}, 422, "items.1.hight"),
    ("table", "encode", {"items": [{"height": 170}, {"eyes": "purple"}]}, 422, "items.1.eyes"),
    ("table", "encode", {"items": [{"height": "tall"}]}, 422, "items.0.height"),
    ("table", "encode", {"items": [{"height": True}]}, 422, "items.0.height"),
    ("table", "encode", {"items": [{"height": 10**18}, {"height": 1e300}]}, 422, "items.1.height"),
    ("table", "encode", {"items": [{"height": 10**400}]}, 422, "items.0.height"),
    ("table", "encode", {"items": [{"height": [1]}]}, 422, "items.0.height"),
    ("table", "encode", {"items": [{"children": "two"}]}, 422, "items.0.children"),
    ("table", "encode", {"items": [{"born": "yesterday"}]}, 422, "items.0.born"),
    (
        "table",
        "impute",
        {"items": [{"height": 170, "weight": 70, "eyes": "blue", "smokes": True, "children": 1, "born": "1960-01-12"}]},
        422,
        "items",
    ),
    ("table", "sample", {"given": {"eyes": "purple"}}, 422, "given"),
    ("table", "sample", {"given": {"height": [200, 100]}}, 422, "given"),
    ("table", "sample", {"given": {"height": [None, None]}}, 422, "given"),
    ("table", "sample", {"given": {"name": "Ada"}}, 422, "given"),
    ("conditional", "encode", {"items": [PIXEL]}, 422, "given"),
    ("conditional", "encode", {"items": [PIXEL], "given": ["10"]}, 422, "given.0"),
    ("conditional", "encode", {"items": [PIXEL], "given": ["1", "2"]}, 422, "given"),
    ("conditional", "encode", {"items": [PIXEL], "given": [None]}, 422, "given.0"),
    ("conditional", "decode", {"codes": [[0.0, 0.0]]}, 422, "given"),
    ("conditional", "decode", {"codes": [[0.0, 0.0]], "given": {"label": "x"}}, 422, "given"),
    ("conditional", "sample", {"given": {"label": [1, 2]}}, 422, "given"),
    ("vector", "sample", {"given": {"angle": True, "size": [1, 2]}}, 422, "given"),
    ("vector", "sample", {"given": {"angle": 1}}, 422, "given"),
    ("vector", "sample", {"given": {"angle": 1e300, "size": 1}}, 422, "given"),
    ("vector", "encode", {"items": [PIXEL], "given": [{"angle": "x", "size": 1}]}, 422, "given.0"),
    ("vector", "encode", {"items": [PIXEL], "given": ["1"]}, 422, "given.0"),
]


@pytest.mark.parametrize(("name", "verb", "body", "status", "field"), WRONG)
def test_what_is_wrong_is_told_with_its_field(
    clients: dict[str, TestClient], name: str, verb: str, body: Any, status: int, field: str | None
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = clients[name].post(f"/v1/{verb}", content=content, headers=JSON)
    assert answer.status_code == status, answer.text
    fault = answer.json()["detail"][0]
    assert fault["message"]
    assert (fault["field"] or "").removesuffix(".\\ud800") == (field or "")
    assert clients[name].get("/readyz").status_code == 200


def test_what_is_too_much_to_decode_is_told_before_it_is(clients: dict[str, TestClient], monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself, or with all that came before it in the request."""
    monkeypatch.setattr(media, "PIXELS", 1)
    monkeypatch.setattr(media, "SAMPLES", 1600)
    tones = [url(wav(TONE[:1600]), "audio/wav")] * 5
    for name, items, wrong in (
        ("image", [PIXEL] * 5, "items.4"),
        ("audio", tones, "items.4"),
        ("audio", [url(wav(np.ones(1601)), "audio/wav")], "items.0"),
    ):
        answer = clients[name].post("/v1/encode", json={"items": items})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["field"] == wrong
    assert clients["image"].post("/v1/encode", json={"items": [PIXEL] * 4}).status_code == 200


def test_no_string_of_a_request_is_opened(clients: dict[str, TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a request can have a string, it has the name of a file that is there: the interpreter tells of every file that it opens."""
    monkeypatch.chdir(tmp_path)
    opened: list[str] = []
    listening = True
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if listening and event == "open" else None)
    for suffix, content in (("png", base64.b64decode(PIXEL.partition(",")[2])), ("wav", wav(TONE)), ("txt", b"ba\nki"), ("csv", b"height\n170")):
        (tmp_path / f"ba.{suffix}").write_bytes(content)
        for text in (f"ba.{suffix}", str(tmp_path / f"ba.{suffix}")):
            for client in clients.values():
                for verb, body in (
                    ("encode", {"items": [text], "given": [text]}),
                    ("score", {"items": [text], "samples": 1}),
                    ("reconstruct", {"items": [{text: text, "eyes": text}]}),
                    ("impute", {"items": [f"{text}_"], "samples": 1}),
                    ("impute", {"items": [PIXEL], "mask": text}),
                    ("interpolate", {"a": text, "b": text, "n": 2}),
                    ("sample", {"n": 1, "given": {"label": text, "eyes": text}}),
                ):
                    client.post(f"/v1/{verb}", json=body)
    listening = False
    assert [name for name in opened if "ba." in name] == [str(tmp_path / f"ba.{suffix}") for suffix in ("png", "wav", "txt", "csv")], (
        "only this test did"
    )


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_is_not_said_to_be_json_is_refused(clients: dict[str, TestClient], kind: str) -> None:
    """A page of another origin can send these without asking, and JSON it cannot."""
    answer = clients["image"].post("/v1/sample", content=b'{"n": 1}', headers={"Content-Type": kind})
    assert answer.status_code == 415


def test_wrong_paths_and_methods_are_told_in_the_same_form(clients: dict[str, TestClient]) -> None:
    for method, path, status in (("GET", "/v1/../etc/passwd", 404), ("GET", "/v1/sample", 405), ("POST", "/healthz", 405)):
        answer = clients["image"].request(method, path, headers=JSON)
        assert answer.status_code == status
        assert answer.json()["detail"][0]["message"]


def test_an_item_that_is_too_strange_for_numbers_is_told(clients: dict[str, TestClient]) -> None:
    """-inf and NaN are no JSON: a score is null, and a code is refused."""
    answer = clients["table"].post("/v1/score", json={"items": [{"height": 1e30}, {"height": 170}]})
    if answer.status_code == 422:
        assert answer.json()["detail"][0]["field"] == "items.0"
    else:
        assert answer.json()["scores"][1]["log_px"] < 0
