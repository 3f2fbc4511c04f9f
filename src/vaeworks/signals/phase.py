"""Sound from magnitudes alone: phases that are consistent with them."""

from __future__ import annotations

import torch
from torch import Tensor

from vaeworks.signals.stft import STFT

__all__ = ["griffin_lim"]


@torch.no_grad()
def griffin_lim(magnitude: Tensor, stft: STFT, length: int, *, iterations: int = 32, momentum: float = 0.99) -> Tensor:
    """A sound (..., T) whose transform has about the given ``magnitude`` (..., bins, frames): the fast Griffin-Lim algorithm (Perraudin, Balazs & Sondergaard 2013).

    Projects in turn on transforms of sounds and on transforms of this magnitude, ``momentum`` steps beyond (0: Griffin & Lim 1984). The first phases are those of a
    fixed noise, so the same magnitudes give the same sound.
    """
    noise = torch.Generator().manual_seed(0)
    phase = 2 * torch.pi * torch.rand(magnitude.shape[-2:], generator=noise, dtype=torch.float64)
    ahead = torch.polar(magnitude, phase.to(magnitude).expand_as(magnitude).contiguous())
    last = torch.zeros_like(ahead)
    for _ in range(iterations):
        consistent = stft(stft.inverse(magnitude * torch.sgn(ahead), length))
        ahead, last = consistent + momentum * (consistent - last), consistent
    return stft.inverse(magnitude * torch.sgn(ahead), length)
