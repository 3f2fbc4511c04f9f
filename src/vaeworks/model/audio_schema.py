"""AudioSchema: sounds, as waveforms or as spectrograms of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaeworks.model.schema import Schema
from vaeworks.signals import LogMel

__all__ = ["AudioSchema", "Loudness", "Representation"]

Representation = Literal["mel", "wave"]
Loudness = Literal["none", "peak", "rms"]

ITERATIONS = 16
"""Rounds of Griffin and Lim's algorithm that find the phases of a sound: twice as many take the error of its log-mel spectrogram from 1.3 to 1.1 dB."""
_ALIKE = 16


@dataclass(frozen=True)
class AudioSchema(Schema):
    """A data set of sounds of one channel, each of a length of its own.

    Values are int16 samples (N, 1, T), zero beyond an item's end, T a multiple of ``hop``. x is the waveform value / 32768 in [-1, 1], (1, T), or its log-mel spectrogram (1, M, F),
    each band less its mean over its scale: frame f of F = T / hop is centred on sample (f + 1/2) hop, and an item of n samples has ceil(n / hop) frames.
    In a decoded x, NaN means that the item has ended.
    """

    kind: ClassVar[str] = "audio"

    rate: int
    """Samples a second, in Hz."""
    representation: Representation = "mel"
    window: int = 256
    hop: int = 64
    """Samples of a frame, and from one frame to the next."""
    mel_means: tuple[float, ...] = ()
    mel_scales: tuple[float, ...] = ()
    """Mean and standard deviation of each band, in nepers, over what the training items hold; empty for waveforms."""
    loudness: Loudness = "none"
    """What every sound is brought to before it is stored."""
    trim: float = 0.0
    """Decibels below a sound's peak from which its beginning and end were cut off; 0: nothing was."""

    @property
    def samples(self) -> int:
        """T, the samples of one stored item."""
        return self.shape[-1] * (self.hop if self.representation == "mel" else 1)

    @property
    def seconds(self) -> float:
        """The longest that a sound can be."""
        return self.samples / self.rate

    @property
    def protocol(self) -> dict[str, Any]:
        return {"representation": self.representation, "rate": self.rate}

    @property
    def density(self) -> str:
        what = "the log-mel spectrogram, each band scaled to unit variance" if self.representation == "mel" else "samples in [-1, 1]"
        return f"with respect to {what}, up to each sound's end: comparable only between models of the same representation"

    @property
    def x_levels(self) -> int:
        return 0

    def to_x(self, values: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """int16 samples (B, 1, T) to x (B, 1, T) or (B, 1, M, F), in float32."""
        wave = values.to(torch.float32) / 32768
        if self.representation == "wave":
            return wave
        means, scales = self._bands(values.device)
        mel: Tensor = (self._transform(values.device)(wave) - means) / scales
        return mel

    def to_wave(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, *shape) to waveforms (N, 1, T), zero beyond their ends, and how many samples of each are its own, (N,).

        The phases of a spectrogram are found by Griffin and Lim's algorithm from a fixed start: the same x gives the same sound.
        """
        here = x.isfinite().all(1) if self.representation == "wave" else x.isfinite().all(2)[:, 0]
        lengths = torch.where(here.any(-1), here.shape[-1] - here.flip(-1).to(torch.int8).argmax(-1), 0)
        if self.representation == "wave":
            return x.detach().nan_to_num(0.0).clamp(-1, 1), lengths
        means, scales = self._bands(x.device)
        transform = self._transform(x.device)
        silence = torch.full_like(x, np.log(transform.floor)).detach()
        mel = torch.where(x.isfinite(), x.detach().float() * scales + means, silence).clamp(silence, -silence)
        wave = mel.new_zeros(len(x), 1, x.shape[-1] * self.hop)
        whole = (-(-lengths // _ALIKE) * _ALIKE).clamp_max(x.shape[-1])
        for frames in whole.unique().tolist():  # sounds of about one length at a time: none pays for another's, and none is changed by it
            if frames:
                mine = whole == frames
                wave[mine, :, : frames * self.hop] = transform.inverse(mel[mine, ..., :frames], frames * self.hop, iterations=ITERATIONS)
        beyond = torch.arange(wave.shape[-1], device=x.device) >= (lengths * self.hop)[:, None, None]
        return wave.masked_fill_(beyond, 0).clamp_(-1, 1), lengths * self.hop

    def to_values(self, x: Tensor) -> Tensor:
        """x (..., *shape) to int16 samples (..., 1, T), zero beyond an item's end."""
        event = len(self.shape)
        wave, _ = self.to_wave(x.reshape(-1, *x.shape[-event:]))
        return (wave * 32768).round().clamp(-32768, 32767).to(torch.int16).reshape(*x.shape[:-event], *wave.shape[1:])

    def to_raw(self, x: Tensor) -> list[NDArray[np.float32]]:
        """x (N, *shape) as N waveforms in [-1, 1], each as long as it is, (n,)."""
        wave, lengths = self.to_wave(x)
        return [w[0, : int(n)].cpu().numpy().astype(np.float32) for w, n in zip(wave, lengths, strict=True)]

    def present(self, lengths: Tensor, x: Tensor) -> Tensor:
        """(B, *event) bool, True where x is an item's own, for items of ``lengths`` (B,) in samples."""
        return super().present(lengths if self.representation == "wave" else -(-lengths // self.hop), x)

    def within(self, x: Tensor) -> Tensor:
        return x.clamp(-1, 1) if self.representation == "wave" else x

    def fault(self) -> str:
        whole = all(type(size) is int and size > 0 for size in (self.rate, self.window, self.hop))
        if not whole or self.hop > self.window // 2 or self.representation not in get_args(Representation) or self.loudness not in get_args(Loudness):
            return f"a sound at {self.rate!r} Hz with frames of {self.window!r} every {self.hop!r} samples is none that this version can use"
        bands = self.shape[1] if self.representation == "mel" and len(self.shape) == 3 else 0
        numbers = (*self.mel_means, *self.mel_scales, self.trim)
        if len(self.shape) != (3 if self.representation == "mel" else 2) or self.shape[0] != 1 or self.samples < self.window:
            return f"a sound of shape {self.shape} ({self.representation}) is none that this version can use"
        if not all(type(number) in {int, float} for number in numbers):
            return "a statistic of its bands, or its trim, is no number"
        if not len(self.mel_means) == len(self.mel_scales) == bands or any(scale <= 0 for scale in self.mel_scales):
            return f"its {bands} bands do not have a mean and a scale above zero each"
        return ""

    def _transform(self, device: torch.device) -> LogMel:
        return _log_mel(self.rate, self.window, self.hop, self.shape[1], device)

    def _bands(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Means and scales (M, 1)."""
        return _columns(self.mel_means, device), _columns(self.mel_scales, device)


@functools.lru_cache(maxsize=8)
def _log_mel(rate: int, window: int, hop: int, mels: int, device: torch.device) -> LogMel:
    with torch.inference_mode(False):
        return LogMel(rate, window=window, hop=hop, mels=mels).to(device=device, dtype=torch.float32)


@functools.lru_cache(maxsize=8)
def _columns(numbers: tuple[float, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=torch.float32, device=device)[:, None]
