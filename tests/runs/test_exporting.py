"""What `vae export` writes, used as a person without this library uses it: a process with numpy, onnxruntime and json alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vaeworks.data import open_data
from vaeworks.errors import ArtifactError
from vaeworks.recipes import build_vae, conditioned
from vaeworks.runs import Model, export_model, plan_recipe

ALONE = """
import sys, json
sys.path.insert(0, sys.argv[1])
import example
given = json.load(open(sys.argv[2]))
{body}
assert not {{"torch", "vaeworks", "polars"}} & set(sys.modules), "more than numpy and onnxruntime"
print(json.dumps(found))
"""


def untrained(source: Any, recipe: str, *sets: str) -> Model:
    """A model that learned nothing, its margins and tokens those of the data."""
    data = open_data(source)
    plan, _ = plan_recipe(data.schema, recipe, sets)
    schema = conditioned(plan, data.schema)
    torch.manual_seed(0)
    return Model(build_vae(plan, schema), schema, plan)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str, Any], Any]:
    pytest.importorskip("onnxscript")

    def call(folder: Path, body: str, given: Any) -> Any:
        file = tmp_path_factory.mktemp("given") / "given.json"
        file.write_text(json.dumps(given))
        done = subprocess.run([sys.executable, "-c", ALONE.format(body=body), str(folder), str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call


def test_images_of_a_class_asked_for(alone: Callable[[Path, str, Any], Any], tmp_path: Path) -> None:
    model = untrained("digits", "cvae", "encoder.hidden=[8]", "decoder.hidden=[8]", "latent_size=3")
    done = export_model(model, tmp_path / "out", license="cc0-1.0")
    assert done.files == ("README.md", "decoder.onnx", "encoder.onnx", "example.py", "export.json", "sampler.onnx")
    assert set(done.differences) == {"encoder", "decoder", "sampler"}
    assert max(done.differences.values()) <= 1e-4
    assert 'license: "cc0-1.0"' in (done.folder / "README.md").read_text("utf-8")
    items = open_data("digits").test[:5]
    label = model.schema.classes[3]
    found = alone(
        done.folder,
        f"pictures = example.np.array(given); found = [example.reconstruct(pictures, {label!r}).tolist(), example.sample(7, seed=1, label={label!r})['x'].mean().item()]",
        items.values.tolist(),
    )
    context = model.context(5, {"label": label})
    code = model.vae.latents.means(model.vae, next(_batches(items, model, context)))
    wanted = (model.decode(code.detach(), context) * 255).round().movedim(1, -1)
    assert np.abs(np.array(found[0]) - wanted.numpy()).max() <= 1
    assert 0 < found[1] < 1


def _batches(items: Any, model: Model, context: Any) -> Any:
    from vaeworks import Batch

    yield Batch(model.schema.to_x(items.values), None, context)


ROWS = [
    {
        "length": round(40 + 10 * np.sin(i), 1),
        "sort": "abc"[i % 3],
        "alive": ("no", "yes")[i % 2],
        "eggs": int(3 + 2 * np.cos(i)),
        "day": f"2020-0{1 + i % 9}-1{i % 9}",
        "income": float(np.round(np.exp(3 + np.sin(3.7 * i)), 2)),
    }
    for i in range(120)
]


def test_rows_with_missing_cells(alone: Callable[[Path, str, Any], Any], tmp_path: Path) -> None:
    import polars as pl

    frame = pl.DataFrame(ROWS)
    model = untrained(frame, "table", "encoder.hidden=[8]", "decoder.hidden=[8]", "latent_size=2", "prior.components=4")
    folder = export_model(model, tmp_path / "out").folder
    told = [dict(row) for row in ROWS[1:10]]
    told[2]["length"] = told[3]["sort"] = told[4]["eggs"] = None
    found = alone(
        folder,
        "x, observed = example.to_x(given); found = [x.tolist(), observed.tolist(), example.from_x(x), example.reconstruct(given), example.from_x(example.sample(3)['x'])]",
        told,
    )
    values, observed, _ = model.schema.encode(pl.DataFrame(told, schema=frame.schema))  # type: ignore[attr-defined]
    assert found[1] == observed.tolist()
    assert np.abs(np.array(found[0]) - np.where(observed, values, 0)).max() < 1e-5
    for back, row, seen in zip(found[2], told, observed.tolist(), strict=True):
        for (name, cell), here in zip(row.items(), seen, strict=True):
            got = str(back[name])[:10] if name == "day" else back[name]
            assert not here or (got == pytest.approx(cell) if isinstance(cell, float) else str(got) == str(cell)), (name, got, cell)
    wanted = model.frame(model.reconstruct(pl.DataFrame(told, schema=frame.schema))).to_dicts()
    for got, row in zip(found[3], wanted, strict=True):
        assert got["sort"] == row["sort"]
        assert got["length"] == pytest.approx(row["length"], abs=0.11)  # a tenth at most, where the middle lies between two
        assert abs(float(got["eggs"]) - float(row["eggs"])) <= 1
    assert {row["sort"] for row in found[4]} <= set("abc")


def test_text_a_token_at_a_time(alone: Callable[[Path, str, Any], Any], tmp_path: Path) -> None:
    words = ["anna", "bob", "carla", "dan", "eve"] * 20
    model = untrained(words, "text", "encoder.width=6", "decoder.width=6", "latent_size=2")
    with torch.no_grad():
        for parameter in model.vae.decoder.parameters():
            parameter.mul_(2)  # so that strings differ
    folder = export_model(model, tmp_path / "out").folder
    found = alone(
        folder, "found = [example.to_x(given).tolist(), example.reconstruct(given), example.decode(example.sample(5)['z'], seed=0)]", words[:5]
    )
    schema: Any = model.schema
    assert found[0] == schema.encode(words[:5])[0].tolist()
    assert found[1] == model.raw(model.reconstruct(words[:5]))
    assert len(found[2]) == 5


def test_sounds_as_spectrograms(alone: Callable[[Path, str, Any], Any], tmp_path: Path) -> None:
    import soundfile

    rate, folder = 4000, tmp_path / "sounds"
    folder.mkdir()
    for i in range(12):
        wave = 0.5 * np.sin(2 * np.pi * (200 + 50 * i) * np.arange(1200 + 40 * i) / rate)
        soundfile.write(folder / f"{i}.wav", wave, rate)
    model = untrained(
        folder,
        "sound-mel",
        "encoder.channels=[4]",
        "decoder.channels=[4]",
        "encoder.hidden=[8]",
        "decoder.hidden=[8]",
        "latent_size=2",
        "prior.kind=standard-normal",
    )
    out = export_model(model, tmp_path / "out").folder
    items = open_data(folder).train[:2]
    waves = [(items.values[i, 0, : int(items.lengths[i])] / 32768).tolist() for i in range(2)]  # type: ignore[index]
    found = alone(
        out,
        "waves = [example.np.array(w) for w in given]; x, _ = example.to_x(waves); found = [x.tolist(), len(example.from_x(x)[0]), len(example.reconstruct(waves))]",
        waves,
    )
    wanted = model.schema.to_x(items.values)
    frames = -(-len(waves[0]) // model.schema.hop)  # type: ignore[attr-defined]
    assert np.abs(np.array(found[0])[0, ..., :frames] - wanted[0, ..., :frames].numpy()).max() < 1e-3
    assert found[2] == 2


def test_nothing_is_left_of_an_export_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = untrained("digits", "hamiltonian-vae", "encoder.hidden=[4]", "decoder.hidden=[4]", "latent_size=2")
    with pytest.raises(ArtifactError, match="HamiltonianLatents cannot be exported"):
        export_model(model, tmp_path / "out", format="torch")
    assert list(tmp_path.iterdir()) == []
    done = export_model(model, tmp_path / "out", format="safetensors")
    assert {"README.md", "model.safetensors", "schema.json", "recipe.toml"} == set(done.files)
    assert torch.equal(Model.from_pretrained(done.folder).sample(3, seed=1), model.sample(3, seed=1))
    with pytest.raises(ArtifactError, match="not empty"):
        export_model(model, tmp_path / "out", format="safetensors")
    export_model(model, tmp_path / "out", format="safetensors", overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(ArtifactError, match="holds no export"):
        export_model(model, tmp_path / "mine", format="safetensors", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]
