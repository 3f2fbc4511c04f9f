"""A run stopped at any moment goes on to the very weights it would have reached; kill -9 and Ctrl-C included."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vaeworks.errors import ArtifactError
from vaeworks.runs import load
from vaeworks.training.loop import Loop
from vaeworks.training.pace import Pace

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"ema": 0.0},
    "averaged": {},
    "dynamic": {"binarise": "dynamic", "ema": 0.9},
    "accumulating": {"binarise": "dynamic", "accumulate": 3, "batch_size": 8},
    "scheduled": {"overrides": ("objective.schedule.kind=cyclical", "objective.samples=2", "objective.analytic=false"), "weight_decay": 0.1},
    "pretrained": {"pretrain": 0.4, "ema": 0.9},
    "aggressive": {"aggressive": 12, "learning_rate": 0.01},
    "hiding": {"hide": 0.3, "ema": 0.9},
    "hiding itself": {"hide": 0.3, "overrides": ("objective.kind=not-miwae", "objective.samples=2")},
    "early": {"patience": 0.1, "learning_rate": 0.05, "items": 40, "epochs": 60},
}


class CrashError(Exception):
    pass


def told(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines of metrics without the time they took."""
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return told([json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()])


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    pairs = list(zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    return all(torch.equal(x, y) for x, y in pairs)


def crash_before(loop: Loop, step: int) -> None:
    """The loop dies before the step of that number."""
    whole = loop._step

    def until() -> None:
        if loop.state.step == step:
            raise CrashError
        whole()

    loop._step = until  # type: ignore[method-assign]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_crash_changes_nothing(variant: str, make_loop: Callable[..., Loop], go: Callable[..., Any], tmp_path: Path, monkeypatch: Any) -> None:
    rng = random.Random(variant)
    knobs = {"validate_every": 4, **VARIANTS[variant]}
    straight = make_loop(folder=tmp_path / "straight", **knobs)
    expected = go(straight)
    # a checkpoint every few steps, as chance has it, and not in step with validation
    monkeypatch.setattr(Pace, "due", lambda _, *due: due[0] == "checkpoint" and rng.random() < 0.25)
    folder = tmp_path / "stopped"
    crashes = 0
    for stop in sorted(rng.sample(range(1, expected.steps), 5)):
        loop = make_loop(folder=folder, **knobs)
        crash_before(loop, stop)
        with pytest.raises(CrashError):
            go(loop, resume=True)
        crashes += 1
    last = make_loop(folder=folder, **knobs)
    history = go(last, resume=True)
    assert crashes == 5
    assert same(straight.vae, last.vae)
    assert lines_of(folder) == lines_of(tmp_path / "straight") == told(expected.lines) == told(history.lines)
    assert (history.steps, history.best_step, history.best_score, history.ended) == (
        expected.steps, expected.best_step, expected.best_score, expected.ended,
    )  # fmt: skip
    assert (expected.ended == "early") == (variant == "early")


def test_a_finished_run_stays_as_it_is(make_loop: Callable[..., Loop], go: Callable[..., Any], tmp_path: Path) -> None:
    """Killed while it was measured, say: going on with it trains no further."""
    for knobs in ({}, VARIANTS["early"]):
        folder = tmp_path / str(len(knobs))
        first = make_loop(folder=folder, validate_every=1, **knobs)
        done = go(first)
        again = make_loop(folder=folder, validate_every=1, **knobs)
        assert told(go(again, resume=True).lines) == told(done.lines)
        assert same(first.vae, again.vae)


def test_ctrl_c_does_not_change_where_a_run_goes(make_loop: Callable[..., Loop], go: Callable[..., Any], tmp_path: Path) -> None:
    """Stopping looks at the model (a validation more); going on is as if nobody had looked."""
    knobs = {"validate_every": 15, "binarise": "dynamic"}
    straight = make_loop(**knobs)
    expected = go(straight)

    stopped = make_loop(folder=tmp_path, **knobs)
    whole = stopped._step

    def step_and_press() -> None:
        whole()
        if stopped.state.step == 22:
            signal.raise_signal(signal.SIGINT)

    stopped._step = step_and_press  # type: ignore[method-assign]
    before = signal.getsignal(signal.SIGINT)
    history = go(stopped)
    assert (history.ended, history.steps) == ("interrupted", 22)
    assert [line["step"] for line in history.lines] == [15, 22]
    assert signal.getsignal(signal.SIGINT) is before

    resumed = make_loop(folder=tmp_path, **knobs)
    assert told(go(resumed, resume=True).lines) == told(expected.lines)
    assert same(straight.vae, resumed.vae)


def test_one_seed_one_run(make_loop: Callable[..., Loop], go: Callable[..., Any]) -> None:
    first, again, other = make_loop("dynamic", seed=1), make_loop("dynamic", seed=1), make_loop("dynamic", seed=2)
    histories = [go(loop) for loop in (first, again, other)]
    assert same(first.vae, again.vae)
    assert not same(first.vae, other.vae)
    assert told(histories[0].lines) == told(histories[1].lines) != told(histories[2].lines)


@pytest.mark.parametrize("damage", ["truncated", "empty", "no tensors", "another recipe"])
def test_a_damaged_checkpoint_is_refused(damage: str, make_loop: Callable[..., Loop], go: Callable[..., Any], tmp_path: Path) -> None:
    loop = make_loop(folder=tmp_path, epochs=1)
    go(loop)
    path = tmp_path / "checkpoint" / "state.safetensors"
    content = path.read_bytes()
    path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "no tensors": b"\x02\0\0\0\0\0\0\0{}"}.get(damage, content))
    again = make_loop(folder=tmp_path, epochs=1, overrides=("latent_size=5",) if damage == "another recipe" else ())
    with pytest.raises(ArtifactError, match=r"state\.safetensors"):
        go(again, resume=True)


