"""Which recipe for images: the candidates' log p(x) on dynamic MNIST after the same minutes of training.

    python benchmarks/candidates.py --data-dir DIR --minutes 5 [NAME ...]

One thread unless OMP_NUM_THREADS says otherwise. Writes runs/candidates/MINUTES/NAME/result.json and prints a table, best first.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch counts the cores

import torch
from published import measure

from vaeworks.data import Options, open_data

CANDIDATES: dict[str, tuple[str, list[str]]] = {
    "conv": ("conv", []),
    "conv-rate-4e-3": ("conv", ["training.learning_rate=4e-3"]),
    "conv-hidden-512": ("conv", ["encoder.hidden=[512]", "decoder.hidden=[512]"]),
    "resnet": ("resnet", ["training.learning_rate=2e-3"]),
    "mlp-500": ("mlp", ["latent_size=64", "encoder.hidden=[500,500]", "decoder.hidden=[500,500]"]),
    "mlp-gated-400": (
        "mlp",
        ["latent_size=64", "encoder.hidden=[400,400]", "decoder.hidden=[400,400]", "encoder.block=gated", "decoder.block=gated"],
    ),
}
"""Name: recipe and what differs from it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*CANDIDATES, []], help="all by default")
    parser.add_argument("--data-dir")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--out", type=Path, default=Path("runs/candidates"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="override a knob of every candidate")
    parser.add_argument("--items", type=int, default=2000, help="test items")
    parser.add_argument("--samples", type=int, default=200, help="importance samples an item")
    arguments = parser.parse_args()
    data = open_data("mnist-binarized:dynamic", options=Options(data_dir=arguments.data_dir, seed=arguments.seed, validation=2000 / 60000))
    results = {}
    for name in arguments.names or CANDIDATES:
        recipe, settings = CANDIDATES[name]
        results[name] = measure(
            recipe, [*settings, "training.epochs=1000", "training.patience=1", *arguments.set], data, folder=arguments.out / f"{arguments.minutes:g}" / name,
            samples=arguments.samples, items=arguments.items, max_minutes=arguments.minutes, seed=arguments.seed,
        )  # fmt: skip
        print("\n" + line(name, results[name]), flush=True)
    print(f"\n{torch.get_num_threads()} threads, best first:")
    print("\n".join(line(name, result) for name, result in sorted(results.items(), key=lambda entry: -entry[1]["figures"]["log_px"]["value"])))


def line(name: str, result: dict) -> str:
    figures, rate = result["figures"], result["steps"] * 128 / 60 / result["training_cpu_minutes"]
    return (
        f"{name:18} log p {figures['log_px']['value']:8.2f} ± {figures['log_px']['standard_error']:.2f}  ELBO {figures['elbo']['value']:8.2f}"
        f"  training {result['training_cpu_minutes']:5.1f} CPU minutes, {rate:.0f} items a CPU second"
    )


if __name__ == "__main__":
    main()
