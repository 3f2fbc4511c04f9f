"""Training speed of vaeworks beside its peers: images/s, medians of interleaved runs, with peak memory and the loss each reached.

    python benchmarks/throughput.py --setup                      # once: an environment for each peer, with pinned versions
    python benchmarks/throughput.py --rounds 5 --threads 1 2 --json throughput.json
    python benchmarks/throughput.py --evaluate                   # importance-sampled log p(x) instead of training
    python benchmarks/throughput.py --startup                    # wall time of the command

Every row trains the same network on the same images with the same mathematics (Bernoulli, closed-form KL, both summed over dimensions, Adam at
1e-3), in a process of its own: `peers/<script>`, which speaks the protocol of `peers/protocol.py`. A round runs every contestant once, so that the
machine's moods fall on all alike; a ratio is the median over rounds of the ratio within a round.
"""

__all__ = ["CONTESTANTS", "ENVIRONMENTS", "EVALUATORS", "Contestant"]

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from peers.images import prepare
from peers.protocol import WORKLOADS

PEERS = Path(__file__).parent / "peers"
OURS = "vaeworks"

ENVIRONMENTS = {
    "pythae": ("torch==2.13.0", "numpy==2.4.6", "pythae==0.1.2"),
    "keras": ("tensorflow-cpu==2.21.0", "keras==3.15.1", "numpy==2.4.6"),
}


@dataclass(frozen=True)
class Contestant:
    """A row: a script under `peers/`, the environment it runs in (None: this interpreter's) and its options."""

    name: str
    script: str
    environment: str | None = None
    options: tuple[str, ...] = ()


CONTESTANTS = (
    Contestant("vaeworks", "vaeworks_trainer.py", None, ("--mode", "float32")),
    Contestant("vaeworks, default mode", "vaeworks_trainer.py", None, ("--mode", "default")),
    Contestant("vaeworks, bare step", "vaeworks_trainer.py", None, ("--mode", "bare")),
    Contestant("eager torch loop", "eager_loop.py"),
    Contestant("pytorch/examples", "pytorch_examples.py"),
    Contestant("pythae", "pythae_trainer.py", "pythae"),
    Contestant("Keras, TensorFlow", "keras_fit.py", "keras"),
)

EVALUATORS = (
    Contestant("vaeworks", "vaeworks_evaluate.py"),
    Contestant("pythae get_nll", "pythae_evaluate.py", "pythae"),
    Contestant("pythae get_nll, batch 5000", "pythae_evaluate.py", "pythae", ("--mode", "batched")),
)


