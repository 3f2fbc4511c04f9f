"""How far a waveform is from another. None of it is a density."""

from __future__ import annotations

import torch
from torch import Tensor

from vaeworks.signals.stft import stft

__all__ = ["log_magnitude", "log_spectral_distance", "si_sdr", "stft_distance"]

FLOOR = 1e-4
"""Magnitudes below this, of a transform scaled so that a full-scale sine has magnitude 1, are silence: -80 dB."""


def _magnitude(x: Tensor, window: int) -> Tensor:
    """(N, C, T) -> (N, C, bins, frames), -80 dB at least, with a hop of a quarter of the window; a sine of amplitude 1 in the middle of a bin has magnitude 1."""
    shape = torch.hann_window(window, dtype=x.dtype, device=x.device) * (4 / window)
    parts = torch.view_as_real(stft(x, shape, max(window // 4, 1)))
    return parts.square().sum(-1).clamp_min(FLOOR**2).sqrt()  # a third of the time of a complex number's abs and its slope


def log_magnitude(x: Tensor, window: int) -> Tensor:
    """(N, C, T) -> (N, C, bins, frames): the logarithm of the magnitudes of a transform whose hop is a quarter of its window, -80 dB at least; 0 is a full-scale sine's."""
    return _magnitude(x, window).log()


def stft_distance(x: Tensor, y: Tensor, windows: tuple[int, ...] = (64, 256, 1024)) -> Tensor:
    """The multi-resolution STFT distance of y from x, both (N, C, T), averaged over ``windows``: (N,), zero where they are equal (Yamamoto et al. 2020, arXiv:1910.11480).

    Spectral convergence ||X| - |Y|| / ||X|, in Frobenius norms, plus the mean of |log |X| - log |Y||; both heed magnitudes only, none below -80 dB.
    """
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for window in windows:
        a, b = _magnitude(x, window), _magnitude(y, window)
        # the square root's slope at zero would be infinite
        convergence = ((a - b).square().sum((-3, -2, -1)) + FLOOR**2).sqrt() - FLOOR
        size = (a.square().sum((-3, -2, -1)) + FLOOR**2).sqrt()
        total = total + convergence / size + (a.log() - b.log()).abs().mean((-3, -2, -1))
    return total / len(windows)


def si_sdr(x: Tensor, y: Tensor) -> Tensor:
    """The scale-invariant signal-to-distortion ratio of an estimate y of x, (..., T), in dB: (...) (Le Roux et al. 2019, arXiv:1811.02508)."""
    target = (x * y).sum(-1, keepdim=True) / x.square().sum(-1, keepdim=True) * x
    return 10 * torch.log10(target.square().sum(-1) / (y - target).square().sum(-1))


def log_spectral_distance(x: Tensor, y: Tensor, window: int = 256) -> Tensor:
    """The log-spectral distance of y from x, (N, C, T), in dB: (N,). Root of the mean square over frequencies, mean over frames; -80 dB is silence (Gray & Markel 1976)."""
    difference = 20 * torch.log10(_magnitude(x, window) / _magnitude(y, window))
    return difference.square().mean(-2).sqrt().mean((-2, -1))
