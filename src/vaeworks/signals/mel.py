"""Log-mel spectrograms and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaeworks.signals.phase import griffin_lim
from vaeworks.signals.stft import STFT

__all__ = ["LogMel", "mel_filters"]


def mel_filters(rate: int, bins: int, mels: int) -> Tensor:
    """(mels, bins): triangles of height one, evenly spaced in mel = 2595 log10(1 + f / 700) (the HTK scale) from 0 Hz to rate / 2, over ``bins`` frequencies.

    ValueError where a triangle falls between two frequencies.
    """
    top = 2595 * torch.log10(torch.tensor(1 + rate / 1400, dtype=torch.float64))
    corner = 700 * (10 ** (torch.linspace(0, 1, mels + 2, dtype=torch.float64) * top / 2595) - 1)
    frequency = torch.linspace(0, rate / 2, bins, dtype=torch.float64)
    low, centre, high = corner[:-2, None], corner[1:-1, None], corner[2:, None]
    filters = torch.minimum((frequency - low) / (centre - low), (high - frequency) / (high - centre)).clamp_min(0)
    empty = int((filters.sum(1) == 0).sum())
    if empty:
        raise ValueError(
            f"{empty} of {mels} mel bands fall between the {bins} frequencies of a window of {2 * bins - 2} samples at {rate} Hz: use fewer bands or a longer window"
        )
    return filters


class LogMel(nn.Module):
    """A waveform's magnitudes in mel bands, in nepers: log(filters |STFT| / scale + floor), a full-scale sine between 0 and 0.7, silence at log floor.

    rate in Hz; window and hop in samples: 32 ms and 8 ms at 8 kHz by default. No phase: ``inverse`` finds one that fits.
    """

    def __init__(self, rate: int = 8000, *, window: int = 256, hop: int = 64, mels: int = 40, floor: float = 1e-4):
        super().__init__()
        self.rate, self.mels, self.floor = rate, mels, floor
        self.stft = STFT(window, hop)
        filters = mel_filters(rate, window // 2 + 1, mels)
        self.filters: Tensor
        self.inverse_filters: Tensor
        self.register_buffer("filters", filters.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("inverse_filters", torch.linalg.pinv(filters).to(torch.get_default_dtype()), persistent=False)
        self.scale = window / 4
        """The magnitude of a sine of amplitude 1 in the middle of a bin: half the window's sum."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, T) -> (N, 1, mels, ceil(T / hop))."""
        return torch.log(self.filters @ self.stft(x).abs() / self.scale + self.floor)

    def magnitude(self, mel: Tensor, *, iterations: int = 30) -> Tensor:
        """(N, 1, mels, frames) -> the magnitudes of the STFT, (N, 1, bins, frames): non-negative least squares, from the pseudo-inverse on (Lee & Seung 2001)."""
        target = (mel.exp() - self.floor).clamp_min(0) * self.scale
        magnitude = (self.inverse_filters @ target).clamp_min(1e-3 * self.floor * self.scale)
        wanted, gram = self.filters.T @ target, self.filters.T @ self.filters
        for _ in range(iterations):
            magnitude = magnitude * wanted / (gram @ magnitude).clamp_min(1e-12)
        return magnitude

    def inverse(self, mel: Tensor, length: int, *, iterations: int = 32) -> Tensor:
        """(N, 1, mels, frames) -> a waveform (N, 1, T) of about that spectrogram, by ``iterations`` of Griffin & Lim's algorithm."""
        return griffin_lim(self.magnitude(mel), self.stft, length, iterations=iterations)
