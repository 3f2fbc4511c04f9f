"""What a discriminator hears of a waveform."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaeworks.networks import WaveEncoder
from vaeworks.signals import log_magnitude

__all__ = ["Listener"]


class Listener(nn.Module):
    """Waveforms (N, C, T) -> (N, features): convolutions along time over log magnitudes of several resolutions, their features added (after Jang et al. 2021, arXiv:2106.07889).

    A waveform's phases differ from one sound to the next where nobody hears it; its magnitudes do not. windows: of the transforms, in samples.
    """

    def __init__(self, shape: tuple[int, ...], features: int, *, hidden: tuple[int, ...], windows: tuple[int, ...] = (128, 512)):
        super().__init__()
        self.windows = tuple(window for window in windows if window <= shape[-1]) or (shape[-1],)
        heard = (log_magnitude(torch.zeros(1, *shape), window)[0].shape for window in self.windows)
        self.networks = nn.ModuleList(
            WaveEncoder(tuple(seen), (features,), bands=1, channels=(64, 128), blocks=0, hidden=hidden, activation="leaky-relu") for seen in heard
        )

    def forward(self, x: Tensor) -> Tensor:
        seen = [network(log_magnitude(x, window) / 3 + 1) for window, network in zip(self.windows, self.networks, strict=True)]  # about (-2, 1)
        return torch.stack(seen).sum(0)
