"""The training loop: one step, one validation, one checkpoint, and the order in which they happen."""

from __future__ import annotations

import contextlib
import copy
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaeworks.data import Data
from vaeworks.errors import ArtifactError, TrainingError
from vaeworks.files import read_tensors, write_tensors
from vaeworks.model import VAE
from vaeworks.objectives import Objective
from vaeworks.training.adamw import AdamW
from vaeworks.training.hardware import compilation_pays, compiled, keep_memory, resident, threads_for, using_threads
from vaeworks.training.hiding import hide
from vaeworks.training.lagging import catch_up, still_lags
from vaeworks.training.metrics import Record
from vaeworks.training.order import Order
from vaeworks.training.pace import Pace, deferred_interrupt
from vaeworks.training.precision import networks_in_bfloat16, rounding
from vaeworks.training.pretraining import Pretraining

if TYPE_CHECKING:
    from vaeworks.training.trainer import Trainer

__all__ = ["History", "Loop", "Progress"]

PATIENT_STEPS = 10
"""Non-finite steps in a row before training stops with advice."""
AVERAGE_EVERY = 8
"""Steps between updates of the moving average, after the first few, which it follows one by one."""

COMPILING_MINUTES = 10
"""Below so many minutes of training there is no time to compile, whatever the plan says."""


@dataclass(frozen=True)
class Progress:
    """Where training is, for a progress bar."""

    step: int
    steps: int
    items_per_second: float
    loss: float
    best: float


@dataclass(frozen=True)
class History:
    """How training went: ``lines`` as in metrics.jsonl, and why it ended (finished, early, interrupted, time)."""

    lines: list[dict[str, Any]]
    steps: int
    best_step: int
    best_score: float
    seconds: float
    skipped: int
    ended: str


@dataclass
class _State:
    """What a checkpoint holds beside tensors."""

    seed: int
    steps: int
    step: int = 0
    best_score: float = -math.inf
    best_step: int = 0
    waited: int = 0
    skipped: int = 0
    seconds: float = 0.0
    lines: int = 0
    pretrained: bool = False
    lagging: bool = True
    information: float = -math.inf


