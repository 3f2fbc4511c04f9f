"""What every contestant of the throughput benchmark shares: the workloads, the arguments, the clock and the line it prints.

Needs numpy alone, because each contestant runs in an environment of its own. A contestant calls `arguments()`, trains epoch after epoch,
tells `Clock.epoch_ended(loss)` at the end of each, stops when that returns True, and calls `Clock.report()`.
"""

__all__ = ["WORKLOADS", "Arguments", "Clock", "Workload", "arguments", "load_images", "peak_mib"]

import argparse
import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Workload:
    """A network, its batch and the images of one epoch. Every likelihood is Bernoulli, summed over pixels; the optimiser is Adam at 1e-3."""

    batch: int
    images: int
    latent: int
    activation: str
    hidden: tuple[int, ...]
    convolutions: tuple[int, ...] = ()  # channels of the 3x3 convolutions of stride 2 before the dense layers, mirrored in the decoder
    loss_epoch: int = 1  # the epoch whose mean training loss is compared: where the loss depends least on the seed


WORKLOADS = {
    "mlp": Workload(batch=100, images=20_000, latent=50, activation="tanh", hidden=(200, 200)),
    "mlp-wide": Workload(batch=512, images=20_480, latent=20, activation="relu", hidden=(400,)),
    "conv": Workload(batch=128, images=2_560, latent=16, activation="relu", hidden=(128,), convolutions=(32, 64), loss_epoch=2),
}


@dataclass(frozen=True)
class Arguments:
    """What the benchmark asks of a contestant."""

    workload: Workload
    threads: int
    images: Path  # .npy of (N, 28, 28) uint8
    seconds: float
    mode: str
    save: Path | None
    weights: Path | None
    items: int
    samples: int


def arguments() -> Arguments:
    """Parses the command line and limits the libraries to the threads asked for: call it before importing any of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("threads", type=int)
    parser.add_argument("images", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--mode", default="default", help="a variant of the contestant, if it has any")
    parser.add_argument("--save", type=Path, help="write the trained weights here (.npz)")
    parser.add_argument("--weights", type=Path, help="evaluate these weights")
    parser.add_argument("--items", type=int, default=0, help="items to evaluate")
    parser.add_argument("--samples", type=int, default=0, help="importance samples an item")
    given = vars(parser.parse_args())
    os.environ["OMP_NUM_THREADS"] = str(given["threads"])
    return Arguments(**{**given, "workload": WORKLOADS[given["workload"]]})


def load_images(path: Path) -> np.ndarray:
    """The images, (N, 28, 28) uint8."""
    images: np.ndarray = np.load(path)
    return images


def peak_mib() -> float:
    """The largest resident memory of this process so far, in MiB (Linux's own mark: getrusage's also covers the parent that started us)."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


class Clock:
    """Times whole epochs: the first one warms up, the rest count until the seconds have passed.

    The loss reported is the mean training loss of the workload's `loss_epoch`, which every contestant reaches after the same number of images.
    """

    def __init__(self, given: Arguments, images_an_epoch: int) -> None:
        self.images_an_epoch = images_an_epoch
        self.seconds = given.seconds
        self.loss_epoch = given.workload.loss_epoch
        self.ends: list[float] = []
        self.losses: list[float] = []

    def epoch_ended(self, loss: float) -> bool:
        """Notes the end of an epoch and its mean loss (nats an image); True when time is up."""
        self.ends.append(time.perf_counter())
        self.losses.append(loss)
        return len(self.ends) > 1 and self.ends[-1] - self.ends[0] >= self.seconds

    def report(self) -> None:
        """Prints the contestant's one line."""
        timed = len(self.ends) - 1
        rate = timed * self.images_an_epoch / (self.ends[-1] - self.ends[0])
        print(json.dumps({"images_per_second": rate, "peak_mib": peak_mib(), "loss": self.losses[self.loss_epoch - 1], "epochs": timed}), flush=True)
