"""Trackers beside metrics.jsonl: the same numbers at the same steps, one run across a resume, and no training that they can stop."""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vaeworks.data import Options
from vaeworks.errors import VaeworksError
from vaeworks.runs import Run, train_run
from vaeworks.training import Tracker, Tracking, check_trackers
from vaeworks.training.tracking import flat


class Kept(Tracker):
    """A tracker in memory that breaks when it is told to."""

    identity, where = "one", "nowhere"

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.ended: list[bool] = []
        self.figures: dict[str, float] = {}
        self.files: list[str] = []
        self.breaks_at: int | None = None

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        if step == self.breaks_at:
            raise ConnectionError("the server is gone\nand more")
        self.steps.append(step)

    def finish(self, figures: Mapping[str, float], folder: Path | None, files: Sequence[Path]) -> None:
        self.figures, self.files = dict(figures), [path.name for path in files]

    def close(self, *, failed: bool) -> None:
        self.ended.append(failed)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    tracker = Kept()
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(__spec__=SimpleNamespace()))
    monkeypatch.setitem(sys.modules, "vaeworks.training.track_mlflow", SimpleNamespace(CURE="mend it", begin=lambda *_: tracker))
    return tracker


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def small(folder: Path | None, **settings: Any) -> Run:
    overrides = ["encoder.hidden=[16]", "decoder.hidden=[16]", "latent_size=3", "training.epochs=200", "training.patience=1"]
    settings = {"recipe": "mlp", "overrides": overrides, "options": Options(limit=120), "device": "cpu", **settings}
    return train_run("digits", out=folder, **settings)


def test_dotted_keys_are_those_of_set() -> None:
    assert flat({"a": {"b": 1, "c": {"d": [2]}, "none": None}, "e": "f"}) == {"a.b": 1, "a.c.d": [2], "e": "f"}


def test_an_unknown_or_absent_tracker_is_told_before_anything_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VaeworksError, match="there is no tracker 'comet': choose of wandb, mlflow"):
        small(tmp_path / "run", track=["comet"])
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(VaeworksError, match=r"wandb needs the extra 'wandb': pip install 'vaeworks\[wandb\]'"):
        small(tmp_path / "run", track=["wandb"])
    assert not (tmp_path / "run").exists()


def test_a_tracker_is_told_each_line_once_then_figures_and_pictures(tmp_path: Path, kept: Kept) -> None:
    run = small(tmp_path / "run", track=["mlflow", "mlflow"])
    assert kept.steps == [line["step"] for line in lines_of(tmp_path / "run")]
    assert kept.figures == {name: figure.value for name, figure in run.figures.figures.items()}
    assert {"samples.png", "reconstructions.png", "latent.png", "report.html"} <= set(kept.files)
    assert kept.ended == [False]
    small(tmp_path / "run", track=["mlflow"], resume=True, recipe=None, overrides=[])
    assert len(kept.steps) == len(set(kept.steps))  # what it was told before, it is not told again


def test_a_tracker_that_fails_is_told_of_once_and_training_ends_well(tmp_path: Path, kept: Kept) -> None:
    said: list[str] = []
    kept.breaks_at = small(None).history.lines[-1]["step"]
    run = small(tmp_path / "run", track=["mlflow"], say=said.append)
    warnings = [sentence for sentence in said if sentence.startswith("Warning")]
    assert warnings == ["Warning: mlflow failed (the server is gone), and is told nothing more; training goes on, and metrics.jsonl has everything."]
    assert run.history.ended == "finished"
    assert not kept.figures
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_training_that_fails_is_ended_as_failed(tmp_path: Path, kept: Kept) -> None:
    def stop(_: Any) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        small(tmp_path / "run", track=["mlflow"], progress=stop)
    assert kept.ended == [True]


