"""A synthesizer of SDV fitted to a table and sampled from: seconds and peak memory as one line of JSON, rows as a file of Parquet.

    python benchmarks/peers/tables_sdv.py TVAE --train train.parquet --out rows.parquet --categories sex income --seed 0

Settings are SDV's own but for --epochs, and for kinds of columns, which are told: SDV would take some names for those of personal data, and invent such columns anew.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd
import sdv
import torch
from sdv import single_table
from sdv.metadata import Metadata


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("synthesizer", choices=["GaussianCopula", "TVAE", "CTGAN"])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="a file of Parquet for as many rows as --train has")
    parser.add_argument("--categories", nargs="*", default=[], help="columns that are categories; the others are numbers")
    parser.add_argument("--epochs", type=int, help="of TVAE and CTGAN; SDV's own are 300")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    np.random.seed(arguments.seed)
    train = pd.read_parquet(arguments.train)
    kinds = {name: {"sdtype": "categorical" if name in arguments.categories else "numerical"} for name in train.columns}
    metadata = Metadata.load_from_dict({"tables": {"table": {"columns": kinds}}, "relationships": []})
    own = {} if arguments.synthesizer == "GaussianCopula" else {"enable_gpu": False}
    if arguments.epochs is not None and own:
        own["epochs"] = arguments.epochs
    model = getattr(single_table, f"{arguments.synthesizer}Synthesizer")(metadata, **own)
    began, processor = time.perf_counter(), time.process_time()
    model.fit({"table": train})
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    began = time.perf_counter()
    rows = model.sample(len(train))
    rows = next(iter(rows.values())) if isinstance(rows, dict) else rows
    sampling = time.perf_counter() - began
    if arguments.out is not None:
        rows.to_parquet(arguments.out)
    found = {
        "peer": arguments.synthesizer,
        "version": sdv.__version__,
        "epochs": getattr(model, "epochs", None),
        "seed": arguments.seed,
        "rows": len(train),
        "seconds": seconds,
        "processor_seconds": processor,
        "sampling_seconds": sampling,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
