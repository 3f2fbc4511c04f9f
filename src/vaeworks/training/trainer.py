"""What can be set about training, and how to start it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from vaeworks.data import Data
from vaeworks.model import VAE
from vaeworks.objectives import Objective
from vaeworks.training.loop import History, Loop, Progress

__all__ = ["Trainer"]


class Trainer:
    """AdamW with warm-up and a cosine schedule; the weights kept are the moving average with the best bound on validation items.

    epochs: passes over the training items; None: as many as make 1000 to 10,000 steps, by the size of an item, between 10 and 1000.
    warm_up: share of training over which the learning rate rises; decay: share at the end over which it falls, along half a cosine; final_learning_rate: the share of it
    that is left then.
    clip: largest norm of the gradient of the loss (nats per item); longer ones are shortened to it.
    ema: decay per step of the moving average of the weights that is evaluated and kept; 0 keeps the last weights themselves.
    patience: stop when that share of the planned validations has brought no better bound; 1 never stops early.
    accumulate: batches whose gradients are averaged into one step.
    pretrain: share of training in which the KL weighs nothing, after which the decoder begins again: against posterior collapse (Li et al. 2019, arXiv:1909.00868).
    aggressive: steps of the encoder alone before each step, at most, as long as validation shows that its codes tell more and more; 0 takes none (He et al. 2019,
    arXiv:1901.05534).
    hide: share of the observed coordinates that a step does not see, in the mean: an item loses a share uniform over [0, 1] of its own, with probability min(1, 2 hide), so that q
    is learned for any subset, for filling in and for draws under conditions (Mattei & Frellsen 2019, arXiv:1812.02633; Ivanov et al. 2019, arXiv:1806.02382).
    precision: bf16 rounds what networks multiply to bfloat16, and computes every probability in float32; auto does so for the networks that train faster for it, else float32.
    compile: auto compiles the step where training is long enough to pay for it.
    """

    def __init__(
        self,
        *,
        epochs: Annotated[int, Field(gt=0)] | None = None,
        batch_size: Annotated[int, Field(gt=0)] = 128,
        learning_rate: Annotated[float, Field(gt=0)] = 1e-3,
        weight_decay: Annotated[float, Field(ge=0)] = 0.0,
        warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.02,
        decay: Annotated[float, Field(gt=0, le=1)] = 0.3,
        final_learning_rate: Annotated[float, Field(ge=0, le=1)] = 0.01,
        clip: Annotated[float, Field(gt=0)] = 200.0,
        ema: Annotated[float, Field(ge=0, lt=1)] = 0.999,
        patience: Annotated[float, Field(gt=0, le=1)] = 0.3,
        accumulate: Annotated[int, Field(gt=0)] = 1,
        pretrain: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        aggressive: Annotated[int, Field(ge=0)] = 0,
        hide: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        precision: Literal["auto", "float32", "bf16"] = "auto",
        compile: Literal["auto", "on", "off"] = "auto",
    ):
        self.epochs, self.batch_size, self.learning_rate, self.weight_decay = epochs, batch_size, learning_rate, weight_decay
        self.warm_up, self.decay, self.final_learning_rate, self.clip, self.ema = warm_up, decay, final_learning_rate, clip, ema
        self.patience, self.accumulate, self.precision, self.compile = patience, accumulate, precision, compile
        self.pretrain, self.aggressive, self.hide = pretrain, aggressive, hide

    def planned_epochs(self, steps_per_epoch: int, dimensions: int) -> int:
        """``epochs``; or as many as make 1000 to 10,000 steps, fewer the larger an item is, so that one plan takes minutes for any data; a token is as large as the vocabulary."""
        steps = min(10_000, max(1_000, int(2.5e9 / (self.batch_size * dimensions))))
        return self.epochs or min(1000, max(10, math.ceil(steps / steps_per_epoch)))

    def learning_rate_at(self, progress: float) -> float:
        """Linear warm-up, the full rate until the decay begins, then half a cosine down to the final share."""
        if progress < self.warm_up:
            return self.learning_rate * max(progress / self.warm_up, 0.01)
        falls = max(self.warm_up, 1 - self.decay)
        cosine = 0.5 + 0.5 * math.cos(math.pi * max(0.0, progress - falls) / (1 - falls))
        return self.learning_rate * (self.final_learning_rate + (1 - self.final_learning_rate) * cosine)

    def fit(
        self,
        vae: VAE,
        objective: Objective,
        data: Data,
        *,
        folder: Path | None = None,
        device: torch.device | str = "cpu",
        seed: int = 0,
        max_minutes: float | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
        progress: Callable[[Progress], None] | None = None,
        listen: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> History:
        """Train ``vae`` in place and leave the best weights in it; ``folder`` receives checkpoints and metrics, and ``listen`` each line of the metrics.

        ``resume`` goes on from ``folder``'s checkpoint, if there is one, to the very weights that an uninterrupted run would have reached (bit for bit
        on a CPU).
        ``max_minutes`` shortens the plan, and the schedule with it, to what fits: the rate is measured over the first steps.

        Raises TrainingError when steps stay non-finite.
        """
        loop = Loop(self, vae, objective, data, folder=folder, device=torch.device(device), seed=seed, progress=progress, listen=listen)
        return loop.run(resume=resume, max_minutes=max_minutes, checkpoint_seconds=checkpoint_seconds)
