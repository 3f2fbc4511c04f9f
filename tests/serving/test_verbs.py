"""What the API answers is what the model says, for every kind of data, read from the wire as a client would."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile
import torch
from PIL import Image
from sklearn.datasets import load_digits
from starlette.testclient import TestClient

import vaeworks as vw

KINDS = ("image", "text", "audio", "table", "conditional", "vector")
ROWS = [
    {"height": 171.5, "weight": 70.0, "eyes": "blue", "smokes": True, "children": 2, "born": "1960-03-14", "name": "Ada"},
    {"height": 180, "weight": None, "eyes": "green", "smokes": False, "children": 0, "born": "1981-02-11"},
]
TOLD = {"conditional": ["3", {"label": "4"}], "vector": [{"angle": 0.5, "size": -1}, {"angle": 0, "size": 2.5}]}


def url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(pixels: np.ndarray, form: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return url(buffer.getvalue(), f"image/{form.lower()}")


def pixels(item: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(item.partition(",")[2]))))


def tone(hertz: float, seconds: float = 0.2, rate: int = 8000) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def sound(wave: np.ndarray, form: str = "WAV", rate: int = 8000) -> str:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format=form)
    return url(buffer.getvalue(), f"audio/{form.lower()}")


def wave(item: str) -> np.ndarray:
    return soundfile.read(io.BytesIO(base64.b64decode(item.partition(",")[2])))[0]


def shades(n: int = 2) -> np.ndarray:
    """Digits of 17 shades as bytes that the wire's 8 bits hold without loss."""
    return np.rint(load_digits().images[:n] / 16 * 255).astype("uint8")


def sent(name: str) -> list[Any]:
    """Two items on the wire."""
    if name == "text":
        return ["badoki", "lulu"]
    if name == "audio":
        return [sound(tone(300)), sound(tone(900, 0.15))]
    return ROWS if name == "table" else [picture(p) for p in shades()]


def from_files(model: vw.Model, sounds: list[str], suffix: str) -> Any:
    """Sounds on the wire, read as files."""
    with tempfile.TemporaryDirectory() as folder:
        for i, item in enumerate(sounds):
            (Path(folder) / f"{i}{suffix}").write_bytes(base64.b64decode(item.partition(",")[2]))
        return model.items(folder)


def known(name: str, model: vw.Model) -> Any:
    """The same two, read by the model as it reads what is in memory."""
    if name == "text":
        return model.items(["badoki", "lulu"])
    if name == "audio":
        return from_files(model, sent("audio"), ".wav")
    if name == "table":
        return model.items(pl.DataFrame([{key: row.get(key) for key in ROWS[0]} for row in ROWS]))
    items = model.items([Image.fromarray(p) for p in shades()])
    if name == "conditional":
        return vw.data.Items(items.values, labels=torch.tensor([3, 4]))
    if name == "vector":
        return vw.data.Items(items.values, context=torch.tensor([[0.5, -1.0], [0.0, 2.5]]))
    return items


def looks(name: str, model: vw.Model, wire: list[Any], x: torch.Tensor) -> None:
    """That items on the wire are those of x."""
    raw = model.raw(x)
    assert len(wire) == len(raw)
    for item, one in zip(wire, raw, strict=True):
        if name == "text":
            assert item == one
        elif name == "audio":
            np.testing.assert_allclose(wave(item), one, atol=2 / 32768)
        elif name == "table":
            assert {key: item[key] for key in item} == pytest.approx(one)
        else:
            np.testing.assert_allclose(pixels(item).astype(int), np.asarray(one).astype(int), atol=1)


