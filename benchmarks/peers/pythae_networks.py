"""pythae's VAE with this benchmark's networks and its own 'bce' loss."""

__all__ = ["build"]

import torch
from protocol import Workload
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor
from torch_networks import Decoder, Encoder


class PythaeEncoder(BaseEncoder):  # type: ignore[misc]
    """The encoder as pythae calls it."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.network = Encoder(workload)

    def forward(self, x: Tensor) -> ModelOutput:
        """Mean and log-variance under pythae's names."""
        mean, log_variance = self.network(x)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class PythaeDecoder(BaseDecoder):  # type: ignore[misc]
    """The decoder as pythae calls it: probabilities, because its 'bce' takes them."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.network = Decoder(workload)

    def forward(self, z: Tensor) -> ModelOutput:
        """Pixel probabilities under pythae's name."""
        return ModelOutput(reconstruction=torch.sigmoid(self.network(z)))


def build(workload: Workload) -> VAE:
    """A pythae VAE of this workload's shape."""
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=workload.latent, reconstruction_loss="bce")
    return VAE(config, encoder=PythaeEncoder(workload), decoder=PythaeDecoder(workload))
