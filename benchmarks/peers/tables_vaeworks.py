"""vaeworks trained on a table and sampled from, as `tables_sdv.py` does with SDV's synthesizers; with log p(x) of held-out rows."""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import polars as pl
import torch

import vaeworks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, help="a file of rows to tell log p(x) of")
    parser.add_argument("--out", type=Path, help="a file of Parquet for as many rows as --train has")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = pl.scan_parquet(arguments.train).select(pl.len()).collect().item()
    began, processor = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        model = vaeworks.train(
            arguments.train, out=Path(folder) / "run", recipe=arguments.recipe, overrides=arguments.set, max_minutes=arguments.minutes, seed=arguments.seed, device="cpu",
        )  # fmt: skip
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    found = {
        "rows": rows,
        "seed": arguments.seed,
        "seconds": seconds,
        "processor_seconds": processor,
        "recipe": model.recipe.name,
        "set": arguments.set,
    }
    if arguments.out is not None:
        began = time.perf_counter()
        model.frame(model.sample(rows, seed=arguments.seed)).write_parquet(arguments.out)
        found["sampling_seconds"] = time.perf_counter() - began
    if arguments.test is not None:
        found["log_px"] = float(model.log_prob(pl.read_parquet(arguments.test), samples=arguments.samples).value.mean())
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


if __name__ == "__main__":
    main()
