"""vaeworks's importance-sampled log p(x)."""

from protocol import arguments, load_images, peak_mib

given = arguments()

import json  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch_networks import Decoder as DecoderNetwork  # noqa: E402
from torch_networks import Encoder as EncoderNetwork  # noqa: E402

from vaeworks.evaluation import log_prob  # noqa: E402
from vaeworks.likelihoods import BernoulliLikelihood  # noqa: E402
from vaeworks.model import VAE, Decoder, Encoder  # noqa: E402
from vaeworks.posteriors import DiagonalNormalPosterior  # noqa: E402
from vaeworks.priors import StandardNormalPrior  # noqa: E402
from vaeworks.trace import Batch  # noqa: E402
from vaeworks.training import keep_memory  # noqa: E402


class OneHead(torch.nn.Module):
    """The peers' encoder of two heads, as one that gives mean and log scale side by side, on vaeworks's scale for the latter."""

    def __init__(self, network: EncoderNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, log_variance = self.network(x)
        return torch.cat([mean, 7 * torch.atanh(log_variance / 14)], -1)


keep_memory()
torch.set_num_threads(given.threads)
torch.manual_seed(0)
workload = given.workload
networks = torch.nn.ModuleDict({"encoder": EncoderNetwork(workload), "decoder": DecoderNetwork(workload)})
if given.weights:
    networks.load_state_dict({name: torch.from_numpy(value) for name, value in np.load(given.weights).items()})
posterior, likelihood = DiagonalNormalPosterior(workload.latent), BernoulliLikelihood((1, 28, 28), 2)
vae = VAE(Encoder(OneHead(networks["encoder"]), posterior), Decoder(networks["decoder"], likelihood), StandardNormalPrior(workload.latent))
x = torch.from_numpy(load_images(given.images)[: given.items]).unsqueeze(1).float().div(255)
log_prob(vae, Batch(x[:1]), given.samples)
start = time.perf_counter()
result = log_prob(vae, Batch(x), given.samples)
seconds = time.perf_counter() - start
value = float(result.value.mean())
print(json.dumps({"seconds": seconds, "items": len(x), "samples": given.samples, "value": value, "peak_mib": peak_mib()}))
