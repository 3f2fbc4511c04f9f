"""pythae's `get_nll` at its default batch size; mode `batched` asks it for all samples of an item at once."""

from protocol import arguments, load_images, peak_mib

given = arguments()

import json  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from pythae_networks import build  # noqa: E402

torch.set_num_threads(given.threads)
torch.manual_seed(0)
model = build(given.workload).eval()
if given.weights:
    weights = {name.replace(".", ".network.", 1): torch.from_numpy(value) for name, value in np.load(given.weights).items()}
    model.load_state_dict(weights)
x = torch.from_numpy(load_images(given.images)[: given.items]).unsqueeze(1).float().div(255)
batch = given.samples if given.mode == "batched" else 100
with torch.no_grad():
    model.get_nll(x[:1], n_samples=given.samples, batch_size=batch)
    start = time.perf_counter()
    value = model.get_nll(x, n_samples=given.samples, batch_size=batch)
    seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "items": len(x), "samples": given.samples, "value": float(value), "peak_mib": peak_mib()}))