def test_killed_at_any_moment(forks: Any, digits_run: Path, training_command: tuple[str, ...], tmp_path: Path) -> None:
    """Real processes, killed at random moments: before the first checkpoint, while one is written, between two."""
    rng, folder, log = random.Random(0), tmp_path / "run", tmp_path / "log"
    checkpoint = folder / "checkpoint" / "state.safetensors"

    def written(path: Path, since: float = 0.0) -> Callable[[], bool]:
        return lambda: path.exists() and path.stat().st_mtime > since

    early = forks.start(*training_command[:-1], 1000, "-o", folder, "--resume", log=log)
    forks.until(early, written(folder / "run.json"), log)
    time.sleep(rng.uniform(0, 0.1))
    assert forks.kill(early) == -signal.SIGKILL
    assert not checkpoint.exists()

    killed = 0
    for every in (0.2, 0.05, 0, 0.1):
        since = checkpoint.stat().st_mtime if checkpoint.exists() else 0.0
        process = forks.start(*training_command[:-1], every, "-o", folder, "--resume", log=log)
        forks.until(process, written(checkpoint, since), log)
        time.sleep(rng.uniform(0, 0.15))
        killed += forks.kill(process) == -signal.SIGKILL
        assert not (folder / "model.safetensors").exists()
    assert killed >= 3

    forks.start(*training_command, "-o", folder, "--resume", log=log)
    assert forks.wait() == 0, log.read_text()
    assert (folder / "model.safetensors").read_bytes() == (digits_run / "model.safetensors").read_bytes()
    assert lines_of(folder) == lines_of(digits_run)
    assert not list(folder.rglob("*.tmp"))


def test_ctrl_c_leaves_a_usable_model(forks: Any, tmp_path: Path) -> None:
    folder, log = tmp_path / "run", tmp_path / "log"
    process = forks.start("train", "digits", "--limit", 200, "-o", folder, "--device", "cpu", "--checkpoint-seconds", 0, log=log)
    forks.until(process, (folder / "checkpoint" / "state.safetensors").exists, log)
    os.kill(process, signal.SIGINT)
    assert forks.wait() == 0, log.read_text()
    assert "Training stopped by you" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert load(folder).sample(3, seed=0).isfinite().all()
    assert (folder / "report.html").exists()
