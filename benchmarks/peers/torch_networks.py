"""The three networks in plain PyTorch, for the contestants that are loops or trainers around any module."""

__all__ = ["Decoder", "Encoder"]

from protocol import Workload
from torch import Tensor, nn

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class Encoder(nn.Module):
    """Images (B, 1, 28, 28) to the mean and the log-variance of q(z|x), (B, latent) each."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        activation = ACTIVATIONS[workload.activation]
        layers: list[nn.Module] = []
        channels, side = 1, 28
        for width in workload.convolutions:
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), activation()]
            channels, side = width, side // 2
        layers.append(nn.Flatten())
        features = channels * side * side
        for width in workload.hidden:
            layers += [nn.Linear(features, width), activation()]
            features = width
        self.body = nn.Sequential(*layers)
        self.mean = nn.Linear(features, workload.latent)
        self.log_variance = nn.Linear(features, workload.latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance."""
        h = self.body(x)
        return self.mean(h), self.log_variance(h)


class Decoder(nn.Module):
    """Latents (B, latent) to the logits of p(x|z), (B, 1, 28, 28)."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        activation = ACTIVATIONS[workload.activation]
        layers: list[nn.Module] = []
        features = workload.latent
        for width in reversed(workload.hidden):
            layers += [nn.Linear(features, width), activation()]
            features = width
        if workload.convolutions:
            channels = workload.convolutions[-1]
            side = 28 >> len(workload.convolutions)
            layers += [nn.Linear(features, channels * side * side), activation(), nn.Unflatten(1, (channels, side, side))]
            for width in reversed(workload.convolutions):
                layers += [nn.ConvTranspose2d(channels, width, 3, stride=2, padding=1, output_padding=1), activation()]
                channels = width
            layers.append(nn.Conv2d(channels, 1, 3, padding=1))
        else:
            layers += [nn.Linear(features, 784), nn.Unflatten(1, (1, 28, 28))]
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """The logits."""
        logits: Tensor = self.body(z)
        return logits
