"""Detectors of PyOD fitted to rows, and the scores they give others: seconds of each as one line of JSON, scores as a file of NumPy.

    python benchmarks/peers/tables_pyod.py --data rows.npz --out scores.npz --seed 0

rows.npz holds `train` and `test`, (N, D) and (M, D), standardised; scores.npz has (M,) for each detector, higher is more anomalous. Settings are PyOD's own.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pyod
import torch
from pyod.models.ecod import ECOD
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.models.vae import VAE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = np.load(arguments.data)
    detectors = {
        "VAE": VAE(random_state=arguments.seed, verbose=0, device="cpu"),
        "ECOD": ECOD(),
        "IForest": IForest(random_state=arguments.seed),
        "KNN": KNN(),
    }
    scores, seconds = {}, {}
    for name, detector in detectors.items():
        np.random.seed(arguments.seed)
        began = time.process_time()
        detector.fit(rows["train"])
        scores[name] = detector.decision_function(rows["test"])
        seconds[name] = time.process_time() - began
    np.savez(arguments.out, **scores)
    print(json.dumps({"version": pyod.__version__, "processor_seconds": seconds}))


if __name__ == "__main__":
    main()
