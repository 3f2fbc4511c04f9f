"""Many sounds, from files or from memory: decoded by several threads, brought to one rate, one loudness and one length."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.levelling import GAIN, PEAK, RMS, centred, levelled, trimmed
from vaeworks.data.memory import available, require
from vaeworks.data.options import Options
from vaeworks.data.raw import Raw
from vaeworks.data.reading import count, each, first, refuse
from vaeworks.data.sound_files import Header, Sound, look, read_sound
from vaeworks.data.walk import few
from vaeworks.errors import DataError
from vaeworks.model import AudioSchema
from vaeworks.model.audio_schema import Loudness

__all__ = ["STEP", "Recording", "hop_of", "load_recordings"]

STEP = 8
"""Frames that the number of frames is a multiple of, so that networks can halve it three times."""
_FEWEST = 16
_RATES = (8000, 48_000)
_LONGEST = 10.0
"""Seconds that sounds are kept of where nobody says."""
_NEARLY_ALL = 0.99
_SLACK = 1.25
_SHARE = 0.25
_HEAD = 1 << 20


@dataclass(frozen=True)
class Recording:
    """A sound that is yet to be decoded: a file, the bytes of one, or a waveform (n,) in memory, of the rate asked for."""

    name: str
    held: Path | bytes | NDArray[np.float32]

    def look(self, rate: int | None) -> Header:
        """Rate and length, before anything is decoded."""
        return look(self.held) if isinstance(self.held, Path | bytes) else Header(rate or 0, 1, len(self.held), False)

    def read(self, rate: int, most: int, *, skip: bool) -> Sound:
        """At most ``most`` samples at ``rate``; ValueError where they cannot be had."""
        if isinstance(self.held, Path | bytes):
            return read_sound(self.held, rate, most, skip=skip)
        if not self.held.size or not np.abs(self.held).max() > 0 or not np.isfinite(self.held).all():
            raise ValueError("it is silent, or holds NaN")
        return Sound(self.held[:most], len(self.held) > most, False)

    def digest(self, seed: int) -> bytes:
        """A keyed hash of what the source holds, whatever is made of it: of a file its size and first megabyte."""
        key = str(seed).encode()
        if not isinstance(self.held, Path):
            data = self.held if isinstance(self.held, bytes) else self.held.tobytes()
            return hashlib.blake2b(data, digest_size=16, key=key).digest()
        with self.held.open("rb") as file:
            return hashlib.blake2b(str(self.held.stat().st_size).encode() + file.read(_HEAD), digest_size=16, key=key).digest()


@dataclass(frozen=True)
class _Taken:
    """One sound as it will be stored."""

    values: NDArray[np.int16]
    more: bool
    clipped: bool
    offset: bool
    quiet: float
    """Seconds of silence that were cut off."""
    key: bytes


def load_recordings(recordings: Sequence[Recording], what: str, like: AudioSchema | None, options: Options) -> tuple[Raw, int]:
    """The sounds that can be read, int16 samples (N, 1, T), and their rate in Hz.

    Rate, length, loudness and trim are those of ``like``; without it, of the options, or chosen from the sounds. DataError where none can be read, or where one cannot and
    ``options.strict``, or one would be cut and ``options.strict``.
    """
    names = [recording.name for recording in recordings]
    files = all(isinstance(recording.held, Path) for recording in recordings)
    looked = each(lambda recording: recording.look(like.rate if like else options.rate), recordings, None, threads=files)
    failed = {i: header for i, header in enumerate(looked) if isinstance(header, str)}
    headers = {i: header for i, header in enumerate(looked) if not isinstance(header, str)}
    if options.strict:
        failed |= {i: "it ends before its header says" for i, header in headers.items() if header.truncated}
    refuse(failed, names, "sound", what, options)
    rate, chosen = (like.rate, "that of the model") if like else _rate([header.rate for header in headers.values()], options)
    trim, loudness = (like.trim, like.loudness) if like else (options.trim, options.loudness)
    most = like.samples if like else _most([header.seconds for header in headers.values()], rate, options)
    require(4 * most * len(headers), f"{what}, {count(len(headers), 'sound')} of up to {most / rate:.1f} s at {rate} Hz,")

    def take(recording: Recording) -> _Taken:
        heard = recording.read(rate, most + max(most, rate), skip=trim > 0)
        wave, offset = centred(heard.wave)
        if not np.abs(wave).max() > 0:
            raise ValueError("it is silent")
        inner = trimmed(wave, rate, trim)
        quiet, more = (len(wave) - len(inner)) / rate, heard.more or len(inner) > most
        return _Taken(levelled(inner[:most], loudness), more, heard.clipped, offset, quiet, recording.digest(options.seed))

    good = sorted(headers)
    decoded = each(take, [recordings[i] for i in good], options.progress, threads=files)
    failed |= {i: reason for i, reason in zip(good, decoded, strict=True) if isinstance(reason, str)}
    refuse(failed, names, "sound", what, options)
    kept = [i for i in good if i not in failed]
    taken = [t for t in decoded if not isinstance(t, str)]

    own = np.array([len(t.values) for t in taken], dtype=np.int64)
    length = like.samples if like else _length(own, rate, options)
    long = [t.more or len(t.values) > length for t in taken]
    held = [names[i] for i in kept]
    if any(long) and options.strict:
        raise DataError(
            f"{what}: {_those(held, long, '{0} longer ({1})')} than the {length / rate:.3g} s that are kept of a sound: "
            f"{'' if like else 'keep more with --seconds, or '}leave out --strict, and they are cut"
        )
    values = np.zeros((len(taken), 1, length), dtype=np.int16)
    for row, t in zip(values[:, 0], taken, strict=True):
        row[: len(t.values)] = t.values[:length]
    lengths = np.minimum(own, length)
    raw = Raw(values, 0, what, names=tuple(names[i] for i in kept), keys=np.array([t.key for t in taken], dtype="S16"), lengths=lengths)

    kinds = [headers[i] for i in kept]
    raw = raw.note(
        *_heard(what, held, kinds, taken, rate, chosen),
        f"Length: {length / rate:.3g} s ({length} samples); {sum(long) or 'no'} longer cut (--seconds{': ' + few(_marked(held, long)) if 0 < sum(long) <= 5 else ''}), "
        f"{int((lengths < length).sum()) or 'no'} shorter padded, and the padding is not learned.",
        *_changed(held, taken, loudness, trim),
        f"Skipped {count(len(failed), 'sound')}: {first(failed, names)}." if failed else "",
    )
    return (raw if files else replace(raw, names=None)), rate


def _heard(what: str, names: Sequence[str], headers: Sequence[Header], taken: Sequence[_Taken], rate: int, chosen: str) -> list[str]:
    """What to tell of sounds as they were found."""
    seconds = [header.seconds for header in headers]
    resampled = sum(header.rate != rate for header in headers)
    return [
        f"{what}: {count(len(names), 'sound')} of {min(seconds):.2f} to {max(seconds):.2f} s (median {np.median(seconds):.2f} s), {sum(seconds):.0f} s in all.",
        f"Rate: {rate} Hz, {chosen} (--rate){'; ' + count(resampled, 'sound') + ' resampled' if resampled else ''}.",
        _those(names, [header.channels > 1 for header in headers], "Mixed to one channel: {0} of several ({1})."),
        _those(names, [header.truncated for header in headers], "Shorter than their headers say: {0} ({1})."),
        _those(names, [t.clipped for t in taken], "Clipped, with three samples in a row at full scale: {0} ({1})."),
    ]


def _changed(names: Sequence[str], taken: Sequence[_Taken], loudness: Loudness, trim: float) -> list[str]:
    """What to tell of how sounds were made comparable."""
    louder = {"peak": f"each sound brought to a peak of {PEAK:g} dB", "rms": f"each sound brought to a root mean square of {RMS:g} dB"}.get(loudness)
    quiet = sum(t.quiet for t in taken)
    cut = f"Silence more than {trim:g} dB below a sound's peak was cut from its ends, {quiet:.1f} s in all (--trim 0 keeps it)."
    return [
        f"Loudness: {louder + f', made louder by at most {GAIN:g} dB' if louder else 'as it is'} (--loudness).",
        cut if quiet >= 0.05 else "",
        _those(names, [t.offset for t in taken], "Offset from zero, removed: {0} ({1})."),
    ]


def _marked(names: Sequence[str], flags: Sequence[bool]) -> list[str]:
    return [name for name, flag in zip(names, flags, strict=True) if flag]


def _those(names: Sequence[str], flags: Sequence[bool], told: str) -> str:
    """``told`` with how many names are flagged and the first of them; nothing where none is."""
    marked = _marked(names, flags)
    return told.format(count(len(marked), "sound"), few(marked) + (", ..." if len(marked) > 5 else "")) if marked else ""


def hop_of(rate: int) -> int:
    """Samples from one frame to the next: the power of two nearest to 8 ms, and 64 at least."""
    return max(64, 1 << round(math.log2(0.008 * rate)))


def _rate(rates: Sequence[int], options: Options) -> tuple[int, str]:
    """The rate for sounds of these rates, and why."""
    if options.rate is not None:
        return options.rate, "as asked"
    common, times = Counter(rates).most_common(1)[0]
    rate = min(max(common, _RATES[0]), _RATES[1])
    told = "that of all" if times == len(rates) else f"that of {times} of {len(rates)}"
    return rate, told if rate == common else f"the nearest of {_RATES[0]} .. {_RATES[1]} Hz to {common} Hz, {told}"


def _most(seconds: Sequence[float], rate: int, options: Options) -> int:
    """Samples that are kept of any sound: as asked, or up to ten seconds, fewer where a quarter of the memory does not hold them."""
    asked = options.seconds or min(_LONGEST, max(seconds))
    free = available()
    fit = _SHARE * free / (2 * len(seconds)) if free and options.seconds is None else asked * rate
    return max(_whole(min(asked * rate, fit), rate), _FEWEST * hop_of(rate))


def _length(lengths: NDArray[np.int64], rate: int, options: Options) -> int:
    """Samples of one item: as asked; else the longest, unless that is far beyond 99% of them."""
    if options.seconds is not None:
        return max(_whole(options.seconds * rate, rate), _FEWEST * hop_of(rate))
    most = float(np.quantile(lengths, _NEARLY_ALL, method="lower"))  # of few sounds the second longest, however long one is
    longest = float(lengths.max())
    return max(_whole(longest if options.strict or longest <= _SLACK * most else most, rate), _FEWEST * hop_of(rate))


def _whole(samples: float, rate: int) -> int:
    """``samples`` up to a whole number of steps of 8 frames."""
    step = STEP * hop_of(rate)
    return int(-(-samples // step)) * step