class Loop:
    """One training run in memory."""

    def __init__(
        self,
        knobs: Trainer,
        vae: VAE,
        objective: Objective,
        data: Data,
        *,
        folder: Path | None,
        device: torch.device,
        seed: int,
        progress: Callable[[Progress], None] | None,
        listen: Callable[[Mapping[str, Any]], None] | None = None,
    ):
        keep_memory()
        self.listen = listen
        self.knobs, self.schema, self.device, self.progress = knobs, data.schema, device, progress
        examples, few = (data.train[:n].batch(data.schema, slice(None), torch.Generator().manual_seed(seed)) for n in (1000, 2))
        vae.settle(data.train.mean(data.schema), examples.x)
        with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            objective.settle(vae.to(device).eval()(few.to(device)), len(data.train))
        self.vae, self.objective = vae.train(), objective.to(device).train()
        self.average = copy.deepcopy(vae).eval() if knobs.ema else vae
        self.items, self.validation = resident(data.train, device), resident(data.validation if len(data.validation) else data.train, device)
        self.batch_size = min(knobs.batch_size * knobs.accumulate, len(self.items))
        self.order = Order(self.items, self.batch_size, labels_matter=data.schema.context == "partial-label", alike=data.schema.trims)
        self.epoch_steps, objective.labelled = self.order.epoch_steps, self.order.share
        self.state = _State(seed, knobs.planned_epochs(self.epoch_steps, math.prod(data.schema.input_shape)) * self.epoch_steps)
        self.validate_every = max(self.epoch_steps, min(100, self.state.steps))
        self.folder, self.checkpoint = folder, None if folder is None else folder / "checkpoint" / "state.safetensors"
        self.parameters = [p for p in vae.parameters() if p.requires_grad]
        self.averaged: list[Tensor] = list(self.average.parameters())
        self.averaging: list[Tensor] = list(vae.parameters())
        self.opponents = [p for p in objective.parameters() if p.requires_grad]
        self.optimizers = {"optimizer": AdamW(self.parameters, weight_decay=knobs.weight_decay)}
        if self.opponents:
            self.optimizers["opponent"] = AdamW(self.opponents, betas=(0.5, 0.9))
        self.rounded = networks_in_bfloat16(vae, knobs.precision, device, self.batch_size // knobs.accumulate, objective.samples)
        pays = knobs.compile == "on" or (knobs.compile == "auto" and compilation_pays(vae, device, self.state.steps * self.batch_size))
        self.loss = compiled(self._loss) if pays and objective.compilable else self._loss
        self.best: dict[str, Tensor] = {}
        self.loss_sum, self.loss_count, self.terms = torch.zeros((), device=device), 0, dict[str, Tensor]()
        self.bad = 0
        self.pretraining = Pretraining(knobs.pretrain, vae.decoder)

    def run(self, *, resume: bool, max_minutes: float | None, checkpoint_seconds: float) -> History:
        most = self.state.steps
        if self.knobs.compile == "auto" and max_minutes is not None and max_minutes < COMPILING_MINUTES:
            self.loss = self._loss
        torch.manual_seed(self.state.seed)
        if resume and self.checkpoint is not None and self.checkpoint.is_file():
            self._restore(self.checkpoint)
        state, record = self.state, Record(self.folder, kept=self.state.lines, listen=self.listen)
        pace = Pace(state, max_minutes, most)
        ended = ""
        threads = threads_for(self.vae, self.batch_size, self.device)
        with deferred_interrupt() as interrupted, contextlib.closing(record), using_threads(threads), rounding(self.rounded):
            while state.step < state.steps and not (ended := self._reason_to_stop(interrupted, pace)):
                self._step()
                pace.tick(self.batch_size)
                validated = state.step % self.validate_every == 0 or state.step == state.steps
                if validated:
                    self._validate(record)
                if self.progress is not None and (validated or pace.due("report", 0.3)):
                    self.progress(Progress(state.step, state.steps, pace.rate, float(self.loss_sum) / max(1, self.loss_count), state.best_score))
                if pace.due("checkpoint", checkpoint_seconds):
                    self._save()
            self._save()
            if not self.best or (ended in {"interrupted", "time"} and record.lines[-1]["step"] != state.step):
                self._validate(record)  # after the checkpoint, so that going on from it is as if nobody had looked
        self.vae.load_state_dict(self.best)
        self.vae.eval()
        return History(record.lines, state.step, state.best_step, state.best_score, state.seconds, state.skipped, ended or "finished")

    def _reason_to_stop(self, interrupted: threading.Event, pace: Pace) -> str:
        state, patience = self.state, self.knobs.patience
        if interrupted.is_set():
            return "interrupted"
        if patience < 1 and state.pretrained and state.waited > max(5, patience * state.steps / self.validate_every):
            return "early"
        return "time" if pace.over else ""

    def _step(self) -> None:
        """One update; a step whose gradient is not finite changes nothing."""
        knobs, state = self.knobs, self.state
        progress = state.step / state.steps
        weight = self.pretraining.weight(self, progress)
        if knobs.aggressive and state.lagging and state.pretrained:
            catch_up(self, knobs.learning_rate_at(progress), weight)
        total = torch.zeros((), device=self.device)
        for index in self.order.at(state.step, state.seed).chunk(knobs.accumulate):
            value, terms, opponent = self.loss(index, weight)
            share = len(index) / self.batch_size
            ((value if opponent is None else value + opponent) * share).backward()  # neither reaches the parameters of the other
            total += value.detach() * share
        gradients, theirs = ([p.grad for p in side if p.grad is not None] for side in (self.parameters, self.opponents))
        norm = math.sqrt(sum([torch.dot(g, g).item() for g in [g.flatten() for g in gradients]]))
        state.step += 1
        if math.isfinite(norm) and all(bool(g.isfinite().all()) for g in theirs):
            if norm > knobs.clip:
                torch._foreach_mul_(gradients, knobs.clip / norm)
            for optimizer in self.optimizers.values():
                optimizer.learning_rate = knobs.learning_rate_at(progress)
                optimizer.step()
            self.bad = 0
            self.loss_sum += total
            self.loss_count += 1
            if state.step % 10 == 0:
                self.terms = {name: term.mean() for name, term in terms.items()}
            if knobs.ema and (state.step % AVERAGE_EVERY == 0 or state.step < AVERAGE_EVERY):
                self._average()
        else:
            self._skip()
        for p in (*self.parameters, *self.opponents):
            p.grad = None

    def _loss(self, index: Tensor, weight: float) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
        """The loss of the items at ``index`` (scalar), its terms per item, and the opponent's loss."""
        batch = self.items.batch(self.schema, index).to(self.device)
        if self.knobs.hide:
            batch = hide(batch, self.knobs.hide, ends=self.schema.kind == "audio")
        trace = self.vae(batch, self.objective.samples)
        loss = self.objective(trace, batch, weight)
        return loss.value, dict(loss.terms), loss.opponent

    def _skip(self) -> None:
        self.state.skipped, self.bad = self.state.skipped + 1, self.bad + 1
        if self.bad >= PATIENT_STEPS:
            self._save()
            raise TrainingError(
                f"the gradient was not finite in {self.bad} steps in a row, up to step {self.state.step}: lower the learning rate"
                f" (--set training.learning_rate={self.knobs.learning_rate / 10:g}), or use --set training.precision=float32;"
                " look for extreme values in the data"
            )

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights; over no more than the last twentieth of a beginning, or fortieth of a plan, when the past is worth little."""
        decay = min(self.knobs.ema, 1 - 1 / (1 + min(self.state.step, self.state.steps / 2) / 20)) ** AVERAGE_EVERY
        torch._foreach_lerp_(self.averaged, self.averaging, 1 - decay)

    @torch.no_grad()
    def _validate(self, record: Record) -> None:
        """The bound on validation items with the averaged weights; the best are kept. Its noise is the same each time, and not training's own."""
        state = self.state
        if self.average is not self.vae:
            for average, current in zip(self.average.buffers(), self.vae.buffers(), strict=True):
                average.copy_(current)
        self.average.eval()
        self.objective.eval()
        sums: dict[str, float] = {}
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(state.seed)
            for raw in self.validation.batches(self.schema, 500, torch.Generator().manual_seed(state.seed)):
                batch = raw.to(self.device)
                loss = self.objective(self.average(batch, self.objective.samples), batch)
                for name, term in {**loss.terms, "loss": loss.value}.items():
                    sums[name] = sums.get(name, 0.0) + float(term.mean()) * len(batch)
            state.lagging = bool(self.knobs.aggressive) and state.lagging and still_lags(self)
        self.average.train(self.average is self.vae)
        self.objective.train()
        means = {name: value / len(self.validation) for name, value in sums.items()}
        line = {"step": state.step, "epoch": round(state.step / self.epoch_steps, 3), "seconds": round(state.seconds, 2)}
        line |= {"loss": float(self.loss_sum) / max(1, self.loss_count)} | {f"train_{name}": float(value) for name, value in self.terms.items()}
        record.add(line | {f"validation_{name}": value for name, value in means.items()})
        self.loss_sum, self.loss_count = torch.zeros((), device=self.device), 0
        state.lines, state.waited = state.lines + 1, state.waited + 1
        score = -means["loss"] if math.isfinite(means["loss"]) else -math.inf
        if score > state.best_score or not self.best or not self.objective.stationary:
            state.best_score, state.best_step, state.waited = score, state.step, 0
            self.best = {name: t.detach().clone() for name, t in self.average.state_dict().items()}

    def _modules(self) -> dict[str, torch.nn.Module]:
        modules: dict[str, torch.nn.Module] = {"model": self.vae, "objective": self.objective, "pretraining": self.pretraining}
        return modules if self.average is self.vae else modules | {"average": self.average}

    def _moments(self) -> dict[str, Tensor]:
        """What the optimisers remember, by the names that it has in a checkpoint."""
        return {f"{part}.{name}": t for part, optimizer in self.optimizers.items() for name, t in optimizer.named_moments()}

    def _save(self) -> None:
        """Everything that decides how training goes on."""
        if self.checkpoint is None:
            return
        tensors = {f"{part}.{name}": t for part, module in self._modules().items() for name, t in module.state_dict().items()}
        tensors |= {f"best.{name}": t for name, t in self.best.items()}
        tensors |= self._moments() | {"random.cpu": torch.get_rng_state(), "loss_sum": self.loss_sum}
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        facts = {
            "state": asdict(self.state),
            "loss_count": self.loss_count,
            "bad": self.bad,
            "terms": {name: float(t) for name, t in self.terms.items()},
        }
        write_tensors(self.checkpoint, tensors, facts)

    def _restore(self, path: Path) -> None:
        tensors, facts = read_tensors(path)
        try:
            for part, module in self._modules().items():
                module.load_state_dict({n.removeprefix(f"{part}."): t for n, t in tensors.items() if n.startswith(f"{part}.")})
            for name, moment in self._moments().items():
                moment.copy_(tensors[name])
            self.best = {n.removeprefix("best."): t.to(self.device) for n, t in tensors.items() if n.startswith("best.")}
            self.loss_sum, self.loss_count, self.bad = tensors["loss_sum"].to(self.device), facts["loss_count"], facts["bad"]
            self.state = _State(**facts["state"])
            self.terms = {name: torch.tensor(value, device=self.device) for name, value in facts["terms"].items()}
            torch.set_rng_state(tensors["random.cpu"])
            if "random.cuda" in tensors and self.device.type == "cuda":
                torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        except (KeyError, TypeError, RuntimeError) as error:
            raise ArtifactError(
                f"the checkpoint {path} does not fit this recipe and data ({str(error).splitlines()[0]}); train without --resume"
            ) from error
