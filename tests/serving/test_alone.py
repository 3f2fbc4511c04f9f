"""The page that stands alone: what its modules make of numbers is what the model makes of them, and from disk, offline, it decodes as the model does."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from vaeworks.data.download import cache
from vaeworks.errors import DataError
from vaeworks.model import AudioSchema, TextSchema
from vaeworks.serving import wire_of
from vaeworks.serving.alone import _form, write_page
from vaeworks.serving.ort_web import OrtWeb, ort_web_files
from vaeworks.serving.scene import Scene
from vaeworks.signals import LogMel


@pytest.fixture
def tab(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def asked(tab: Any, address: str, module: str, name: str, x: torch.Tensor, form: Any, more: str = "") -> Any:
    """What a function of a module of the page makes of x."""
    if tab.url != address:
        tab.goto(address)
        tab.wait_for_selector("html[data-ready]")
    told = {"data": [None if not np.isfinite(v) else v for v in x.flatten().tolist()], "dims": list(x.shape), "form": form}
    floats = "(text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer)"
    code = f"""async ({{data, dims, form}}) => {{
        const {{{name}}} = await import("explore/{module}");
        return {name.partition(" ")[0]}{more}({{data: Float32Array.from(data, (v) => v === null ? NaN : v), dims}}, form, {floats});
    }}"""
    return tab.evaluate(code, told)


def test_rows_are_written_as_the_schema_writes_them(tab: Any, addresses: dict[str, str], scenes: dict[str, Scene]) -> None:
    scene = scenes["table"]
    schema = scene.model.schema
    x = torch.randn(200, len(schema.coordinate_names), generator=torch.Generator().manual_seed(0)) * 2
    found = asked(tab, addresses["table"], "alone-rows", "rowItems", x, _form(scene))
    assert found == wire_of(scene.model, x)


def test_texts_are_joined_as_the_tokenizer_joins_them(tab: Any, addresses: dict[str, str], scenes: dict[str, Scene]) -> None:
    scene = scenes["text"]
    schema = scene.model.schema
    assert isinstance(schema, TextSchema)
    x = torch.randint(1, schema.vocabulary, (50, schema.shape[0]), generator=torch.Generator().manual_seed(0))
    assert asked(tab, addresses["text"], "alone-texts", "textItems", x, _form(scene), ".written") == schema.to_raw(x)
    values, lengths = schema.encode(["badoki", "lulu"])
    back = tab.evaluate(
        """async (form) => { const {textTensor} = await import("explore/alone-texts");
           return ["badoki", "lulu"].map((s) => Array.from(textTensor(s, form).values, Number)); }""",
        _form(scene),
    )
    assert back == values.tolist()
    assert lengths.tolist() == [7, 5]


def test_pieces_of_bytes_are_joined_as_the_tokenizer_joins_them(tab: Any, addresses: dict[str, str], scenes: dict[str, Scene]) -> None:
    from dataclasses import replace

    from vaeworks.data.tokens import learn

    strings = ["ein Fluß, größer als Žižka", "鯨 and whale 🐋"] * 5
    tokenizer, vocabulary = learn("bpe", strings, 300)
    schema = scenes["text"].model.schema
    assert isinstance(schema, TextSchema)
    schema = replace(schema, tokenizer=tokenizer, vocabulary=vocabulary, unit="pieces", shape=(60,))
    values, _ = schema.encode(strings[:2])
    from vaeworks.serving.alone import _pieces

    form = {"pieces": _pieces(schema), "length": 60, "unit": "pieces"}
    assert asked(tab, addresses["text"], "alone-texts", "textItems", values, form, ".written") == strings[:2]


def test_sounds_have_the_spectrogram_that_they_were_made_of(tab: Any, addresses: dict[str, str], scenes: dict[str, Scene]) -> None:
    scene = scenes["audio"]
    schema = scene.model.schema
    assert isinstance(schema, AudioSchema)
    t = torch.arange(1920) / schema.rate
    wave = (0.5 * torch.sin(2 * torch.pi * (400 + 600 * t) * t))[None, None]
    values = torch.nn.functional.pad((wave * 32767).to(torch.int16), (0, schema.samples - 1920))
    x = schema.to_x(values)
    ends = 1920 // schema.hop
    x[..., ends:] = torch.nan
    (item,) = asked(tab, addresses["audio"], "alone-sounds", "soundItems", x, _form(scene))
    made, rate = soundfile.read(io.BytesIO(base64.b64decode(item.partition(",")[2])), dtype="float32")
    assert rate == schema.rate
    assert len(made) == 1920
    mel = LogMel(schema.rate, window=schema.window, hop=schema.hop, mels=schema.shape[1])
    (expected,) = schema.to_raw(x)
    errors = [float((mel(torch.from_numpy(w)[None, None]) - mel(wave)).abs().mean()) for w in (made, expected)]
    assert errors[0] < 1.2 * errors[1] + 0.02  # no worse than the library's own


@pytest.fixture(scope="module")
def ort() -> OrtWeb:
    """From the cache, or from where the environment says."""
    told = os.environ.get("VAEWORKS_ORT_WEB")
    try:
        return ort_web_files(Path(told) if told else None)
    except DataError:
        pytest.skip(
            f"onnxruntime-web is not in {cache('onnxruntime-web')}: run vae explore RUN --export page.html --download once, or set VAEWORKS_ORT_WEB"
        )


KINDS = ["image", *(pytest.param(name, marks=pytest.mark.slow) for name in ("text", "audio", "table", "conditional", "vector"))]


@pytest.mark.parametrize("name", KINDS)
def test_a_page_from_disk_decodes_offline_as_the_model_does(chromium: Any, scenes: dict[str, Scene], ort: OrtWeb, tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnxscript")
    scene = scenes[name]
    model, kind = scene.model, scene.model.schema.kind
    lines = write_page(tmp_path / "page.html", scene, ort)
    assert any("need the service" in line for line in lines)
    context = chromium.new_context(offline=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    page.wait_for_function("explorer.state.current !== null", timeout=60_000)
    given = page.evaluate("explorer.state.given")
    expected = wire_of(model, model.decode(torch.from_numpy(scene.codes[:1].copy()), model.context(1, given)))[0]
    shown = page.evaluate("explorer.state.current")
    if kind == "image":
        a, b = (np.asarray(Image.open(io.BytesIO(base64.b64decode(item.partition(",")[2]))).convert("L"), dtype=int) for item in (shown, expected))
        assert np.abs(a - b).max() <= 1
    elif kind == "audio":
        a, b = (soundfile.info(io.BytesIO(base64.b64decode(item.partition(",")[2]))).frames for item in (shown, expected))
        assert a == b
    else:
        assert shown == expected
    page.click("#tab-samples")
    page.select_option("#count", "9")
    page.click("#draw")
    page.wait_for_selector(".samples .sample, .samples tbody tr")
    page.click("#tab-fill-in")
    assert "needs the service" in page.inner_text("#panel-fill-in")
    if name == "image":
        page.click("#tab-your-own")
        model.images(model.schema.to_x(scene.items.values[3:4]))[0].save(tmp_path / "own.png")
        page.set_input_files("#panel-your-own input[type=file]", str(tmp_path / "own.png"))
        page.wait_for_selector(".neighbour")
        assert page.evaluate("Array.from(explorer.state.marks[0].code)") == pytest.approx(scene.codes[3].tolist(), abs=1e-4)
    assert page.is_hidden("#problem")
    assert not errors
    context.close()
