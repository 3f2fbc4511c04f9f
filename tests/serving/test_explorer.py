"""What the explorer's page asks for, and what nobody may."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from PIL import Image
from starlette.testclient import TestClient

from vaeworks.serving import create_app
from vaeworks.serving.explorer import add_explorer
from vaeworks.serving.page import assets
from vaeworks.serving.scene import Scene


@pytest.fixture(scope="module")
def explorers(scenes: dict[str, Scene]) -> Iterator[dict[str, TestClient]]:
    clients = {}
    for name, scene in scenes.items():
        app = create_app(scene.model)
        add_explorer(app, scene)
        clients[name] = TestClient(app, base_url="http://localhost").__enter__()
    yield clients
    for client in clients.values():
        client.__exit__(None, None, None)


def test_every_module_is_mapped_and_served_and_imports_only_what_is(explorers: dict[str, TestClient]) -> None:
    client = explorers["image"]
    (found,) = re.findall(r'<script type="importmap">(.*?)</script>', client.get("/").text)
    places = json.loads(found)["imports"]
    assert {f"explore/{name[:-3]}" for name in assets() if name.endswith(".js")} == set(places)
    for place in places.values():
        answer = client.get(place)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "http://" not in answer.text
        assert "https://" not in answer.text
        for module in re.findall(r'^import .*? from "([^"]+)"|import\("([^"]+)"\)', answer.text, re.M):
            assert "".join(module) in places


@pytest.mark.parametrize("path", ["explore/page/index.html", "explore/page/../scene.py", "explore/page/%2e%2e%2fscene.py", "explore/page/none.js", "explore/plane/umap",
                                  "explore/channel/99", "explore/items?i=-1", "explore/items?i=24"])  # fmt: skip
def test_what_is_not_there_is_404(explorers: dict[str, TestClient], path: str) -> None:
    assert explorers["image"].get(f"/{path}").status_code == 404


def test_too_many_items_at_once_are_refused(explorers: dict[str, TestClient]) -> None:
    assert explorers["image"].get("/explore/items?" + "&".join(f"i={i % 20}" for i in range(65))).status_code == 422


def test_numbers_are_the_scenes(explorers: dict[str, TestClient], scenes: dict[str, Scene]) -> None:
    for name, client in explorers.items():
        scene = scenes[name]
        for path, expected in (("codes", scene.codes), ("plane/pca", scene.plane("pca"))):
            assert np.array_equal(np.frombuffer(client.get(f"/explore/{path}").content, "<f4"), expected.ravel())
        log_px = np.frombuffer(client.get("/explore/log-px").content, "<f4")
        assert np.allclose(log_px, scene.model.log_prob(scene.items, 50).value.numpy(), atol=1e-2)


def test_items_are_those_that_were_given(explorers: dict[str, TestClient], scenes: dict[str, Scene]) -> None:
    found = {name: client.get("/explore/items?i=3&i=5").json()[1] for name, client in explorers.items()}

    def file(item: str) -> io.BytesIO:
        return io.BytesIO(base64.b64decode(item.partition(",")[2]))

    scene = scenes["image"]
    assert np.array_equal(np.rint(np.asarray(Image.open(file(found["image"]["item"]))) / 255 * 16), scene.items.values[5, 0])
    assert scene.items.labels is not None
    assert found["image"]["label"] == str(int(scene.items.labels[5]))
    wave, rate = soundfile.read(file(found["audio"]["item"]), dtype="int16")
    scene = scenes["audio"]
    assert scene.items.lengths is not None
    assert rate == 8000
    assert np.abs(wave.astype(int) - scene.items.values[5, 0, : int(scene.items.lengths[5])].numpy().astype(int)).max() <= 1
    scene = scenes["text"]
    assert found["text"]["item"] == scene.model.raw(scene.items.values[5:6].long())[0]
    assert found["table"]["item"] == scenes["table"].model.frame(scenes["table"].items.values[5:6]).to_dicts()[0]
    assert found["vector"]["columns"] == pytest.approx({"angle": 0.5, "size": -1.0})
    assert found["conditional"]["label"] == "5"
