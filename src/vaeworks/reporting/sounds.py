"""Sounds as people hear and see them: sound files, players on the page, and a sheet of spectrograms."""

from __future__ import annotations

import base64
import functools
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaeworks.data.sound_files import FORMATS, encoded, write_sound
from vaeworks.errors import ArtifactError
from vaeworks.model import AudioSchema
from vaeworks.reporting.exhibits import Exhibit
from vaeworks.reporting.pictures import picture_html, save_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Sounds"]

SHOWN = 16
"""Sounds on a sheet and on the page at most."""
PAIRS = 8
"""Items on the page at most where each is there in several versions."""
DECIBELS = 80
"""Range of a spectrogram below its loudest point."""

Wave = NDArray[np.float32]


class Sounds(Exhibit[AudioSchema]):
    """A folder of WAVs with a sheet of their spectrograms, that sheet alone, or one sound in a file of its own."""

    suffixes = ("", ".png", *FORMATS)

    @functools.cached_property
    def waves(self) -> dict[str, list[Wave]]:
        """Every version as waveforms in [-1, 1]."""
        return {name: self.schema.to_raw(x) for name, x in self.versions.items()}

    def write_file(self, path: Path) -> None:
        if path.suffix.lower() == ".png":
            save_png(_spectrograms(self.waves, self.schema.rate), path)
            return
        if len(self.last) > 1:
            raise ArtifactError(f"-o {path} holds one sound, and there are {len(self.last)}: give a folder, or ask for one (-n 1, --limit 1)")
        write_sound(path, self.schema.to_raw(self.last)[0], self.schema.rate)

    def write_folder(self, path: Path) -> str:
        waves = self.waves
        for name, sounds in waves.items():
            for i, wave in enumerate(sounds):
                write_sound(path / f"{self.stem(i)}{f'-{name}' if len(waves) > 1 else ''}.wav", wave, self.schema.rate)
        save_png(_spectrograms(waves, self.schema.rate), path / "sheet.png")
        return f"{len(self.last)} sounds and sheet.png"

    def html(self, alternative: str, budget: int) -> str:
        most = SHOWN if len(self.versions) == 1 else PAIRS
        waves = {name: sounds[:most] for name, sounds in self.waves.items()}
        picture = picture_html(_spectrograms(waves, self.schema.rate), alternative, budget // 2)
        count, left, groups = len(next(iter(waves.values()))), budget // 2, []
        for heading, members in self._groups(waves, count).items():
            players = []
            for label, wave in members:
                content = encoded(wave, self.schema.rate)
                left -= len(content)
                if left >= 0:
                    players.append(_player(f"{heading}, {label}" if heading else label, label, content))
            if players:
                told = f"<figcaption>{escape(heading)}</figcaption>" if heading else ""
                groups.append(f'<figure class="sounds">{told}<div class="players">{"".join(players)}</div></figure>')
        return f"{picture}{''.join(groups)}"

    def _groups(self, waves: dict[str, list[Wave]], count: int) -> dict[str, list[tuple[str, Wave]]]:
        """Sounds that are heard beside each other, by heading, with what each is: the steps of a path, the versions of an item, or all of a single version."""
        if len(waves) == 1:
            ((name, sounds),) = waves.items()
            return {"": [(f"{name} {i + 1}", sounds[i]) for i in range(count)]}
        if self.in_order:
            return {name: [(f"step {i + 1}", sounds[i]) for i in range(count)] for name, sounds in waves.items()}
        return {f"item {i + 1}": [(name, sounds[i]) for name, sounds in waves.items()] for i in range(count)}


def _player(title: str, label: str, content: bytes) -> str:
    source = f"data:audio/wav;base64,{base64.b64encode(content).decode()}"
    return f'<div><span class="quiet">{escape(label)}</span><audio controls src="{source}" title="{escape(title)}"></audio></div>'


def _spectrograms(waves: dict[str, list[Wave]], rate: int) -> Figure:
    """A sheet: time to the right in seconds, frequency upwards in kHz, brightness in decibels; a row for each version where there are several."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    names, count = list(waves), min(SHOWN, len(next(iter(waves.values()))))
    columns = min(count, 8)
    blocks = -(-count // columns)
    longest = max((len(wave) for sounds in waves.values() for wave in sounds[:count]), default=1) / rate
    with rc_context({"font.size": 8}):
        figure = Figure(figsize=(1.6 * columns + 0.8, 1.5 * blocks * len(names) + 0.3), layout="constrained", facecolor="white")
        axes = figure.subplots(blocks * len(names), columns, squeeze=False, sharex=True, sharey=True)
        for axis in axes.flat:
            axis.set_axis_off()
        for r, name in enumerate(names):
            for i in range(count):
                axis = axes[i // columns * len(names) + r][i % columns]
                _draw(axis, waves[name][i], rate)
                axis.set_axis_on()
                if i % columns == 0:
                    axis.set_ylabel(f"{name}\nkHz" if len(names) > 1 else "kHz")
        axes[0][0].set(xlim=(0, max(longest, 1e-3)), ylim=(0, rate / 2000))
    return figure


def _draw(axis: Any, wave: Wave, rate: int) -> None:
    size = 2 ** max(6, round(np.log2(rate * 0.025)))
    samples = torch.nn.functional.pad(torch.from_numpy(np.asarray(wave, np.float32)), (0, max(0, size - len(wave))))
    power = torch.stft(samples, size, size // 4, window=torch.hann_window(size), return_complex=True).abs().square()
    decibels = 10 * torch.log10(power.clamp_min(1e-12))
    top = float(decibels.max())
    axis.imshow(
        decibels.numpy(), origin="lower", aspect="auto", cmap="magma", vmin=top - DECIBELS, vmax=top, extent=(0, len(samples) / rate, 0, rate / 2000)
    )