def setup(folder: Path) -> None:
    """Creates the environment of every peer with its pinned versions."""
    for name, requirements in ENVIRONMENTS.items():
        print(f"{folder / name}: {' '.join(requirements)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
        subprocess.run([str(folder / name / "bin/python"), "-m", "pip", "install", "--quiet", *requirements], check=True)


def run(contestant: Contestant, environments: Path, arguments: Sequence[object]) -> dict[str, Any]:
    """Runs one contestant in its own process and returns the line it prints."""
    python = Path(sys.executable) if contestant.environment is None else environments / contestant.environment / "bin/python"
    if not python.exists():
        sys.exit(f"{contestant.name} has no environment at {python}: create it with --setup --environments {environments}")
    command = [str(python), str(PEERS / contestant.script), *map(str, arguments), *contestant.options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{contestant.name} failed: {' '.join(command)}\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def train(chosen: Sequence[Contestant], options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Interleaved training runs: one row a workload, number of threads and contestant."""
    rows = []
    for workload in options.workloads:
        images = prepare(folder / f"{workload}.npy", options.images or WORKLOADS[workload].images, options.data_dir)
        for threads in options.threads:
            runs: dict[str, list[dict[str, Any]]] = {contestant.name: [] for contestant in chosen}
            for _ in range(options.rounds):
                for contestant in chosen:
                    runs[contestant.name].append(run(contestant, options.environments, (workload, threads, images, options.seconds)))
            rows += [{"workload": workload, "threads": threads, "contestant": name, **summary(found, runs.get(OURS))} for name, found in runs.items()]
            show(rows[-len(runs) :])
    return rows


def summary(found: list[dict[str, Any]], ours: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Medians and range of a contestant's runs, and ours over it."""
    rates = [each["images_per_second"] for each in found]
    ratio = median(our["images_per_second"] / rate for our, rate in zip(ours, rates, strict=True)) if ours else None
    return {
        "images_per_second": median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
        "ours_over_it": ratio,
        "peak_mib": max(each["peak_mib"] for each in found),
        "loss": median(each["loss"] for each in found),
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Prints one workload's rows."""
    print(f"\n{rows[0]['workload']}, {rows[0]['threads']} thread(s)")
    print(f"{'':28}{'images/s':>10}{'range':>18}{'ours/it':>9}{'peak MiB':>10}{'loss':>9}")
    for row in rows:
        spread = f"{row['slowest']:,.0f}-{row['fastest']:,.0f}"
        ratio = f"{row['ours_over_it']:.2f}x" if row["ours_over_it"] else "-"
        rate, peak = f"{row['images_per_second']:,.0f}", f"{row['peak_mib']:,.0f}"
        print(f"{row['contestant']:28}{rate:>10}{spread:>18}{ratio:>9}{peak:>10}{row['loss']:>9.2f}", flush=True)


def evaluate(chosen: Sequence[Contestant], options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Time of log p(x) for 10,000 items x 5000 importance samples on `mlp`, scaled up linearly from fewer items, on the same trained weights."""
    items, samples = 10_000, 5_000
    images = prepare(folder / "mlp.npy", WORKLOADS["mlp"].images, options.data_dir)
    weights = folder / "weights.npz"
    run(Contestant("eager torch loop", "eager_loop.py", None, ("--save", str(weights))), options.environments, ("mlp", 2, images, options.seconds))
    rows = []
    for threads in options.threads:
        print(f"\nlog p(x), {threads} thread(s): {options.items} items x {samples} samples measured, scaled linearly to {items} items")
        print(f"{'':28}{'minutes':>10}{'value':>12}{'peak MiB':>10}")
        rest = ("--weights", weights, "--items", options.items, "--samples", samples)
        runs: dict[str, list[dict[str, Any]]] = {contestant.name: [] for contestant in chosen}
        for _ in range(options.rounds):
            for contestant in chosen:
                runs[contestant.name].append(run(contestant, options.environments, ("mlp", threads, images, 0, *rest)))
        for name, found in runs.items():
            seconds = median(each["seconds"] for each in found) * items / options.items
            peak, value = max(each["peak_mib"] for each in found), found[0]["value"]
            print(f"{name:28}{seconds / 60:>10.1f}{value:>12.3f}{peak:>10,.0f}", flush=True)
            rows.append({"evaluator": name, "threads": threads, "seconds_scaled": seconds, "items": options.items, "value": value, "peak_mib": peak})
    return rows


def startup(rounds: int) -> list[dict[str, Any]]:
    """Wall time of `vae --help` beside bare Python and `import torch`, interleaved."""
    command = shutil.which("vae", path=str(Path(sys.executable).parent))
    commands = {"python": [sys.executable, "-c", ""], "import torch": [sys.executable, "-c", "import torch"]}
    commands |= {"vae --help": [command, "--help"]} if command else {}
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, line in commands.items():
            start = time.perf_counter()
            subprocess.run(line, check=True, capture_output=True)
            taken[name].append(time.perf_counter() - start)
    rows = [{"command": name, "seconds": median(found)} for name, found in taken.items()]
    for row in rows:
        print(f"{row['command']:28}{row['seconds']:>8.2f} s")
    return rows


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", action="store_true", help="create the peers' environments and stop")
    parser.add_argument("--evaluate", action="store_true", help="time log p(x) instead of training")
    parser.add_argument("--startup", action="store_true", help="time the command's start instead of training")
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache/vaeworks/peers")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[""], help="contestants whose name contains one of these")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="timed training a run")
    parser.add_argument("--images", type=int, help="images an epoch (default: the workload's)")
    parser.add_argument("--items", type=int, default=20, help="items --evaluate measures")
    parser.add_argument("--data-dir", type=Path, help="folder of MNIST idx files; synthetic images without it")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the rows here too")
    options = parser.parse_args()
    if options.setup:
        return setup(options.environments)
    chosen = [each for each in (EVALUATORS if options.evaluate else CONTESTANTS) if any(part in each.name for part in options.only)]
    with tempfile.TemporaryDirectory() as name:
        measure = evaluate if options.evaluate else train
        rows = startup(options.rounds) if options.startup else measure(chosen, options, Path(name))
    if options.json:
        options.json.write_text(json.dumps({"python": sys.version, "numpy": np.__version__, "rows": rows}, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
