"""Sources of sound: folders, files and arrays of waveforms, opened to learn from, or read for a model that has learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaeworks.data.conform import relabel
from vaeworks.data.hub_items import files_of, marked
from vaeworks.data.hub_store import Stored
from vaeworks.data.items import Data, Items
from vaeworks.data.labels import keep_labels
from vaeworks.data.missing import missing
from vaeworks.data.name_labels import by_name
from vaeworks.data.options import Options
from vaeworks.data.parts import chosen_part, parted
from vaeworks.data.raw import TRAIN, Raw
from vaeworks.data.recordings import Recording, hop_of, load_recordings
from vaeworks.data.sound_files import SUFFIXES, is_sound
from vaeworks.data.split import choose, split
from vaeworks.data.walk import by_folder, walk
from vaeworks.errors import DataError
from vaeworks.model import AudioSchema

__all__ = ["is_sound", "open_sounds", "read_sounds"]

_BATCH = 256
_MEASURED = 20_000
"""Training items that statistics are taken from, at most."""
_LEAST_SCALE = 0.1
"""Nepers: a band that hardly changes is not blown up."""
_FEW = 200


def open_sounds(source: Any, options: Options) -> Data:
    """``open_data`` for sound."""
    raw, rate = _load(source, options, None)
    parts, told = split(raw, options)
    raw = keep_labels(raw, parts, options)
    schema = _describe(raw, parts == TRAIN, rate, options)
    told.append(_form(schema))
    if schema.count < _FEW:
        told.append(f"The data are few: {schema.count} training sounds. Expect close copies of them, and figures that hold for no others.")
    return parted(raw, parts, schema, told)


def read_sounds(source: Any, schema: AudioSchema, options: Options) -> Items:
    """``read_items`` for sound: brought to the rate, length and loudness that the model learned."""
    for name, asked, learned in (("rate", options.rate, schema.rate), ("seconds", options.seconds, schema.seconds)):
        if asked is not None and asked != learned:
            raise DataError(f"{name}={asked} was asked for, and the model learned with {name}={learned}: leave it out, or train another")
    return chosen_part(relabel(_load(source, options, schema)[0], schema), options, "all")


def _load(source: Any, options: Options, like: AudioSchema | None) -> tuple[Raw, int]:
    """What a source holds, with its labels, and its rate in Hz."""
    try:
        if isinstance(source, (str, Path)):
            raw, rate = _load_path(Path(source).expanduser(), str(source), options, like)
        elif isinstance(source, Stored):
            recordings = [Recording(name, file) for name, file in files_of(source, options)]
            raw, rate = load_recordings(recordings, source.source, like, options)
            raw = marked(raw, source, options)
        else:
            if like is None and options.rate is None:
                raise DataError("the source is an array of samples, and its rate is unknown: say it, Options(kind='audio', rate=16000)")
            recordings = [Recording(f"sound {i}", wave) for i, wave in enumerate(_waves(source))]
            raw, rate = load_recordings(recordings, "the sounds", like, options)
    except OSError as error:
        raise DataError(f"{error.filename or source} cannot be read: {error.strerror or error}") from error
    return choose(by_name(raw, options.labels_from, like.classes if like else ()), options), rate


def _load_path(path: Path, given: str, options: Options, like: AudioSchema | None) -> tuple[Raw, int]:
    """The folder or file at a path."""
    if path.is_dir():
        found = walk(path, is_sound, SUFFIXES, "sound", options)
        paths, limited = found.limited(options)
        recordings = [Recording(name, file) for name, file in zip(found.names(paths), paths, strict=True)]
        raw, rate = load_recordings(recordings, f"folder {path.resolve().name or path}", like, options)
        return by_folder(raw.note(limited, *found.aside()), "sound"), rate
    if not path.is_file():
        raise missing(path, given)
    if not is_sound(path):
        raise DataError(f"{given} is no sound ({path.suffix or 'no suffix'}): give a folder or a file of {', '.join(sorted(SUFFIXES))}")
    return load_recordings([Recording(path.name, path)], path.name, like, options)


def _waves(source: Any) -> Iterator[NDArray[np.float32]]:
    """The waveforms (n,) of an array (n,), (N, T) or (N, 1, T), or of a sequence of arrays: real numbers of full scale 1, or 16-bit integers."""
    if isinstance(source, torch.Tensor):
        source = source.detach().cpu().numpy()
    whole = isinstance(source, np.ndarray)
    if not whole and not (isinstance(source, Sequence) and len(source)):
        raise DataError(f"the source is of type {type(source).__name__}: give a path, an array of samples, or a sequence of them")
    for item in source[None] if whole and source.ndim == 1 else source:
        wave = np.asarray(item)
        wave = wave[0] if wave.ndim == 2 and len(wave) == 1 else wave
        if wave.ndim != 1 or not (wave.dtype.kind == "f" or wave.dtype == np.int16):
            raise DataError(
                f"a sound of shape {wave.shape} and type {wave.dtype}: give one channel (n,), real numbers of full scale 1 or 16-bit integers"
            )
        yield (wave / 32768 if wave.dtype == np.int16 else wave).astype(np.float32)


def _describe(raw: Raw, train: NDArray[np.bool_], rate: int, options: Options) -> AudioSchema:
    """The schema of ``raw``, with the statistics of (the first 20,000 of) the items at ``train``, a mask (N,), over what is their own."""
    hop = hop_of(rate)
    length = int(raw.values.shape[-1])
    bands = (40 if rate < 12_000 else 64 if rate < 20_000 else 80) if options.representation == "mel" else 0

    def schema(**statistics: Any) -> AudioSchema:
        return AudioSchema(
            shape=(1, bands, length // hop) if bands else (1, length),
            rate=rate,
            representation=options.representation,
            window=4 * hop,
            hop=hop,
            loudness=options.loudness,
            trim=options.trim,
            classes=raw.classes,
            source=raw.source,
            count=int(train.sum()),
            **statistics,
        )

    plain = schema(mel_means=(0.0,) * bands, mel_scales=(1.0,) * bands)
    assert raw.lengths is not None
    chosen = np.flatnonzero(train)[:_MEASURED]
    total, square = torch.zeros(max(bands, 1), dtype=torch.float64), torch.zeros(max(bands, 1), dtype=torch.float64)
    number = 0
    for start in range(0, len(chosen), _BATCH):
        index = chosen[start : start + _BATCH]
        x = plain.to_x(torch.from_numpy(raw.values[index]))
        here = plain.present(torch.from_numpy(raw.lengths[index]), x)
        held = x.to(torch.float64).masked_fill(~here, 0)
        number += int(here.sum())
        axes = (0, 1, 3) if bands else (0, 1, 2)
        total += held.sum(axes)
        square += held.square().sum(axes)
    each = number / max(bands, 1)
    mean, scale = total / each, (square / each - (total / each).square()).clamp_min(0).sqrt()
    if not bands:
        return schema(mean=mean.item(), std=scale.item())
    scales = scale.clamp_min(_LEAST_SCALE)
    return schema(mean=0.0, std=float((scale / scales).square().mean().sqrt()), mel_means=tuple(mean.tolist()), mel_scales=tuple(scales.tolist()))


def _form(schema: AudioSchema) -> str:
    """A sentence on what x is."""
    if schema.representation == "wave":
        return f"Model input: the waveform, {schema.samples} samples (--representation wave)."
    ms = 1000 / schema.rate
    return (
        f"Model input: log-mel spectrograms of {schema.shape[1]} bands x {schema.shape[2]} frames, each of {schema.window * ms:.0f} ms every "
        f"{schema.hop * ms:.1f} ms (--representation mel); phases are found anew when a sound is written."
    )
