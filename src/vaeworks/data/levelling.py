"""A sound made comparable with others: without offset, without the silence around it, at one loudness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vaeworks.model.audio_schema import Loudness

__all__ = ["GAIN", "PEAK", "RMS", "centred", "levelled", "trimmed"]

PEAK, RMS = -1.0, -20.0
"""Decibels below full scale that sounds are brought to."""
GAIN = 30.0
"""Decibels that a sound is made louder by at most: what is nearly silent stays nearly silent."""
_OFFSET = 0.01
_FRAME = 0.01
"""Seconds."""


def centred(wave: NDArray[np.float32]) -> tuple[NDArray[np.float32], bool]:
    """``wave`` (n,) without its mean where that is more than 1% of full scale and a fifth of its root mean square, and whether it was."""
    mean = float(wave.mean(dtype=np.float64))
    if abs(mean) <= max(_OFFSET, 0.2 * _rms(wave)):
        return wave, False
    return wave - np.float32(mean), True


def trimmed(wave: NDArray[np.float32], rate: int, decibels: float) -> NDArray[np.float32]:
    """``wave`` (n,) without the frames of 10 ms at either end whose peak is ``decibels`` or more below that of the whole; 0 leaves it as it is."""
    if not decibels:
        return wave
    loud = np.flatnonzero(np.abs(wave) > np.abs(wave).max() * 10 ** (-decibels / 20))
    if not len(loud):
        return wave
    frame = max(1, round(_FRAME * rate))
    return wave[loud[0] // frame * frame : (loud[-1] // frame + 1) * frame]


def levelled(wave: NDArray[np.float32], loudness: Loudness) -> NDArray[np.int16]:
    """``wave`` (n,) as 16-bit samples: a peak of -1 dB, or a root mean square of -20 dB where no peak passes -1 dB; at most 30 dB louder than it was."""
    gain = 1.0
    if loudness != "none":
        gain = min(_ratio(PEAK) / float(np.abs(wave).max()), _ratio(GAIN))
    if loudness == "rms":
        gain = min(gain, _ratio(RMS) / _rms(wave))
    values: NDArray[np.int16] = np.clip(np.rint(wave * (gain * 32768)), -32768, 32767).astype(np.int16)
    return values


def _ratio(decibels: float) -> float:
    return float(10 ** (decibels / 20))


def _rms(wave: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.square(wave, dtype=np.float64).mean()))
