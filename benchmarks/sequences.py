"""Training speed on text and sound: tokens a second and seconds of sound a second, beside a plain PyTorch loop of the same network.

    python benchmarks/sequences.py --text FILE --sounds FOLDER [--seconds 20] [--rounds 3]

The plain loop is what a careful person writes around the same modules: items in memory, random batches padded to the longest of each, the closed-form KL, the likelihood by torch's own
functions, fused AdamW. Both learn at a fixed rate without a moving average or validation. They take turns; ratios are medians over rounds.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch counts the cores

import torch
from torch import Tensor
from torch.nn import functional as F

from vaeworks.data import Data, open_data
from vaeworks.recipes import build_objective, build_trainer, build_vae
from vaeworks.runs import plan_recipe
from vaeworks.trace import Batch
from vaeworks.training import Progress

PLAIN = ("training.ema=0", "training.warm_up=0", "training.patience=1", "training.compile=off", "training.precision=float32")


def gaussian_kl(q: Any) -> Tensor:
    mean, scale = q.mean, q.stddev
    return 0.5 * (mean.square() + scale.square() - 1 - 2 * scale.log()).sum()


def text_loss(vae: Any, batch: Batch) -> Tensor:
    q = vae.encoder(batch.x, batch.observed)
    logits = vae.decoder.network(q.rsample()).logits(batch.x)
    each = F.cross_entropy(logits.flatten(0, 1), batch.x.flatten(), reduction="none")
    return (each[batch.observed.flatten()].sum() + gaussian_kl(q)) / len(batch)


def sound_loss(vae: Any, batch: Batch) -> Tensor:
    q = vae.encoder(batch.x, batch.observed)
    features, likelihood = vae.decoder.network(q.rsample()), vae.decoder.likelihood
    loc, end = features.split([likelihood.event_shape[0], 1], 1)
    log_scale = likelihood.log_scale
    each = 0.5 * ((batch.x - loc) / log_scale.exp()).square() + log_scale
    frames = batch.observed.flatten(1, -2).any(1).sum(1)
    length = F.cross_entropy(end.flatten(1, -2).mean(1), (frames - 1) // likelihood.step, reduction="sum")
    return (each.expand_as(batch.x)[batch.observed].sum() + length + gaussian_kl(q)) / len(batch)


def plainly(vae: Any, data: Data, batch_size: int, seconds: float, loss_of: Callable[[Any, Batch], Tensor]) -> tuple[int, float]:
    """Items learned from, and the seconds that took."""
    vae.train()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-3, weight_decay=0, fused=True)
    items, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for index in torch.randperm(len(data.train)).split(batch_size)[: len(data.train) // batch_size]:
            loss = loss_of(vae, data.train.batch(data.schema, index))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(vae.parameters(), 100.0)
            optimizer.step()
            items += batch_size
            if time.perf_counter() - began >= seconds:
                break
    return items, time.perf_counter() - began


class Watch:
    """Training's progress; after ``seconds`` of it, an interruption."""

    def __init__(self, seconds: float):
        self.seconds, self.began, self.took, self.first, self.last = seconds, 0.0, 0.0, 0, 0

    def __call__(self, progress: Progress) -> None:
        if not self.began:
            self.began, self.first = time.perf_counter(), progress.step
        self.took, self.last = time.perf_counter() - self.began, progress.step
        if self.took >= self.seconds:
            raise KeyboardInterrupt


def measure(data: Data, loss_of: Callable[[Any, Batch], Tensor], seconds: float, rounds: int) -> tuple[float, float, float]:
    """Items a second of ours, of the plain loop, and the ratio: medians over rounds."""
    overrides = (
        ["objective.free_bits=0", "objective.schedule.kind=constant", "training.epochs=100000"]
        if data.schema.kind == "text"
        else ["training.epochs=100000"]
    )
    recipe = plan_recipe(data.schema, None, [*PLAIN, *overrides])[0]
    few = replace(data, validation=data.validation[:8])
    rows = []
    for round_ in range(rounds + 1):
        torch.manual_seed(0)
        vae, trainer, watch = build_vae(recipe, data.schema), build_trainer(recipe), Watch(seconds)
        with contextlib.suppress(KeyboardInterrupt):
            trainer.fit(vae, build_objective(recipe), few, progress=watch)
        ours = (watch.last - watch.first) * trainer.batch_size / watch.took
        torch.manual_seed(0)
        items, time_taken = plainly(build_vae(recipe, data.schema), data, trainer.batch_size, seconds, loss_of)
        if round_:  # the first warms up
            rows.append((ours, items / time_taken, ours / (items / time_taken)))
    return tuple(median(column) for column in zip(*rows, strict=True))  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text")
    parser.add_argument("--sounds")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for source, loss_of in ((given.text, text_loss), (given.sounds, sound_loss)):
        if source is None:
            continue
        data = open_data(source)
        assert data.train.lengths is not None
        mean = float(data.train.lengths.float().mean())
        size, unit = (mean, "tokens") if data.schema.kind == "text" else (mean / data.schema.to_json()["rate"], "seconds of sound")
        ours, plain, ratio = measure(data, loss_of, given.seconds, given.rounds)
        print(f"{source}: {ours * size:,.0f} {unit} a second, the plain loop {plain * size:,.0f}: {ratio:.2f}x ({torch.get_num_threads()} threads)")


if __name__ == "__main__":
    main()
