"""The short-time Fourier transform, a frame every hop, and its least-squares inverse."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["STFT", "stft"]


def stft(x: Tensor, window: Tensor, hop: int) -> Tensor:
    """(..., T) -> complex (..., W // 2 + 1, ceil(T / hop)) with the ``window`` (W,), frame f centred on sample (f + 1/2) hop, silence around the sound."""
    size = len(window)
    before, total = (size - hop) // 2, (-(-x.shape[-1] // hop) - 1) * hop + size
    x = F.pad(x, (before, total - before - x.shape[-1]))
    spectrum: Tensor = torch.fft.rfft(x.unfold(-1, size, hop) * window)
    return spectrum.transpose(-1, -2)


class STFT(nn.Module):
    """``stft`` with a Hann window of ``window`` samples, and back."""

    def __init__(self, window: int, hop: int):
        super().__init__()
        if not 1 <= hop <= window // 2:
            raise ValueError(f"a hop of {hop} samples does not overlap windows of {window} enough to go back: give a hop of at most {window // 2}")
        self.window, self.hop = window, hop
        self.shape: Tensor
        self.register_buffer("shape", torch.hann_window(window, dtype=torch.float64).to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., T) -> complex (..., window // 2 + 1, frames)."""
        return stft(x, self.shape, self.hop)

    def inverse(self, spectrum: Tensor, length: int) -> Tensor:
        """Complex (..., window // 2 + 1, frames) -> (..., T), the sound whose transform is nearest (Griffin & Lim 1984)."""
        frames = torch.fft.irfft(spectrum.transpose(-1, -2), self.window) * self.shape
        count = frames.shape[-2]
        both = torch.cat([frames.flatten(0, -3), self.shape.square().expand(1, count, -1)]).transpose(1, 2)
        total = F.fold(both, (1, (count - 1) * self.hop + self.window), (1, self.window), stride=(1, self.hop)).flatten(1)
        before = (self.window - self.hop) // 2
        x = (total[:-1] / total[-1].clamp_min(1e-8))[:, before : before + length]
        return x.reshape(*frames.shape[:-2], length)
