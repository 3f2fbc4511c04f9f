"""vaeworks's own trainer with all that `vae train` does in memory: moving average, guard against non-finite steps, clipping, validation, record.

Modes: float32; default, the precision and compilation that `auto` chooses on this machine; bare, the trainer's step with nothing around it.
"""

from protocol import arguments, load_images, peak_mib

given = arguments()

import json  # noqa: E402
import time  # noqa: E402

import torch  # noqa: E402
from torch import nn  # noqa: E402

from vaeworks.data import Data, Items  # noqa: E402
from vaeworks.likelihoods import BernoulliLikelihood  # noqa: E402
from vaeworks.model import VAE, Decoder, Encoder, ImageSchema  # noqa: E402
from vaeworks.networks import MLP, ConvEncoder  # noqa: E402
from vaeworks.networks.quick import FewChannelConv, TransposedConv  # noqa: E402
from vaeworks.objectives import ELBO  # noqa: E402
from vaeworks.posteriors import DiagonalNormalPosterior  # noqa: E402
from vaeworks.priors import StandardNormalPrior  # noqa: E402
from vaeworks.training import Trainer, keep_memory  # noqa: E402
from vaeworks.training.loop import Loop  # noqa: E402

SHAPE = (1, 28, 28)
workload = given.workload


class ConvolutionalDecoder(nn.Module):
    """The decoder of `torch_networks.py`, of vaeworks's layers."""

    def __init__(self) -> None:
        super().__init__()
        first, second = workload.convolutions
        self.head = MLP((workload.latent,), (7, 7, second), hidden=workload.hidden[::-1], activation="relu")
        layers = [
            nn.ReLU(),
            TransposedConv(second, second, (1, 1)),
            nn.ReLU(),
            TransposedConv(second, first, (1, 1)),
            nn.ReLU(),
            FewChannelConv(first, 1),
        ]
        self.body = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.body(self.head(z).permute(0, 3, 1, 2))


def build() -> VAE:
    torch.manual_seed(0)
    posterior, likelihood = DiagonalNormalPosterior(workload.latent), BernoulliLikelihood(SHAPE, 2)
    knobs = {"hidden": workload.hidden, "activation": workload.activation}
    if workload.convolutions:
        return VAE(
            Encoder(ConvEncoder(SHAPE, posterior.parameter_shape, channels=workload.convolutions, **knobs), posterior),
            Decoder(ConvolutionalDecoder(), likelihood),
            StandardNormalPrior(workload.latent),
        )
    decoder = MLP((workload.latent,), SHAPE, hidden=workload.hidden[::-1], activation=workload.activation)
    return VAE(Encoder(MLP(SHAPE, posterior.parameter_shape, **knobs), posterior), Decoder(decoder, likelihood), StandardNormalPrior(workload.latent))


def loop(epochs: int) -> Loop:
    automatic = "auto" if given.mode == "default" else None
    trainer = Trainer(
        epochs=epochs,
        batch_size=workload.batch,
        warm_up=0,
        final_learning_rate=1,
        patience=1,
        precision=automatic or "float32",
        compile=automatic or "off",
    )
    return Loop(trainer, build(), ELBO(), data, folder=None, device=torch.device("cpu"), seed=0, progress=None)


keep_memory()
torch.set_num_threads(given.threads)
images = torch.from_numpy(load_images(given.images)).unsqueeze(1)
data = Data(ImageSchema(SHAPE, "L", 256), Items(images), Items(images[:100]), Items(images[:100]))
first = loop(epochs=10_000)
for _ in range(workload.loss_epoch):  # warms up, and gives the loss that all contestants are compared by
    first.loss_sum.zero_()
    first.loss_count = 0
    start = time.perf_counter()
    for _ in range(first.epoch_steps):
        first._step()
    per_epoch = time.perf_counter() - start
loss = float(first.loss_sum) / first.loss_count
epochs = max(1, round(given.seconds / per_epoch))
if given.mode == "bare":
    start = time.perf_counter()
    for _ in range(epochs * first.epoch_steps):
        first._step()
    seconds = time.perf_counter() - start
else:
    seconds = loop(epochs).run(resume=False, max_minutes=None, checkpoint_seconds=1e9).seconds
rate = epochs * first.epoch_steps * workload.batch / seconds
print(json.dumps({"images_per_second": rate, "peak_mib": peak_mib(), "loss": loss, "epochs": epochs}))