def test_a_tracker_that_cannot_begin_leaves_no_run_in_the_way(tmp_path: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(*_: Any) -> Tracker:
        raise ConnectionError("no route")

    monkeypatch.setattr(sys.modules["vaeworks.training.track_mlflow"], "begin", begin, raising=False)
    with pytest.raises(VaeworksError, match=r"mlflow cannot begin a run \(no route\): mend it, or leave --track mlflow out"):
        small(tmp_path / "run", track=["mlflow"])
    small(tmp_path / "run")


def test_lines_that_a_killed_run_did_not_tell_are_told_on_resuming(tmp_path: Path, kept: Kept) -> None:
    tracking = Tracking(["mlflow"], folder=tmp_path, title="t", config={}, resume=False, say=lambda _: None)
    tracking.listen({"step": 1, "loss": 1.0})
    again = Tracking(check_trackers(["mlflow"]), folder=tmp_path, title="t", config={}, resume=True, say=lambda _: None)
    for step in (1, 2, 3):
        again.listen({"step": step, "loss": 1.0, "bad": float("nan")})
    assert kept.steps == [1, 2, 3]


def test_mlflow_keeps_one_run_across_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/store")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    run = small(tmp_path / "run", track=["mlflow"])
    client = mlflow.MlflowClient(tracking_uri=f"file:{tmp_path}/store")
    found = client.search_runs([client.get_experiment_by_name("vaeworks").experiment_id])
    assert [each.info.run_name for each in found] == ["run"]
    told, lines = found[0], lines_of(tmp_path / "run")
    assert (told.info.status, told.data.params["latent_size"], told.data.params["encoder.hidden"]) == ("FINISHED", "3", "[16]")
    assert {"loss", "validation_elbo", "validation_kl"} <= set(lines[0])
    for name in set(lines[0]) - {"step"}:
        history = client.get_metric_history(told.info.run_id, name)
        assert [(point.step, point.value) for point in history] == [(line["step"], line[name]) for line in lines]
    assert told.data.metrics["final elbo"] == pytest.approx(run.figures.figures["elbo"].value)
    assert {"samples.png", "reconstructions.png", "report.html"} <= {file.path for file in client.list_artifacts(told.info.run_id)}
    small(tmp_path / "run", track=["mlflow"], resume=True, recipe=None, overrides=[])
    assert [each.info.run_id for each in client.search_runs([told.info.experiment_id])] == [told.info.run_id]


def test_wandb_writes_its_run_offline_and_goes_on_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"WANDB_MODE": "offline", "WANDB_CACHE_DIR": "cache", "WANDB_DATA_DIR": "data", "WANDB_CONFIG_DIR": "config"}.items():
        monkeypatch.setenv(name, value if name == "WANDB_MODE" else str(tmp_path / value))
    small(tmp_path / "run", track=["wandb"])
    identity = json.loads((tmp_path / "run" / "track.json").read_text())["wandb"]["id"]
    file, end = next((tmp_path / "run" / "wandb").glob(f"offline-run-*-{identity}/*.wandb")), time.monotonic() + 60
    while not (records := _records(file)) or not any("samples.path" in item for item in records):  # a process of the library's own writes it
        assert time.monotonic() < end, "the run was not written"
        time.sleep(0.1)
    lines = lines_of(tmp_path / "run")
    told = [item for item in records if "validation_elbo" in item]
    assert [(int(item["step"]), float(item["validation_elbo"])) for item in told] == [(line["step"], line["validation_elbo"]) for line in lines]
    assert any("reconstructions.path" in item and "latent.path" in item for item in records)
    said: list[str] = []
    small(tmp_path / "run", track=["wandb"], resume=True, recipe=None, overrides=[], say=said.append)
    assert json.loads((tmp_path / "run" / "track.json").read_text())["wandb"]["id"] == identity
    assert not [sentence for sentence in said if sentence.startswith("Warning")]


def _records(path: Path) -> list[dict[str, Any]]:
    """What was logged into an offline run: a file of LevelDB's log format, after a header of 7 bytes, with a message of the library's own a record."""
    from wandb.proto import wandb_internal_pb2

    data, place, held, found = path.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if (room := 32768 - place % 32768) < 7:
            place += room
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        held += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:  # a whole record, or the last part of one
            record: Any = wandb_internal_pb2.Record()
            record.ParseFromString(held)
            held = b""
            if record.WhichOneof("record_type") == "history":
                found.append({item.key or ".".join(item.nested_key): item.value_json for item in record.history.item})
    return found
