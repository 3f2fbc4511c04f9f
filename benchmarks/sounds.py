"""Spoken digits: are reconstructions and samples recognised by a classifier that knows only real recordings? Train, measure, and write the section into docs/results.md.

    python benchmarks/sounds.py --data recordings/ --minutes 10                   # the recipe that `vae train` chooses for sounds
    python benchmarks/sounds.py --data recordings/ --minutes 10 --recipe sound-wave

DATA is a folder of the Free Spoken Digit Dataset's files, LABEL_SPEAKER_TAKE.wav; takes 0 to 4 are the official test split. The classifier sees sounds as they are written to files, in
features that are its own; it is trained on the real recordings of the training part. Beside reconstructions stand those of principal components, as many as the code has numbers, and
of Opus at the lowest rate that opusenc (opus-tools) takes. Writes runs/sounds/RECIPE/result.json.
"""

import argparse
import json
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from published import hardware, write_section
from torch import Tensor, nn
from torch.nn import functional as F

from vaeworks.data import Data, Items, Options
from vaeworks.files import replace_file
from vaeworks.model import AudioSchema
from vaeworks.runs import Model
from vaeworks.runs.train import train_run
from vaeworks.signals import log_spectral_distance, si_sdr

BEGIN, END = "<!-- spoken digits: begin -->", "<!-- spoken digits: end -->"
RATE, TAKES = 8000, 5
WINDOW, HOP, BANDS, FRAMES = 200, 80, 32, 100
"""Of the classifier's features: 25 ms every 10 ms, for one second; not those of any model here."""
EACH = 50
"""Samples drawn of each digit."""

Wave = NDArray[np.float32]


def linked(source: Path, folder: Path) -> Path:
    """``folder`` with train/ and test/, links to the recordings of ``source``, takes 0 .. 4 to test."""
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
    for path in sorted(source.resolve().glob("**/*.wav")):
        take = int(path.stem.rpartition("_")[2])
        (folder / ("test" if take < TAKES else "train") / path.name).symlink_to(path)
    return folder


def recordings(folder: Path) -> tuple[list[Wave], Tensor]:
    """The waveforms in a folder, straight from the files, and their digits (N,)."""
    paths = sorted(folder.glob("*.wav"))
    waves = []
    for path in paths:
        wave, rate = soundfile.read(path, dtype="float32")
        assert rate == RATE, f"{path} is at {rate} Hz, not {RATE}"
        waves.append(wave)
    return waves, torch.tensor([int(path.stem[0]) for path in paths])


