"""Train a recipe under its paper's protocol and score it: the figures of docs/results.md.

    python benchmarks/published.py burda --data-dir DIR

Writes runs/published/NAME/result.json; a run that was stopped goes on where it was.
"""

import argparse
import json
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from vaeworks.data import Data, Options, open_data
from vaeworks.evaluation import evaluate
from vaeworks.recipes import build_objective, build_trainer, build_vae, load_recipe
from vaeworks.training import choose_device

PROTOCOLS: dict[str, dict[str, Any]] = {
    "burda": {
        "data": "mnist-binarized:dynamic",
        "samples": 5000,
        "set": ["training.epochs=400", "training.batch_size=100", "training.learning_rate=1e-3", "training.patience=1"],
    },
}


def measure(
    name: str, settings: list[str], data: Data, *, folder: Path, samples: int, items: int | None = None, max_minutes: float | None = None, seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:  # fmt: skip
    """Train recipe ``name`` with ``settings`` on ``data`` and evaluate it on the first ``items`` test items: what docs/results.md needs to know, also in ``folder``."""
    where = choose_device(device)
    recipe = load_recipe(name, settings)
    torch.manual_seed(seed)
    vae = build_vae(recipe, data.schema)
    began = time.process_time()
    history = build_trainer(recipe).fit(
        vae, build_objective(recipe), data, folder=folder, device=where, seed=seed, resume=True, max_minutes=max_minutes,
        progress=lambda p: print(f"\r{p.step}/{p.steps} {p.items_per_second:.0f} items/s, best ELBO {p.best:.3f}", end="", flush=True),
    )  # fmt: skip
    trained = time.process_time() - began
    test = data.test[:items]
    figures = evaluate(vae, test, data.schema, samples=samples, seed=seed, device=where)
    result = {
        "recipe": name,
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads of {os.cpu_count()}, torch {torch.__version__}, {where}",
        "seed": seed,
        "set": settings,
        "steps": history.steps,
        "max_minutes": max_minutes,
        "training_minutes": round(history.seconds / 60, 2),
        "training_cpu_minutes": round(trained / 60, 2),
        "total_cpu_minutes": round((time.process_time() - began) / 60, 2),
        **figures.to_json(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(result, indent=2))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PROTOCOLS)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("runs/published"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[], help="override a knob of the recipe")
    parser.add_argument("--max-minutes", type=float, help="shorten training, and its schedule, to fit")
    parser.add_argument("--samples", type=int, help="importance samples (the protocol's own by default)")
    arguments = parser.parse_args()
    protocol = PROTOCOLS[arguments.name]
    data = open_data(protocol["data"], options=Options(data_dir=arguments.data_dir, seed=arguments.seed, validation=2000 / 60000))
    print("\n".join(data.notes), flush=True)
    result = measure(
        arguments.name, [*protocol["set"], *arguments.set], data, folder=arguments.out / arguments.name, samples=arguments.samples or protocol["samples"],
        max_minutes=arguments.max_minutes, seed=arguments.seed, device=arguments.device,
    )  # fmt: skip
    print(json.dumps({k: v for k, v in result.items() if k != "protocol"}, indent=2))


if __name__ == "__main__":
    main()
