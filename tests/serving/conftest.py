"""A small model of each kind of data: what the service says of it is compared with what it says itself."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile
import torch
from starlette.testclient import TestClient

import vaeworks as vw
from vaeworks.data import Options, open_data
from vaeworks.recipes import build_vae, conditioned
from vaeworks.runs import calibrate, plan_recipe
from vaeworks.serving import create_app, items_of, wire_of
from vaeworks.serving.explorer import add_explorer
from vaeworks.serving.scene import Scene
from vaeworks.serving.server import bind

SHOWN = 24
"""Items of a scene."""
SMALL = ("encoder.hidden=[8]", "decoder.hidden=[8]", "latent_size=2")


@dataclass
class Server:
    """A process that serves."""

    url: str
    pid: int
    log: Path
    forks: Any

    @classmethod
    @contextmanager
    def started(cls, forks: Any, run: Path, log: Path, *options: object) -> Iterator[Server]:
        """``vae serve``, until SIGTERM ends it, where nothing else has."""
        pid = forks.start("serve", run, "--port", 0, "--device", "cpu", *options, log=log)
        forks.until(pid, lambda: log.exists() and "Stop with" in log.read_text(), log)
        (url,) = re.findall(r"at (http://\S+) ", log.read_text())
        server = cls(url, pid, log, forks)
        try:
            yield server
        finally:
            if server.pid:
                assert server.stop() == 0, log.read_text()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        os.kill(self.pid, signal.SIGTERM)
        self.pid = 0
        return int(self.forks.wait())

    @property
    def memory(self) -> float:
        """Resident megabytes."""
        (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(kilobytes) / 1024


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, vw.Model]:
    """By name: image, text, audio, table, conditional (on the label), vector (conditional on numbers)."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("served")
    words = ["".join(rng.choice(["ba", "do", "ki", "lu"], rng.integers(1, 5))) for _ in range(200)]
    for i in range(40):
        t = np.arange(int(8000 * rng.uniform(0.15, 0.3))) / 8000
        (folder / "tones").mkdir(exist_ok=True)
        soundfile.write(folder / "tones" / f"{i}.wav", 0.5 * np.sin(2 * np.pi * 300 * rng.uniform(1, 4) * t), 8000)
    height = rng.normal(170, 10, 200).round(1)
    table = pl.DataFrame(
        {
            "height": height,
            "weight": [None if i % 9 == 0 else float(h - 100) for i, h in enumerate(height)],
            "eyes": [str(eyes) for eyes in rng.choice(["blue", "brown", "green"], 200)],
            "smokes": [bool(smokes) for smokes in rng.integers(0, 2, 200)],
            "children": rng.poisson(1.5, 200),
            "born": [f"19{y}-0{m}-1{d}" for y, m, d in zip(rng.integers(50, 99, 200), rng.integers(1, 9, 200), rng.integers(0, 9, 200), strict=True)],
            "name": [f"person {i}" for i in range(200)],
        }
    )
    np.savez(
        folder / "vector.npz",
        x=rng.integers(0, 256, (100, 8, 8)).astype("uint8"),
        context=rng.normal(size=(100, 2)).astype("float32"),
        context_names=np.array(["angle", "size"]),
    )
    thin = ("encoder.channels=[4,4]", "decoder.channels=[4,4]", *SMALL)
    return {
        "image": fresh("digits", ()),
        "text": fresh(words, ("encoder.width=8", "decoder.width=8", "latent_size=2")),
        "audio": fresh(str(folder / "tones"), thin),
        "table": fresh(table, SMALL),
        "conditional": fresh("digits", SMALL, "cvae"),
        "vector": fresh(str(folder / "vector.npz"), (*SMALL, "context=vector")),
    }


def fresh(source: Any, overrides: tuple[str, ...], recipe: str | None = None, **options: Any) -> vw.Model:
    """A model of ``source`` as it is before training, with the scores of a few held-out items."""
    data = open_data(source, options=Options(limit=200, **options))
    made, _ = plan_recipe(data.schema, recipe, overrides)
    schema = conditioned(made, data.schema)
    torch.manual_seed(0)
    model = vw.Model(build_vae(made, schema), schema, made)
    model.calibration = calibrate(model, data.test, 20, train=data.train)
    return model


@pytest.fixture(scope="session")
def binary() -> vw.Model:
    return fresh("digits", SMALL, binarisation="dynamic")


@pytest.fixture(scope="session")
def image(models: dict[str, vw.Model]) -> vw.Model:
    return models["image"]


@pytest.fixture(scope="module")
def served(forks: Any, image: vw.Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``vae serve`` of a run of pictures, in a process of its own."""
    folder = tmp_path_factory.mktemp("process")
    with Server.started(forks, image.save(folder / "run"), folder / "log") as server:
        yield server


@pytest.fixture(scope="session")
def clients(models: dict[str, vw.Model]) -> Iterator[dict[str, TestClient]]:
    """A service of each model, in this process."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(TestClient(create_app(model), base_url="http://localhost", raise_server_exceptions=False))
            for name, model in models.items()
        }


@pytest.fixture(scope="session")
def scenes(models: dict[str, vw.Model]) -> dict[str, Scene]:
    """What the explorer shows of each model: items that it draws itself; of pictures the digits."""
    found = {}
    for name, model in models.items():
        given: list[Any] | None = None
        if model.schema.context == "label":
            given = [model.schema.classes[i % 10] for i in range(SHOWN)]
        elif model.schema.context == "vector":
            given = [{"angle": i / 10, "size": -1.0} for i in range(SHOWN)]
        words = [a + b + c for a in ("ba", "do", "ki") for b in ("lu", "ki") for c in ("do", "ba", "lu", "")]
        wire = words if name == "text" else wire_of(model, model.sample(SHOWN, seed=1))
        items = model.items("digits")[:SHOWN] if name == "image" else items_of(model, wire, given)
        found[name] = Scene.of(model, items)
    return found


@pytest.fixture(scope="session")
def addresses(scenes: dict[str, Scene]) -> Iterator[dict[str, str]]:
    """The address of an explorer of each model, answered by a thread of this process."""
    import threading
    import time

    import uvicorn

    servers = {}
    for name, scene in scenes.items():
        app = create_app(scene.model)
        add_explorer(app, scene)
        listening = bind("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        servers[name] = (server, thread, listening)
    while not all(server.started for server, *_ in servers.values()):
        time.sleep(0.01)
    yield {name: f"http://127.0.0.1:{listening.getsockname()[1]}/" for name, (_, _, listening) in servers.items()}
    for server, thread, listening in servers.values():
        server.should_exit = True
        thread.join()
        listening.close()
