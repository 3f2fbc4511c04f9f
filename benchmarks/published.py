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

from vaeworks.data import Options, open_data
from vaeworks.evaluation import evaluate
from vaeworks.recipes import build_objective, build_trainer, build_vae, load_recipe
from vaeworks.training import choose_device

PROTOCOLS: dict[str, dict[str, Any]] = {
    "burda": {
        "data": "mnist-binarized:dynamic",
        "samples": 5000,
        "set": ["training.epochs=480", "training.batch_size=100", "training.learning_rate=4e-3", "training.patience=1"],
    },
}


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
    device = choose_device(arguments.device)
    data = open_data(protocol["data"], options=Options(data_dir=arguments.data_dir, seed=arguments.seed, validation=2000 / 60000))
    recipe = load_recipe(arguments.name, [*protocol["set"], *arguments.set])
    torch.manual_seed(arguments.seed)
    vae = build_vae(recipe, data.schema)
    folder = arguments.out / arguments.name
    began = time.process_time()
    print("\n".join(data.notes), flush=True)
    history = build_trainer(recipe).fit(
        vae, build_objective(recipe), data, folder=folder, device=device, seed=arguments.seed, resume=True, max_minutes=arguments.max_minutes,
        progress=lambda p: print(f"\r{p.step}/{p.steps} {p.items_per_second:.0f} items/s, best ELBO {p.best:.3f}", end="", flush=True),
    )  # fmt: skip
    trained = time.process_time() - began
    samples = arguments.samples or protocol["samples"]
    figures = evaluate(vae, data.test, data.schema, samples=samples, seed=arguments.seed, device=device)
    result = {
        "recipe": arguments.name,
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads of {os.cpu_count()}, torch {torch.__version__}, {device}",
        "seed": arguments.seed,
        "steps": history.steps,
        "training_cpu_minutes": round(trained / 60, 2),
        "total_cpu_minutes": round((time.process_time() - began) / 60, 2),
        "set": [*protocol["set"], *arguments.set],
        "max_minutes": arguments.max_minutes,
        "training_minutes": round(history.seconds / 60, 2),
        **figures.to_json(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(result, indent=2))
    print(json.dumps({k: v for k, v in result.items() if k != "protocol"}, indent=2))


if __name__ == "__main__":
    main()