@pytest.fixture
def ask(clients: dict[str, TestClient]) -> Callable[..., Any]:
    def ask(name: str, verb: str, **body: Any) -> Any:
        told = {"given": TOLD[name]} if name in TOLD and ("items" in body or verb == "interpolate") else {}
        answer = clients[name].post(f"/v1/{verb}", json={**told, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


@pytest.fixture
def model_of(models: dict[str, vw.Model], image: vw.Model) -> Callable[[str], vw.Model]:
    return lambda name: image if name == "image" else models[name]


@pytest.mark.parametrize("name", KINDS)
def test_it_says_what_is_served(name: str, clients: dict[str, TestClient], model_of: Callable[[str], vw.Model]) -> None:
    model = model_of(name)
    told = clients[name].get("/v1/model").json()
    assert told["kind"] == model.schema.kind
    assert told["latent_size"] == model.encode(known(name, model)).shape[1]
    assert told["context"] == {"conditional": "label", "vector": "vector"}.get(name, "none")
    assert [column["name"] for column in told["columns"]] == {"table": list(ROWS[0]), "vector": ["angle", "size"]}.get(name, [])
    if name == "table":
        assert told["columns"][2]["categories"] == ["blue", "brown", "green"]


@pytest.mark.parametrize("name", KINDS)
def test_codes_are_those_of_the_model(name: str, ask: Callable[..., Any], model_of: Callable[[str], vw.Model]) -> None:
    model = model_of(name)
    codes = torch.tensor(ask(name, "encode", items=sent(name))["codes"])
    torch.testing.assert_close(codes, model.encode(known(name, model)))


@pytest.mark.parametrize("name", KINDS)
def test_reconstructions_codes_and_paths_come_back_as_items(name: str, ask: Callable[..., Any], model_of: Callable[[str], vw.Model]) -> None:
    model, items = model_of(name), known(name, model_of(name))
    looks(name, model, ask(name, "reconstruct", items=sent(name))["items"], model.reconstruct(items))
    given = {"conditional": {"label": "7"}, "vector": {"angle": 1.0, "size": 0.0}}.get(name)
    z = model.encode(items)
    looks(name, model, ask(name, "decode", codes=z.tolist(), given=given)["items"], model.decode(z, model.context(2, given)))
    a, b = sent(name)
    looks(name, model, ask(name, "interpolate", a=a, b=b, n=3)["items"], model.interpolate(items[:1], items[1:], 3))


@pytest.mark.parametrize("name", KINDS)
def test_samples_are_those_of_their_seed(name: str, ask: Callable[..., Any], model_of: Callable[[str], vw.Model]) -> None:
    model = model_of(name)
    given = {"conditional": {"label": "7"}, "vector": {"angle": 1.0, "size": 0.0}, "table": {"eyes": "blue", "height": [165, None]}}.get(name)
    told = ask(name, "sample", n=3, seed=5, given=given)
    assert told["seed"] == 5
    wish = {"eyes": "blue", "height": (165, None)} if name == "table" else given
    looks(name, model, told["items"], model.sample(3, seed=5, given=wish))
    once = ask(name, "sample", n=2, temperature=1)
    assert ask(name, "sample", n=2, seed=once["seed"]) == once


@pytest.mark.parametrize("name", KINDS)
def test_scores_are_those_of_the_model(name: str, ask: Callable[..., Any], model_of: Callable[[str], vw.Model]) -> None:
    model = model_of(name)
    told = ask(name, "score", items=sent(name))
    found = model.score(known(name, model))
    assert told["statistic"] == found.statistic
    assert found.p_values is not None
    for key, column in {
        "value": found.values,
        "log_px": found.log_prob.value,
        "p_value": found.p_values,
        "effective_sample_size": found.log_prob.effective_sample_size,
    }.items():
        assert [score[key] for score in told["scores"]] == pytest.approx(column.tolist(), rel=1e-4), key


def test_pictures_are_filled_where_the_mask_is_dark(ask: Callable[..., Any]) -> None:
    kept = np.zeros((8, 8), dtype="uint8")
    kept[:, :4] = 255
    told = ask("image", "impute", items=sent("image"), mask=picture(kept), draws=3)["items"]
    assert [len(draws) for draws in told] == [3, 3]
    for draws, original in zip(told, shades(), strict=True):
        for item in draws:
            np.testing.assert_allclose(pixels(item)[:, :4].astype(int), original[:, :4].astype(int), atol=1)
    assert any((pixels(told[0][0]) != pixels(other)).any() for other in told[0][1:])


def test_gaps_of_text_sound_and_rows_are_filled_and_the_rest_stays(ask: Callable[..., Any]) -> None:
    for draws, original in zip(ask("text", "impute", items=["ba_oki", "l_lu"], draws=2)["items"], ["ba_oki", "l_lu"], strict=True):
        for item in draws:
            assert len(item) == len(original)
            assert all(mark in {"_", letter} for mark, letter in zip(original, item, strict=True))
    (draws,) = ask("audio", "impute", items=[sound(tone(300, 0.25))], gap=[0.05, 0.08], draws=1)["items"]
    heard = wave(draws[0])
    assert len(heard) == 2000
    (draws,) = ask("table", "impute", items=[{**ROWS[1], "name": "Bo"}], draws=2)["items"]
    for item in draws:
        assert item["weight"] > 0
        assert {key: value for key, value in item.items() if key != "weight"} == {
            **{key: ROWS[1][key] for key in ROWS[1] if key != "weight"},
            "name": "Bo",
        }


def test_what_fills_an_item_does_not_depend_on_the_others(ask: Callable[..., Any]) -> None:
    rows = [{**ROWS[0], "weight": None}, {**ROWS[1], "eyes": None}, {**ROWS[0], "children": None}]
    together = ask("table", "impute", items=rows, draws=2, seed=1)["items"]
    assert [ask("table", "impute", items=[row], draws=2, seed=1)["items"][0] for row in rows] == together


@pytest.mark.parametrize("form", ["JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"])
def test_pictures_come_in_many_forms(form: str, ask: Callable[..., Any]) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype("uint8")
    assert len(ask("image", "encode", items=[picture(colour, form)])["codes"]) == 1


@pytest.mark.parametrize("form", ["FLAC", "OGG", "AIFF"])
def test_sounds_come_in_many_forms_and_rates(form: str, ask: Callable[..., Any], models: dict[str, vw.Model]) -> None:
    sounds = [sound(tone(300, rate=16_000), form, 16_000), sound(np.stack([tone(900)] * 2, 1), form)]
    codes = torch.tensor(ask("audio", "encode", items=sounds)["codes"])
    torch.testing.assert_close(codes, models["audio"].encode(from_files(models["audio"], sounds, f".{form.lower()}")))
