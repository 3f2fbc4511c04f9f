"""One sound in a file: read in blocks, so that no file takes more memory than what is kept of it; written so that it takes the place of another at once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vaeworks.errors import DataError
from vaeworks.files import replace_file

if TYPE_CHECKING:
    from soundfile import SoundFile

__all__ = ["FORMATS", "SUFFIXES", "Header", "Sound", "encoded", "is_sound", "look", "read_sound", "write_sound"]

FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
"""What sound is written as: container and coding."""

SUFFIXES = frozenset({".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64"})
SILENT = 1e-4
"""Peak of what is no sound, -80 dB below full scale."""
_RATES = (100, 1_000_000)
_BLOCK = 1 << 16
_FULL = 0.99


@dataclass(frozen=True)
class Header:
    """What a file says of itself."""

    rate: int
    """Hz."""
    channels: int
    frames: int
    truncated: bool
    """Whether the file ends before its header says."""

    @property
    def seconds(self) -> float:
        """The length, as the header says."""
        return self.frames / self.rate


@dataclass(frozen=True)
class Sound:
    """What was read of a file."""

    wave: NDArray[np.float32]
    """(n,) one channel, full scale at 1."""
    more: bool
    """Whether the file goes on."""
    clipped: bool
    """Whether three samples in a row are at full scale."""


def is_sound(path: Path) -> bool:
    """Whether the name of a file says that it holds sound."""
    return path.suffix.lower() in SUFFIXES


def look(path: Path | bytes) -> Header:
    """The header of a file, or of the bytes of one. ValueError where it is none, or holds no sound."""
    with _opened(path) as file:
        header = Header(file.samplerate, file.channels, file.frames, "(should be" in file.extra_info)
    if not header.frames:
        raise ValueError("it holds no sound")
    if not _RATES[0] <= header.rate <= _RATES[1]:
        raise ValueError(f"its rate is {header.rate} Hz")
    return header


def read_sound(path: Path | bytes, rate: int, most: int, *, skip: bool = False) -> Sound:
    """At most about ``most`` samples of a file, or of the bytes of one, at ``rate``, all channels mixed to one; with ``skip`` from where it is no longer silent.

    ValueError where the file cannot be decoded, holds NaN, or nothing above -80 dB.
    """
    import soxr

    parts: list[NDArray[np.float32]] = []
    length, clipped = 0, False
    with _opened(path) as file:
        stream = None if file.samplerate == rate else soxr.ResampleStream(file.samplerate, rate, 1, dtype="float32")
        block = max(1, _BLOCK // file.channels)
        last = False
        while not last and length < most:
            heard = file.read(block, dtype="float32", always_2d=True)
            last = len(heard) < block
            if not np.isfinite(heard).all():
                raise ValueError("it holds samples that are no numbers (NaN or infinite)")
            if skip and not parts:
                loud = np.flatnonzero((np.abs(heard) >= SILENT).any(1))
                if not len(loud) and not last:
                    continue
                heard = heard[max(0, int(loud[0]) - file.samplerate // 100) if len(loud) else 0 :]
            full = (np.abs(heard) >= _FULL).any(1)
            clipped |= bool((full[2:] & full[1:-1] & full[:-2]).any())
            mixed = heard.mean(1) if heard.shape[1] > 1 else heard[:, 0].copy()
            parts.append(mixed if stream is None else stream.resample_chunk(mixed, last=last))
            length += len(parts[-1])
        more = not last and bool(len(file.read(1)))
    whole = np.concatenate(parts)
    wave = whole[:most]
    if not len(wave) or np.abs(wave).max() < SILENT:
        raise ValueError("it is silent")
    return Sound(wave, more or len(whole) > most, clipped)


@contextmanager
def _opened(path: Path | bytes) -> Iterator[SoundFile]:
    """The file, open; ValueError where libsndfile finds no sound in it, or loses it."""
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(path) if isinstance(path, bytes) else path) as file:
            yield file
    except soundfile.LibsndfileError as error:
        told = (
            "it is empty"
            if not (len(path) if isinstance(path, bytes) else path.stat().st_size)
            else f"it is damaged, or no sound: {error.error_string.rstrip('.')}"
        )
        raise ValueError(told) from error


def write_sound(path: Path, wave: NDArray[np.float32], rate: int) -> None:
    """A waveform (n,) or (n, channels), full scale at 1, to a file of one of ``FORMATS``, which it replaces at once.

    DataError for another kind of file, ArtifactError where the disk refuses.
    """
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path} is of a kind that sound is not written to ({path.suffix or 'no suffix'}): give one of {', '.join(FORMATS)}")
    replace_file(path, encoded(wave, rate, path.suffix.lower()))


def encoded(wave: NDArray[np.float32], rate: int, suffix: str = ".wav") -> bytes:
    """A waveform (n,) or (n, channels) of ``rate`` Hz as the bytes of a sound file; what lies beyond full scale is clipped."""
    import soundfile

    kind, coding = FORMATS[suffix]
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(np.nan_to_num(wave), -1, 1), rate, format=kind, subtype=coding)
    return buffer.getvalue()
