"""Models to and from the hub, against a stand-in of it on loopback: nothing leaves this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from vaeworks.data import open_data
from vaeworks.errors import ArtifactError
from vaeworks.recipes import build_vae
from vaeworks.runs import Model, load, plan_recipe

SHA = "a" * 40


class Hub(BaseHTTPRequestHandler):
    """Repositories in memory, and the few calls by which a model is pushed and fetched."""

    repositories: ClassVar[dict[str, dict[str, bytes]]] = {}

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, body: Any = b"", status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        name = "/".join(path.split("/")[3:5])
        if path == "/api/repos/create":
            told = json.loads(body)
            name = f"{told['organization']}/{told['name']}"
            self.repositories.setdefault(name, {})
            self.answer({"url": f"http://{self.headers['Host']}/{name}", "name": name, "id": name})
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            self.answer({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]]})
        elif "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.repositories[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer({"commitUrl": f"http://{self.headers['Host']}/{name}/commit/{SHA}", "commitOid": SHA, "success": True, "hookOutput": ""})
        else:
            self.answer({}, 404)

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        files = self.repositories.get(name)
        if files is None:
            self.answer({}, 404, X_Error_Code="RepoNotFound")
        elif parts[0] == "api" and "tree" in parts:
            self.answer([{"type": "file", "path": f, "size": len(c), "oid": hashlib.sha1(c).hexdigest()} for f, c in files.items()])
        elif parts[0] == "api":
            self.answer({"id": name, "modelId": name, "sha": SHA, "private": False, "tags": [], "siblings": [{"rfilename": f} for f in files]})
        else:
            content = files["/".join(parts[4:])]
            self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=SHA)

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = open_data("digits")
    recipe, _ = plan_recipe(data.schema, "mlp", ("encoder.hidden=[4]", "decoder.hidden=[4]", "latent_size=2"))
    torch.manual_seed(0)
    out = tmp_path_factory.mktemp("model")
    Model(build_vae(recipe, data.schema), data.schema, recipe).save_pretrained(out, license="cc0-1.0")
    return out


@pytest.fixture
def hub() -> Iterator[str]:
    pytest.importorskip("huggingface_hub")
    Hub.repositories = {"someone/bert": {"config.json": b"{}", "pytorch_model.bin": b"never fetched"}}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


THERE_AND_BACK = """
import sys, torch
import vaeworks as vw
from vaeworks.errors import ArtifactError
model = vw.load(sys.argv[1])
assert model.push_to_hub("me/digits", license="cc0-1.0", token="hf_none").endswith("/me/digits/commit/" + "a" * 40)
for back in (vw.Model.from_pretrained("me/digits"), vw.Model.from_pretrained("me/digits", local_files_only=True), vw.load("hf://me/digits")):
    assert torch.equal(back.sample(4, seed=0), model.sample(4, seed=0))
for name, options in (("me/none", {}), ("someone/bert", {}), ("a/b/c", {}), ("me/unseen", {"local_files_only": True})):
    try:
        vw.Model.from_pretrained(name, **options)
    except ArtifactError as error:
        print(error)
"""


def test_there_and_back(hub: str, folder: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run([sys.executable, "-c", THERE_AND_BACK, str(folder)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    none, foreign, odd, unseen = done.stdout.splitlines()
    assert "no repository me/none" in none
    assert "someone/bert holds no model of vaeworks: model.safetensors, schema.json, recipe.toml missing" in foreign
    assert "'a/b/c' is no folder of this machine and no name of a repository" in odd
    assert "me/unseen is not in the cache, and local_files_only=True fetches nothing" in unseen
    pushed = Hub.repositories["me/digits"]
    assert pushed["README.md"].startswith(b'---\nlibrary_name: vaeworks\nlicense: "cc0-1.0"\n')
    assert pushed["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert not list(tmp_path.rglob("*.bin"))  # of a foreign repository nothing that could hold code


def test_a_card_that_the_hub_reads(folder: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    (folder / "figures.json").write_text(json.dumps(FIGURES))
    load(folder).save_pretrained(folder, repo_id="me/digits")
    text = (folder / "README.md").read_text("utf-8")
    card = hub.ModelCard(text)
    assert card.data.license is None
    assert card.data.library_name == "vaeworks"
    assert {"vaeworks", "image", "mlp"} <= set(card.data.tags)
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("log_px", -101.75, "held-out")
    assert "| log p(x) | -101.75 | 0.85 | nats |" in text
    assert "- 33% of the items have an effective sample size below 5" in text
    assert "importance samples: 1000" in text
    (folder / "figures.json").unlink()


FIGURES = {
    "figures": {"log_px": {"value": -101.75, "unit": "nats", "standard_error": 0.85, "meaning": "log p(x) per item"}},
    "protocol": {"items": 180, "importance_samples": 1000},
    "warnings": ["33% of the items have an effective sample size below 5"],
}


def test_what_is_truncated_is_told_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match=r"model\.safetensors is damaged"):
        Model.from_pretrained(tmp_path)
    (tmp_path / "schema.json").unlink()
    with pytest.raises(ArtifactError, match=r"schema\.json is missing"):
        Model.from_pretrained(tmp_path)
