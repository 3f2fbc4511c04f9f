"""The measured figure of every built-in recipe, which `vae recipes` shows: all under one protocol, on the digits that ship with scikit-learn.

    python benchmarks/recipes.py [NAME ...]

Trains each recipe for so many epochs with seed 0 and measures held-out log p(x); of a model without a density, the error of its reconstructions. Writes
src/vaeworks/recipes/library/measured.json after each, so that a stopped run loses nothing; recipes that are not named keep their figures.
"""

import argparse
import json
import math
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch counts the cores

import torch

from vaeworks.data import Data, Options, open_data
from vaeworks.evaluation import evaluate
from vaeworks.files import replace_file
from vaeworks.recipes import build_objective, build_trainer, build_vae, conditioned, load_recipe, recipe_names
from vaeworks.runs import Model, originals_of, plan_recipe

FILE = Path(__file__).parents[1] / "src/vaeworks/recipes/library/measured.json"
EPOCHS, SAMPLES, SEED = 50, 500, 0
LARGER = {"article-conv": 28}
"""Recipes whose networks are made for pictures of another size than the digits', and that size."""
LABELS = {"m2": 100}
"""Recipes that learn from few labels, and how many."""
PROTOCOL = (
    f"scikit-learn's 1797 digits (8x8, 17 levels), a tenth held out for testing, {EPOCHS} epochs, seed {SEED}, {SAMPLES} importance samples;"
    " errors are means over pixels in [0, 1]; ± is one standard error over items; figures of more pixels, or of another unit, do not compare"
)


def measure(name: str) -> dict[str, Any]:
    """The figure of recipe ``name``, with what it took."""
    data = open_data("digits", options=Options(seed=SEED, size=LARGER.get(name), labels=LABELS.get(name)))
    began = time.process_time()
    model = trained(name, data)
    minutes = (time.process_time() - began) / 60
    figures = evaluate(model.vae, data.test, model.schema, samples=SAMPLES, seed=SEED).figures
    size = "x".join(map(str, model.schema.shape[1:]))
    if "log_px" in figures:
        found = figures["log_px"]
        meaning = "log p(x | label)" if model.schema.context == "label" else "log p(x)"
        figure = {"value": found.value, "standard_error": found.standard_error, "unit": "nats", "meaning": meaning}
    else:
        errors = (model.reconstruct(data.test) - originals_of(model, data.test)).square().flatten(1).mean(1)
        figure = {
            "value": float(errors.mean()), "standard_error": float(errors.std()) / math.sqrt(len(errors)), "unit": "squared error",
            "meaning": "reconstructions",
        }  # fmt: skip
    figure["meaning"] += f" at {size}" if name in LARGER else f" with {LABELS[name]} labels" if name in LABELS else ""
    return figure | {"cpu_minutes": round(minutes, 2), "date": datetime.now(UTC).date().isoformat()}


def trained(name: str, data: Data) -> Model:
    recipe = plan_recipe(data.schema, name, [f"training.epochs={EPOCHS}", "training.compile=off"])[0]
    data = replace(data, schema=conditioned(recipe, data.schema))
    torch.manual_seed(SEED)
    vae = build_vae(recipe, data.schema)
    build_trainer(recipe).fit(vae, build_objective(recipe), data, seed=SEED)
    return Model(vae, data.schema, recipe)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="all for images by default")
    arguments = parser.parse_args()
    for name in arguments.names or [name for name in recipe_names() if load_recipe(name)["data"] == "image"]:
        figure = measure(name)
        known = json.loads(FILE.read_text("utf-8"))["figures"] if FILE.is_file() else {}
        kept = {each: known[each] for each in known if each in recipe_names()}
        figures = dict(sorted({**kept, name: figure}.items()))
        replace_file(FILE, (json.dumps({"protocol": PROTOCOL, "figures": figures}, indent=2, ensure_ascii=False) + "\n").encode())
        print(
            f"{name:24} {figure['value']:9.4g} ± {figure['standard_error']:.2g} {figure['unit']}, {figure['meaning']}; {figure['cpu_minutes']} CPU minutes",
            flush=True,
        )


if __name__ == "__main__":
    main()
