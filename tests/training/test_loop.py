"""One step of training against arithmetic done by hand: gradients, clipping, the schedule, the moving average, what is skipped and what is kept."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import resource
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import Tensor

from vaeworks import files
from vaeworks.errors import ArtifactError, TrainingError
from vaeworks.objectives import OBJECTIVES
from vaeworks.training import Trainer, pace
from vaeworks.training.hardware import compilation_pays, compiled
from vaeworks.training.loop import AVERAGE_EVERY, PATIENT_STEPS, Loop

# TensorBoard writes from a thread of its own: where a test fills the disk, that thread dies too, and says so during whichever test then runs.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

Make = Callable[..., Loop]
Go = Callable[..., Any]


def weights(module: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def gradients(loop: Loop) -> Tensor:
    return torch.cat([p.grad.flatten() for p in loop.parameters if p.grad is not None]).clone()


def watch(loop: Loop, see: Callable[[], Any]) -> list[Any]:
    """What ``see`` gives before each update of the weights."""
    seen: list[Any] = []
    optimizer = loop.optimizers["optimizer"]
    update = optimizer.step

    def step() -> None:
        seen.append(see())
        update()

    optimizer.step = step  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize(("batch_size", "accumulate"), [(32, 1), (16, 2), (8, 4), (27, 3)])
def test_accumulated_gradients_are_those_of_the_whole_batch(batch_size: int, accumulate: int, make_loop: Make) -> None:
    """A plain autoencoder draws nothing, so the truth is one gradient of the mean over the batch; 27 x 3 takes all 80 items in unequal parts."""
    loop = make_loop(recipe="autoencoder", batch_size=batch_size, accumulate=accumulate, clip=1e9)
    index = loop.order.at(loop.state.step, loop.state.seed)
    assert len(index) == min(batch_size * accumulate, 80)
    batch = loop.items.batch(loop.schema, index)
    loss = -loop.vae(batch).log_likelihood(batch).mean()
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, loop.parameters)])
    seen = watch(loop, lambda: gradients(loop))
    loop._step()
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-4)
    assert float(loop.loss_sum) == pytest.approx(float(loss.detach()), rel=1e-5)


@pytest.mark.parametrize("clip", [0.5, 30.0])
def test_clipping_bounds_the_norm_and_keeps_the_direction(clip: float, make_loop: Make) -> None:
    free, clipped = make_loop(clip=1e9), make_loop(clip=clip)
    torch.manual_seed(0)
    whole = watch(free, lambda: gradients(free))
    free._step()
    torch.manual_seed(0)
    short = watch(clipped, lambda: gradients(clipped))
    clipped._step()
    assert whole[0].norm() > clip
    assert float(short[0].norm()) == pytest.approx(clip, rel=1e-4)
    torch.testing.assert_close(short[0], whole[0] * clip / whole[0].norm(), rtol=1e-4, atol=1e-7)


def test_the_learning_rate_rises_and_falls(make_loop: Make, go: Go) -> None:
    trainer = Trainer(learning_rate=0.4, warm_up=0.1, final_learning_rate=0.1, decay=1.0)
    table = {0.0: 0.004, 0.05: 0.2, 0.1: 0.4, 0.325: 0.04 + 0.36 * (0.5 + math.sqrt(0.5) / 2), 0.55: 0.22, 1.0: 0.04}
    for progress, rate in table.items():
        assert trainer.learning_rate_at(progress) == pytest.approx(rate)
    assert Trainer(learning_rate=0.4, warm_up=0.0).learning_rate_at(0) == 0.4
    late = Trainer(learning_rate=0.4, warm_up=0.1, final_learning_rate=0.1, decay=0.2)
    assert [late.learning_rate_at(progress) for progress in (0.05, 0.1, 0.5, 0.8, 0.9, 1.0)] == pytest.approx([0.2, 0.4, 0.4, 0.4, 0.22, 0.04])
    loop = make_loop(learning_rate=0.01, warm_up=0.5)
    rates = watch(loop, lambda: loop.optimizers["optimizer"].learning_rate)
    go(loop)
    assert len(rates) == 40
    assert int(np.argmax(rates)) == 20
    assert rates[10] == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("steps_per_epoch", "dimensions", "epochs"), [(1, 64, 1000), (11, 64, 910), (400, 784, 25), (5000, 784, 10), (12, 16384, 100), (12, 10**6, 84)]
)
def test_epochs_left_open_make_one_to_ten_thousand_steps(steps_per_epoch: int, dimensions: int, epochs: int) -> None:
    assert Trainer().planned_epochs(steps_per_epoch, dimensions) == epochs
    assert Trainer(epochs=3).planned_epochs(steps_per_epoch, dimensions) == 3


def test_every_item_once_an_epoch(make_loop: Make) -> None:
    loop = make_loop(batch_size=20)
    seen = []
    for step in range(8):
        loop.state.step = step
        seen.append(loop.order.at(loop.state.step, loop.state.seed))
    first, second = torch.cat(seen[:4]), torch.cat(seen[4:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(80))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_moving_average_by_hand(decay: float, make_loop: Make) -> None:
    """It remembers longer as training goes on, up to the half of it, and never longer than ``ema`` says."""
    loop = make_loop(ema=decay, learning_rate=0.01)
    expected = weights(loop.vae).double()
    assert loop.state.steps == 40
    for step in range(1, 29):
        loop._step()
        if step % AVERAGE_EVERY == 0 or step < AVERAGE_EVERY:
            age = min(step, 20)
            kept = min(decay, age / (age + 20)) ** AVERAGE_EVERY
            expected = kept * expected + (1 - kept) * weights(loop.vae).double()
    torch.testing.assert_close(weights(loop.average).double(), expected, rtol=1e-5, atol=1e-6)


def test_without_an_average_the_weights_themselves_are_kept(make_loop: Make, go: Go) -> None:
    loop = make_loop(ema=0.0)
    assert loop.average is loop.vae
    last = []
    loop.progress = lambda _: last.append(weights(loop.vae))
    assert go(loop).best_step == 40
    assert torch.equal(weights(loop.vae), last[-1])


def poison(loop: Loop, steps: set[int], factor: float) -> None:
    real = loop.loss

    def loss(index: Tensor, weight: float) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        value, terms, opponent = real(index, weight)
        return value * (factor if loop.state.step in steps else 1.0), terms, opponent

    loop.loss = loss


@pytest.mark.parametrize("factor", [math.nan, math.inf, -math.inf])
def test_a_step_that_is_not_finite_changes_nothing(factor: float, make_loop: Make, go: Go) -> None:
    loop = make_loop(ema=0.9)
    bad = {0, 5, 6, 7, 20}
    poison(loop, bad, factor)
    before = weights(loop.vae)
    loop._step()
    assert torch.equal(weights(loop.vae), before)
    assert (loop.state.step, loop.state.skipped) == (1, 1)
    updates = watch(loop, lambda: loop.state.step - 1)
    history = go(loop)
    assert history.skipped == len(bad)
    assert updates == [step for step in range(1, 40) if step not in bad]
    assert weights(loop.vae).isfinite().all()
    assert all(math.isfinite(line["loss"]) for line in history.lines)


def test_ten_in_a_row_end_training_and_lose_nothing(make_loop: Make, go: Go, tmp_path: Path) -> None:
    loop = make_loop(folder=tmp_path, validate_every=5)
    poison(loop, set(range(12, 40)), math.nan)
    last: list[Tensor] = watch(loop, lambda: None)
    with pytest.raises(TrainingError, match=r"10 steps in a row.*training\.learning_rate=0\.0001"):
        go(loop)
    assert len(last) == 12
    assert loop.state.step == 12 + PATIENT_STEPS
    tensors, facts = files.read_tensors(tmp_path / "checkpoint" / "state.safetensors")
    kept = torch.cat([tensors[f"model.{name}"].flatten() for name, _ in loop.vae.named_parameters()])
    assert torch.equal(kept, weights(loop.vae))
    assert kept.isfinite().all()
    first = -(-AVERAGE_EVERY // 5) * 5  # the first validation after the average last moved
    assert (facts["state"]["skipped"], facts["state"]["best_step"]) == (PATIENT_STEPS, first)
    assert any(name.startswith("best.") for name in tensors)


def test_a_first_bound_of_nan_is_not_held_for_the_best(make_loop: Make, go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = make_loop(validate_every=10)
    real, calls = type(loop.objective).forward, []

    def forward(self: Any, trace: Any, batch: Any, weight: float = 1.0) -> Any:
        loss = real(self, trace, batch, weight)
        if not torch.is_grad_enabled():
            calls.append(1)
            if len(calls) == 1:
                return type(loss)(loss.value, {name: term * math.nan for name, term in loss.terms.items()})
        return loss

    monkeypatch.setattr(type(loop.objective), "forward", forward)
    history = go(loop)
    assert history.best_step > 10
    assert math.isfinite(history.best_score)


def elbo_by_hand(loop: Loop) -> float:
    """The bound on validation items, written out: Bernoulli terms by scipy, the KL of two normals by numpy, z from the same seed."""
    x = loop.validation.batch(loop.schema, slice(None))
    with torch.no_grad():
        torch.manual_seed(loop.state.seed)
        mean, scale = (t.double().numpy() for t in (loop.vae.encoder(x.x).mean, loop.vae.encoder(x.x).stddev))
        z = loop.vae.encoder(x.x).rsample((1,))
        logits = loop.vae.decoder.network(z[0]).double().numpy()  # type: ignore[operator, union-attr]
    p = scipy.special.expit(logits)
    reconstruction = scipy.stats.bernoulli.logpmf(x.x.numpy(), p).reshape(len(p), -1).sum(1)
    kl = (0.5 * (mean**2 + scale**2 - 1) - np.log(scale)).sum(1)
    return float((reconstruction - kl).mean())


def test_early_stopping_keeps_the_best_weights(make_loop: Make, go: Go) -> None:
    """Overfitting on 32 items: the bound on others falls again, and the weights kept are those of its highest point."""
    loop = make_loop("threshold", items=40, epochs=300, batch_size=32, learning_rate=0.02, patience=0.1, validate_every=5, ema=0.9)
    history = go(loop)
    bounds = {line["step"]: line["validation_elbo"] for line in history.lines}
    assert history.ended == "early"
    assert history.steps < 300
    assert history.best_step == max(bounds, key=lambda step: bounds[step]) < history.steps
    assert history.best_score == pytest.approx(bounds[history.best_step], rel=1e-6)
    assert bounds[history.best_step] > bounds[history.steps]
    assert elbo_by_hand(loop) == pytest.approx(history.best_score, abs=1e-3)
    assert (history.steps - history.best_step) / 5 == pytest.approx(max(5, 0.1 * 300 / 5) + 1, abs=1)


def test_the_time_given_is_kept(make_loop: Make, go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which a step takes 10 ms: the plan shrinks to what fits, and the schedule with it."""
    now = [0.0]
    monkeypatch.setattr(pace, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    loop = make_loop(epochs=1000)
    whole = loop._step

    def step() -> None:
        whole()
        now[0] += 0.01

    loop._step = step  # type: ignore[method-assign]
    rates = watch(loop, lambda: loop.optimizers["optimizer"].learning_rate)
    history = go(loop, max_minutes=0.05)
    assert (history.ended, history.steps) == ("finished", 294)  # 98 % of 3 s at 10 ms
    assert history.seconds == pytest.approx(2.94)
    assert rates[-1] < 0.02 * max(rates)


def test_a_run_that_slows_down_still_ends_its_schedule_in_time(make_loop: Make, go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    """From step 30 on the clock runs ten times as fast: the plan follows, and the last learning rate is still the schedule's last."""
    now = [0.0]
    monkeypatch.setattr(pace, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    loop = make_loop(epochs=1000)
    whole = loop._step

    def step() -> None:
        whole()
        now[0] += 0.01 if loop.state.step < 30 else 0.1

    loop._step = step  # type: ignore[method-assign]
    rates = watch(loop, lambda: loop.optimizers["optimizer"].learning_rate)
    history = go(loop, max_minutes=0.05)
    assert history.seconds == pytest.approx(2.94, abs=0.2)
    assert history.lines[-1]["step"] == history.steps
    assert rates[-1] < 0.1 * max(rates)


def test_no_time_at_all_still_leaves_a_model(make_loop: Make, go: Go) -> None:
    loop = make_loop(epochs=1000)
    history = go(loop, max_minutes=1e-9)
    assert history.steps <= 2
    assert history.best_step == history.steps
    assert weights(loop.vae).isfinite().all()


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Inside, no file may grow past so many bytes: what the system then says is what it says of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_full_disk_leaves_the_last_checkpoint(make_loop: Make, go: Go, tmp_path: Path) -> None:
    go(make_loop(folder=tmp_path, epochs=2))
    before = contents(tmp_path / "checkpoint")
    loop = make_loop(folder=tmp_path)
    with full_disk(5000), pytest.raises(ArtifactError, match=r"cannot write .*state\.safetensors.*what was there is unchanged"):
        go(loop, checkpoint_seconds=0)
    assert contents(tmp_path / "checkpoint") == before


def refuse(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("refuser", ["save_file", "os.fsync", "Path.replace", "Path.open"])
def test_whatever_the_disk_refuses_nothing_is_lost(refuser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.replace_file(tmp_path / "a", b"old")
    files.write_tensors(tmp_path / "b", {"x": torch.ones(2)}, {"n": 1})
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        where: Any = {"os": os, "Path": Path}.get(refuser.split(".", maxsplit=1)[0], files)
        patch.setattr(where, refuser.rsplit(".", maxsplit=1)[-1], refuse)
        if refuser != "save_file":
            with pytest.raises(ArtifactError, match="No space left on device; what was there is unchanged"):
                files.replace_file(tmp_path / "a", b"new")
        with pytest.raises(ArtifactError, match=r"No space left on device.*what was there is unchanged"):
            files.write_tensors(tmp_path / "b", {"x": torch.zeros(2)}, {})
    assert contents(tmp_path) == before


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArtifactError, match="cannot write"):
        files.write_tensors(tmp_path / "file" / "run" / "x", {"x": torch.ones(1)}, {})
    with pytest.raises(ArtifactError, match="cannot write"):
        files.replace_file(tmp_path / "file" / "x", b"")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard writes in a thread of its own
def test_metrics_that_cannot_be_written_end_training_with_one_error(make_loop: Make, go: Go, tmp_path: Path) -> None:
    loop = make_loop(folder=tmp_path, validate_every=2)
    with full_disk(300), pytest.raises(ArtifactError, match="cannot write metrics of step"):
        go(loop)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_without_a_compiler_the_step_is_not_compiled(make_loop: Make, go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    eager = make_loop(epochs=1)
    go(eager)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (str(tmp_path / "g++"),))
    loop = make_loop(epochs=1, compile="on")
    assert loop.loss != loop._loss
    history = go(loop)
    assert history.ended == "finished"
    assert torch.equal(weights(loop.vae), weights(eager.vae))
    assert not compilation_pays(loop.vae, torch.device("cpu"), 10**12)


def test_a_few_minutes_are_too_short_to_compile(make_loop: Make, go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaeworks.training.loop.compilation_pays", lambda *_: True)
    loop = make_loop(compile="auto")
    assert loop.loss != loop._loss
    go(loop, max_minutes=0.02)
    assert loop.loss == loop._loss


def test_an_error_of_the_function_itself_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function: function)

    def broken() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        compiled(broken)()


def test_bfloat16_trains_on_a_cpu(make_loop: Make, go: Go) -> None:
    loop = make_loop(precision="bf16", validate_every=20)
    seen: list[torch.dtype] = []
    loop.vae.decoder.network.body[0].register_forward_hook(lambda *seen_by: seen.append(seen_by[-1].dtype))  # type: ignore[union-attr, index]
    history = go(loop)
    assert torch.bfloat16 in seen
    assert history.skipped == 0
    assert {p.dtype for p in loop.vae.parameters()} == {torch.float32}
    assert all(math.isfinite(value) for line in history.lines for value in line.values())
    assert history.lines[-1]["validation_elbo"] > history.lines[0]["validation_elbo"]


def test_training_learns_and_tells(make_loop: Make, go: Go, tmp_path: Path) -> None:
    told: list[Any] = []
    loop = make_loop(folder=tmp_path, epochs=60, learning_rate=0.01, validate_every=50, progress=told.append)
    history = go(loop)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == history.lines
    assert [line["step"] for line in lines] == [50, 100, 150, 200, 250, 300]
    assert lines[-1]["validation_elbo"] > lines[0]["validation_elbo"] + 2
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert (told[-1].step, told[-1].steps, told[-1].best) == (300, 300, history.best_score)


OBJECTIVE_KNOBS = {
    "elbo": ("gradient=stl",),
    "iwae": ("samples=3", "gradient=dreg"),
    "miwae": ("samples=2", "groups=2"),
    "piwae": ("samples=2", "groups=2"),
    "regularised": ("gradient=0.01",),
    "factor": ("hidden=[8]",),
    "adversarial": ("hidden=[8]",),
    "vae-gan": ("hidden=[8]", "features=4"),
}


def objective(kind: str) -> tuple[str, ...]:
    named = ("context=partial-label", "latents.kind=labelled") if kind == "semi-supervised" else ()
    return (*(f"objective.{knob}" for knob in (f"kind={kind}", *OBJECTIVE_KNOBS.get(kind, ()))), *named)


@pytest.mark.parametrize("kind", [kind for kind in OBJECTIVES if kind != "spectral-elbo"])  # which is for sounds
def test_every_objective_trains_and_goes_on_after_a_crash_to_the_same_weights(kind: str, make_loop: Make, go: Go, tmp_path: Path) -> None:
    """Discriminators, their optimiser's moments, multipliers and all."""
    knobs: dict[str, Any] = {"overrides": objective(kind), "epochs": 2, "validate_every": 4, "labels": 10 if kind == "semi-supervised" else None}
    straight = make_loop(**knobs)
    before = weights(straight.vae), weights(straight.objective) if straight.opponents else torch.zeros(0)
    expected = go(straight)
    assert (expected.steps, expected.skipped) == (10, 0)
    assert all(math.isfinite(value) for line in expected.lines for value in line.values())
    assert any(name.startswith("train_") for name in expected.lines[-1])
    assert not torch.equal(weights(straight.vae), before[0])
    if straight.opponents:
        assert not torch.equal(weights(straight.objective), before[1])
    stopped = make_loop(folder=tmp_path, **knobs)
    for _ in range(6):
        stopped._step()
    stopped._save()
    for _ in range(2):
        stopped._step()
    last = make_loop(folder=tmp_path, **knobs)
    last._restore(tmp_path / "checkpoint" / "state.safetensors")
    for _ in range(2):
        last._step()
    pairs = [*zip(stopped._modules().values(), last._modules().values(), strict=True)]
    assert all(torch.equal(a, b) for one, other in pairs for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_the_opponent_takes_its_own_step_and_the_model_its_own(make_loop: Make) -> None:
    """Gradients of a step with two accumulated parts, against each loss differentiated by itself under the same noise; the opponent's is not clipped."""
    loop = make_loop(overrides=objective("factor"), accumulate=2, batch_size=10, clip=1e-3)
    index = loop.order.at(loop.state.step, loop.state.seed)
    state = torch.get_rng_state()
    model, opponent = 0.0, 0.0
    for part in index.chunk(2):
        batch = loop.items.batch(loop.schema, part)
        loss = loop.objective(loop.vae(batch, 1), batch, loop.objective.weight(0.0))
        model = model + torch.cat([g.flatten() for g in torch.autograd.grad(loss.value, loop.parameters, retain_graph=True)]) / 2
        assert loss.opponent is not None
        opponent = opponent + torch.cat([g.flatten() for g in torch.autograd.grad(loss.opponent, loop.opponents)]) / 2
    torch.set_rng_state(state)
    seen = watch(loop, lambda: (gradients(loop), torch.cat([p.grad.flatten() for p in loop.opponents if p.grad is not None]).clone()))
    before = weights(loop.objective)
    loop._step()
    torch.testing.assert_close(seen[0][0], model * (1e-3 / model.norm()), rtol=1e-3, atol=1e-8)
    torch.testing.assert_close(seen[0][1], opponent, rtol=1e-4, atol=1e-6)
    moved = weights(loop.objective) - before
    assert torch.equal(moved[opponent.abs() > 1e-6].sign(), -opponent[opponent.abs() > 1e-6].sign())
    assert all(p.grad is None for p in (*loop.parameters, *loop.opponents))


def test_an_opponent_whose_gradient_is_not_finite_stops_the_step_too(make_loop: Make) -> None:
    loop = make_loop(overrides=objective("adversarial"))
    real = loop.loss

    def loss(index: Tensor, weight: float) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        value, terms, opponent = real(index, weight)
        assert opponent is not None
        return value, terms, opponent * math.nan

    loop.loss = loss
    before = weights(loop.vae), weights(loop.objective)
    loop._step()
    assert loop.state.skipped == 1
    assert torch.equal(weights(loop.vae), before[0])
    assert torch.equal(weights(loop.objective), before[1])


def test_the_objective_meets_the_data_before_training_and_leaves_no_trace_in_the_noise(make_loop: Make) -> None:
    torch.manual_seed(5)
    plain = make_loop(overrides=objective("elbo"))
    expected = torch.rand(3)
    settled = make_loop(overrides=objective("beta-tc"))
    assert settled.objective.count == len(settled.items) == 80
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(weights(plain.vae), weights(settled.vae))
    assert settled.vae.training
    assert settled.objective.training