def energies(waves: Sequence[Wave]) -> Tensor:
    """(N, 32, 100): energy in bands of triangular shape, even in mel, of 25 ms every 10 ms; sounds at one root mean square, silence after them."""
    frequencies = torch.linspace(0, RATE / 2, WINDOW // 2 + 1)
    corners = 700 * (10 ** (torch.linspace(0, 2595 * math.log10(1 + RATE / 1400), BANDS + 2) / 2595) - 1)
    rise = (frequencies - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    fall = (corners[2:, None] - frequencies) / (corners[2:] - corners[1:-1])[:, None]
    filters = torch.minimum(rise, fall).clamp_min(0)
    whole = torch.zeros(len(waves), FRAMES * HOP)
    for row, wave in zip(whole, waves, strict=True):
        part = torch.from_numpy(wave[: FRAMES * HOP])
        row[: len(part)] = part / part.square().mean().sqrt().clamp_min(1e-6)
    spectrum = torch.stft(whole, WINDOW, HOP, window=torch.hamming_window(WINDOW), center=True, return_complex=True)[..., :FRAMES]
    return filters @ spectrum.abs().square() / WINDOW


class Classifier(nn.Module):
    """Digits by a small convolutional network, trained on real recordings moved by up to 100 ms and louder or softer by up to 10 dB."""

    def __init__(self, waves: Sequence[Wave], labels: Tensor, *, epochs: int = 30, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for inwards, outwards in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(inwards, outwards, 3, stride=2, padding=1), nn.BatchNorm2d(outwards), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(2), nn.Dropout(0.2))
        self.head = nn.Linear(64 * 4, 10)
        held = energies(waves)
        steps = epochs * -(-len(held) // 64)
        optimiser = torch.optim.AdamW(self.parameters(), 3e-3, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
        self.train()
        for _ in range(epochs):
            for index in torch.randperm(len(held)).split(64):
                batch = torch.stack([torch.roll(held[i], int(torch.randint(-10, 11, ())), -1) for i in index])
                gain = 10 ** (2 * torch.rand(len(index), 1, 1) - 1)
                loss = F.cross_entropy(self(batch * gain), labels[index])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        self.eval()

    def forward(self, held: Tensor) -> Tensor:
        """(N, 32, 100) -> (N, 10): logits, a mean over time of what the network hears in four parts of the spectrum."""
        h = self.body[:-2](((held + 1e-3).log() / 3).unsqueeze(1))
        out: Tensor = self.head(self.body[-1](h.mean(-1).flatten(1)))
        return out

    @torch.inference_mode()
    def hear(self, waves: Sequence[Wave]) -> Tensor:
        """The digit that each is taken for, (N,)."""
        found: Tensor = self(energies(waves)).argmax(1)
        return found


def apart(sounds: Sequence[Wave], others: Sequence[Wave]) -> tuple[float, float]:
    """Mean SI-SDR and mean log-spectral distance of ``others`` from ``sounds``, in dB, over the length of each sound; silence where the other has ended."""
    ratios, distances = [], []
    for sound, other in zip(sounds, others, strict=True):
        x = torch.from_numpy(sound)[None, None]
        y = torch.zeros_like(x)
        y[..., : len(other)] = torch.from_numpy(other[: x.shape[-1]])
        ratios.append(float(si_sdr(x, y + 1e-9)))
        distances.append(float(log_spectral_distance(x, y)))
    return float(np.mean(ratios)), float(np.mean(distances))


def principal(data: Data, number: int) -> list[Wave]:
    """Test items from their first ``number`` principal components, those of the training items, in the representation of the models; each as long as it was."""
    schema = data.schema
    train, test = (torch.cat([batch.x for batch in items.batches(schema, 300)]).flatten(1) for items in (data.train, data.test))
    mean = train.mean(0)
    _, vectors = torch.linalg.eigh((train - mean) @ (train - mean).T)
    axes = torch.linalg.qr((train - mean).T @ vectors[:, -number:])[0]
    x = (mean + (test - mean) @ axes @ axes.T).unflatten(1, schema.shape)
    assert data.test.lengths is not None
    return schema.to_raw(x.masked_fill(~schema.present(data.test.lengths, x), torch.nan))


def opus(waves: Sequence[Wave]) -> tuple[list[Wave], float]:
    """Each through opusenc and back, and the mean bits of its packets, the headers left out: at 3 kbit/s, below which what comes back is silence."""
    decoded, bits = [], 0
    with tempfile.TemporaryDirectory() as folder:
        wav, ogg, back = (str(Path(folder) / name) for name in ("a.wav", "a.opus", "b.wav"))
        for wave in waves:
            soundfile.write(wav, wave, RATE, subtype="PCM_16")
            subprocess.run(["opusenc", "--quiet", "--speech", "--framesize", "60", "--bitrate", "3", wav, ogg], check=True, capture_output=True)
            subprocess.run(["opusdec", "--quiet", "--rate", str(RATE), ogg, back], check=True, capture_output=True)
            decoded.append(soundfile.read(back, dtype="float32")[0])
            bits += 8 * sum(packets(Path(ogg).read_bytes())[2:])
    return decoded, bits / len(waves)


def packets(stream: bytes) -> list[int]:
    """Bytes of each packet of an Ogg stream (RFC 3533, section 6)."""
    at, sizes, size = 0, [], 0
    while at < len(stream):
        lacing = stream[at + 27 : at + 27 + stream[at + 26]]
        for length in lacing:
            size += length
            if length < 255:
                sizes.append(size)
                size = 0
        at += 27 + len(lacing) + sum(lacing)
    return sizes


@dataclass(frozen=True)
class Trained:
    """A model and what its training took."""

    model: Model
    data: Data
    steps: int
    cpu_minutes: float
    kl: float
    log_px: float


def trained(folder: Path, arguments: argparse.Namespace, *settings: str) -> Trained:
    """The recipe trained on a linked folder, through the call behind `vae train`."""
    began = time.process_time()
    options = Options(seed=arguments.seed, representation="wave" if arguments.recipe == "sound-wave" else "mel")
    run = train_run(
        folder, recipe=arguments.recipe, overrides=[*arguments.set, *settings], options=options, max_minutes=arguments.minutes, seed=arguments.seed, device="cpu", say=print,
    )  # fmt: skip
    figures = run.figures.figures
    return Trained(run.model, run.data, run.history.steps, (time.process_time() - began) / 60, figures["kl"].value, figures["log_px"].value)


def own(items: Items) -> list[Wave]:
    """The waveforms of items as a model of the waveform would be given them, each as long as it is."""
    assert items.lengths is not None
    return [values[0, : int(n)].numpy().astype(np.float32) / 32768 for values, n in zip(items.values, items.lengths, strict=True)]


@dataclass(frozen=True)
class Row:
    """What was found of one kind of sounds; None where it means nothing."""

    sounds: str
    recognised: float
    bits: float | None = None
    si_sdr: float | None = None
    distance: float | None = None

    def __str__(self) -> str:
        figures = ("" if value is None else f"{value:.{digits}f}" for value, digits in ((self.bits, 0), (self.si_sdr, 1), (self.distance, 1)))
        return f"| {self.sounds} | {100 * self.recognised:.1f}% | {' | '.join(figures)} |"


def rows(plain: Trained, told: Trained, classifier: Classifier, real: Sequence[Wave], labels: Tensor, seed: int) -> list[Row]:
    """Every kind of sounds, heard and compared."""
    data, model = plain.data, plain.model
    sounds, digits, lengths, schema = own(data.test), data.test.labels, data.test.lengths, data.schema
    assert digits is not None
    assert lengths is not None
    assert isinstance(schema, AudioSchema)

    def row(what: str, waves: Sequence[Wave], bits: float | None) -> Row:
        return Row(what, share(classifier, waves, digits), bits, *apart(sounds, waves))

    size = model.vae.latents.code_size
    given = torch.arange(10).repeat_interleave(EACH)
    drawn = [
        wave for digit in range(10)
        for wave in told.model.raw(told.model.sample(EACH, seed=10 * seed + digit, given={"label": str(digit)}))
    ]  # fmt: skip
    coded, bits = opus(sounds)
    x = torch.cat([batch.x for batch in data.test.batches(schema, 300)])
    x = x.masked_fill(~schema.present(lengths, x), torch.nan)
    return [
        Row("real recordings, held out, from the files", share(classifier, real, labels)),
        row("the same, as the models see them and back", schema.to_raw(x), None),
        row(f"reconstructions, {size} numbers", model.raw(model.reconstruct(data.test)), plain.kl / math.log(2)),
        row(f"{size} principal components, lengths told", principal(data, size), None),
        row("Opus, asked for 3 kbit/s", coded, bits),
        Row(f"samples given the digit, {EACH} of each", share(classifier, drawn, given)),
    ]


def share(classifier: Classifier, waves: Sequence[Wave], labels: Tensor) -> float:
    """Of the sounds that are recognised."""
    return float((classifier.hear(waves) == labels).double().mean())


def pace(trained: Trained) -> float:
    """Seconds of test sound that a second of one thread's time encodes and decodes, to waveforms."""
    model, items = trained.model, trained.data.test
    assert items.lengths is not None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model.raw(model.reconstruct(items[:8]))
    began = time.process_time()
    model.raw(model.reconstruct(items))
    spent = time.process_time() - began
    torch.set_num_threads(threads)
    return float(items.lengths.sum()) / RATE / spent


def page(result: dict[str, Any]) -> str:
    """The section as Markdown."""
    plain, told = result["cpu_minutes"]
    settings = f", --set {' '.join(result['set'])}" if result["set"] else ""
    lines = [
        f"Recipe `{result['recipe']}`{settings}, seed {result['seed']}, {result['date']}, {result['hardware']}; {result['items'][0]} training and {result['items'][1]} test sounds;",
        f"{result['minutes']:g} minutes of training each, without labels for reconstructions ({result['steps'][0]} steps, {plain:.1f} CPU minutes, evaluation included) and with",
        f"them for samples ({result['steps'][1]} steps, {told:.1f} CPU minutes). Encoding and decoding, phases included, at {result['times_real_time']:.0f} times real time on one thread.",
        f"log p(x) {result['log_px']:.1f} nats a sound, KL {result['kl']:.1f}: of the spectrogram or waveform that the model sees, comparable only with models of the same.",
        "",
        "| sounds | recognised | bits each | SI-SDR, dB | log-spectral distance, dB |",
        "|---|---|---|---|---|",
        *(str(Row(**row)) for row in result["rows"]),
        "",
        "Bits of a reconstruction are its KL, what bits-back coding would take; the components are numbers of full precision; Opus has no lower rate that is more than silence.",
        "A spectrogram's phases are found anew, which makes an SI-SDR far below zero, for it compares waveforms.",
        "",
        f"    {result['command']}",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of LABEL_SPEAKER_TAKE.wav")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, for each of two models")
    parser.add_argument("--recipe", default="sound-mel")
    parser.add_argument("--set", action="append", default=[], help="override a knob of the recipe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/sounds"))
    arguments = parser.parse_args()
    if not shutil.which("opusenc") or not shutil.which("opusdec"):
        raise SystemExit("opusenc and opusdec are missing: apt-get install opus-tools")
    with tempfile.TemporaryDirectory() as temporary:
        folder = linked(arguments.data, Path(temporary) / "digits")
        (waves, labels), (real, digits) = recordings(folder / "train"), recordings(folder / "test")
        classifier = Classifier(waves, labels, seed=arguments.seed)
        plain, told = trained(folder, arguments), trained(folder, arguments, "context=label")
    found = rows(plain, told, classifier, real, digits, arguments.seed)
    result = {
        "recipe": arguments.recipe,
        "set": arguments.set,
        "seed": arguments.seed,
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{hardware(torch.device('cpu'))}, torch {torch.__version__}",
        "minutes": arguments.minutes,
        "items": [len(waves), len(real)],
        "steps": [plain.steps, told.steps],
        "cpu_minutes": [plain.cpu_minutes, told.cpu_minutes],
        "kl": plain.kl,
        "log_px": plain.log_px,
        "times_real_time": pace(plain),
        "rows": [asdict(row) for row in found],
        "command": f"python benchmarks/sounds.py --data DIR --minutes {arguments.minutes:g} --recipe {arguments.recipe}"
        + "".join(f" --set {text}" for text in arguments.set),
    }
    (arguments.out / arguments.recipe).mkdir(parents=True, exist_ok=True)
    replace_file(arguments.out / arguments.recipe / "result.json", json.dumps(result, indent=2).encode())
    print(page(result))
    write_section(page(result), BEGIN, END)


if __name__ == "__main__":
    main()
