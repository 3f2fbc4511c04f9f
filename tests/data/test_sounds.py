"""Sources of sound: folders, labels, lengths, loudness, and what is told of them."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from vaeworks.data import Options, open_data, read_items
from vaeworks.data.levelling import centred, levelled, trimmed
from vaeworks.data.name_labels import by_name
from vaeworks.data.raw import Raw
from vaeworks.data.recordings import hop_of
from vaeworks.errors import DataError
from vaeworks.signals import LogMel

RATE = 8000
ALL = Options(validation=0, test=0)
SOUND = replace(ALL, kind="audio")


def tone(seconds=0.5, rate=RATE, hertz=440.0, peak=0.5):
    return (peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def fill(folder, lengths=(0.3, 0.4, 0.5, 0.6), names=None, rate=RATE, shift=0.0):
    folder.mkdir(parents=True, exist_ok=True)
    for i, seconds in enumerate(lengths):
        name = names[i] if names else f"{i}.wav"
        soundfile.write(folder / name, tone(seconds, rate, 300 + shift + 10 * i), rate)


def told(data, word):
    return next(note for note in data.notes if word in note)


@pytest.mark.parametrize("representation", ["mel", "wave"])
def test_a_folder_opens_without_options(tmp_path, representation) -> None:
    fill(tmp_path / "a" / "deep")
    data = open_data(tmp_path, options=replace(ALL, representation=representation))
    schema = data.schema
    assert schema.kind == "audio"
    assert schema.rate == RATE
    assert data.train.values.dtype == torch.int16
    assert schema.samples == 5120  # 0.6 s, in whole steps of 8 frames of 64 samples
    assert data.train.lengths.tolist() == [2400, 3200, 4000, 4800]
    assert schema.shape == ((1, 40, 80) if representation == "mel" else (1, 5120))
    batch = data.train.batch(schema, slice(None))
    assert batch.x.shape == (4, *schema.shape)
    ends = [38, 50, 63, 75] if representation == "mel" else [2400, 3200, 4000, 4800]
    assert batch.observed.flatten(1, -2).all(1).sum(-1).tolist() == ends
    own = batch.x.double()[batch.observed]
    assert own.mean() == pytest.approx(schema.mean, abs=1e-4)
    assert own.std(correction=0) == pytest.approx(schema.std, abs=1e-4)
    if representation == "mel":
        bands = torch.stack([batch.x[:, 0, m][batch.observed[:, 0, m]].std(correction=0) for m in range(40)])
        assert ((bands - 1).abs() < 1e-3).sum() > 20
        truth = LogMel(RATE)(data.train.values.double().float() / 32768)
        np.testing.assert_allclose(batch.x * torch.tensor(schema.mel_scales)[:, None] + torch.tensor(schema.mel_means)[:, None], truth, atol=1e-4)


def test_rate_length_and_loudness_are_chosen_and_told(tmp_path) -> None:
    fill(tmp_path, (0.3, 0.3, 0.3))
    soundfile.write(tmp_path / "high.wav", np.stack([tone(0.3, 16000), tone(0.3, 16000)], 1), 16000)
    offset = tone(0.3, peak=0.3) + 0.2
    soundfile.write(tmp_path / "offset.wav", offset, RATE)
    data = open_data(tmp_path, options=ALL)
    assert "8000 Hz, that of 4 of 5 (--rate); 1 sound resampled" in told(data, "Rate")
    assert "1 sound of several (high.wav)" in told(data, "Mixed")
    assert "offset.wav" in told(data, "Offset")
    peaks = data.train.values.abs().amax((1, 2)) / 32768
    assert torch.allclose(peaks, torch.full((5,), 10 ** (-1 / 20)), atol=1e-3)
    assert "few: 5 training sounds" in told(data, "few")
    again = open_data(tmp_path, options=replace(ALL, rate=16000, seconds=0.2, loudness="none"))
    assert again.schema.rate == 16000
    assert again.schema.samples == 4096
    assert "5 longer cut" in told(again, "Length")
    assert again.train.values[0].abs().max() / 32768 == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("others", [100, 8])
def test_one_long_sound_does_not_make_all_long_and_is_named(others: int, tmp_path) -> None:
    fill(tmp_path, (0.2,) * others + (30.0,))
    data = open_data(tmp_path, options=ALL)
    assert data.schema.samples == 2048
    assert f"1 longer cut (--seconds: {others}.wav)" in told(data, "Length")


def test_strict_keeps_a_sound_whole_or_refuses_to_cut_it(tmp_path) -> None:
    fill(tmp_path, (0.2,) * 8 + (1.0,))
    data = open_data(tmp_path, options=replace(ALL, strict=True))
    assert data.schema.samples >= RATE
    assert "no longer cut" in told(data, "Length")
    with pytest.raises(DataError, match=r"1 sound longer \(8\.wav\) than the 0\.512 s that are kept.*--seconds.*--strict"):
        open_data(tmp_path, options=replace(ALL, strict=True, seconds=0.5))
    with pytest.raises(DataError, match=r"than the 0\.256 s that are kept of a sound: leave out --strict"):
        read_items(tmp_path, open_data(tmp_path, options=ALL).schema, options=replace(ALL, strict=True))


def test_folders_are_labels_and_a_split(tmp_path) -> None:
    for part, shift in (("train", 0), ("test", 500)):
        for label, more in (("kick", 0), ("snare", 100)):
            fill(tmp_path / part / label, (0.2, 0.3), shift=shift + more)
    data = open_data(tmp_path, options=ALL)
    assert data.schema.classes == ("kick", "snare")
    assert (len(data.train), len(data.test)) == (4, 4)
    assert data.test.labels.tolist() == [0, 0, 1, 1]


def test_names_are_labels(tmp_path) -> None:
    names = [f"{digit}_{who}_{take}.wav" for digit in ("seven", "two") for who in ("ann", "bob") for take in range(2)]
    fill(tmp_path / "train", (0.2,) * 8, names)
    fill(tmp_path / "test", (0.2,) * 8, names, shift=500)
    data = open_data(tmp_path, options=ALL)
    assert data.schema.classes == ("seven", "two")
    assert data.train.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert "{label}_..." in told(data, "Labels")
    speakers = open_data(tmp_path, options=replace(ALL, labels_from="{digit}_{label}_{take}"))
    assert speakers.schema.classes == ("ann", "bob")
    assert open_data(tmp_path, options=replace(ALL, labels_from="none")).schema.classes == ()
    one = read_items(tmp_path / "test" / "two_bob_1.wav", data.schema)
    assert one.labels.tolist() == [1]
    for pattern, says in {
        "{who}": "0 places named {label}",
        "{label": "is no pattern",
        "x{label}": "fits none of the 16 names, such as test/",
    }.items():
        with pytest.raises(DataError, match=says):
            open_data(tmp_path, options=replace(ALL, labels_from=pattern))


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["a_1", "a_2", "b_1"], ()),  # a class met once
        (["a_1", "a_2", "a_3", "a_4"], ()),  # one class
        ([f"{i}_x" for i in range(300)], ()),  # numbers, not classes
        (["a_1", "a_2", "a_3", "b_1", "b_2", "b_3", "c"], ()),  # one in seven does not fit
        (["a_1", "a_2", "a_3", "b_1", "b_2", "b_3"], ("a", "b")),
    ],
)
def test_when_names_are_labels(names, classes) -> None:
    raw = Raw(np.zeros((len(names), 1, 4), np.int16), 0, "x", names=tuple(f"{name}.wav" for name in names))
    assert by_name(raw, None).classes == classes


def test_bad_files_are_named_and_strict_refuses_them(tmp_path) -> None:
    fill(tmp_path, (0.3,) * 5)
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "hush.wav", np.zeros(4000), RATE)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "0.wav").read_bytes()[:2044])
    (tmp_path / "notes.md").write_text("about these")
    data = open_data(tmp_path, options=SOUND)
    assert len(data.train) == 6
    assert "hush.wav (it is silent)" in told(data, "Skipped 2 sounds")
    assert "text.wav (it is damaged" in told(data, "Skipped 2 sounds")
    assert "cut.wav" in told(data, "Shorter than")
    assert "1 .md" in told(data, "Ignored")
    with pytest.raises(DataError, match=r"cut\.wav \(it ends before its header says\).*text\.wav"):
        open_data(tmp_path, options=replace(SOUND, strict=True))


def test_a_source_without_sounds_says_so(tmp_path) -> None:
    for source, says in {"absent.wav": "neither a built-in", "empty": "holds no sounds .*found nothing", "a.xyz": "is no sound"}.items():
        (tmp_path / "empty").mkdir(exist_ok=True)
        (tmp_path / "a.xyz").write_text("x")
        with pytest.raises(DataError, match=says):
            open_data(tmp_path / source, options=SOUND)
    (tmp_path / "bad.wav").write_text("x")
    with pytest.raises(DataError, match=r"none of 1 sound can be read: bad\.wav"):
        open_data(tmp_path / "bad.wav", options=SOUND)
    with pytest.raises(DataError, match="its rate is unknown"):
        open_data(np.zeros((4, 1000), np.float32), options=SOUND)


@pytest.mark.parametrize("knobs", [{"rate": 10}, {"seconds": 0}, {"seconds": 1e9}, {"trim": -1}, {"loudness": "loud"}, {"representation": "fft"}])
def test_options_are_checked(knobs) -> None:
    with pytest.raises(DataError, match=next(iter(knobs))):
        Options(**knobs)


def test_arrays_are_sounds(tmp_path) -> None:
    waves = [tone(0.3), tone(0.4, hertz=900), (32767 * tone(0.5)).astype(np.int16)]
    data = open_data(waves, options=replace(SOUND, rate=RATE, trim=0))
    assert data.train.lengths.tolist() == [2400, 3200, 4000]
    assert len(read_items(np.stack([tone(), tone()]), data.schema)) == 2
    assert len(read_items(tone(), data.schema)) == 1
    assert len(read_items(torch.from_numpy(tone())[None, None], data.schema)) == 1
    with pytest.raises(DataError, match="one channel"):
        read_items(np.zeros((2, 3, 1000), np.float32), data.schema)


def test_a_model_reads_what_it_learned(tmp_path) -> None:
    fill(tmp_path / "a", (0.3, 0.4, 0.5, 0.6))
    data = open_data(tmp_path / "a", options=ALL)
    again = read_items(tmp_path / "a", data.schema)
    assert torch.equal(again.values, data.train.values)
    assert torch.equal(again.lengths, data.train.lengths)
    fill(tmp_path / "b", (3.0,), rate=44100)
    other = read_items(tmp_path / "b", data.schema)
    assert other.values.shape == (1, 1, data.schema.samples)
    with pytest.raises(DataError, match="the model learned with rate=8000"):
        read_items(tmp_path / "a", data.schema, options=Options(rate=16000))


def test_copies_stay_together_whatever_is_made_of_them(tmp_path) -> None:
    fill(tmp_path, tuple(0.2 + 0.01 * i for i in range(20)))
    for i in range(20):
        (tmp_path / f"copy{i}.wav").write_bytes((tmp_path / f"{i}.wav").read_bytes())
    data = open_data(tmp_path)
    names = {name.removeprefix("copy") for name in data.train.names}
    assert not names & {name.removeprefix("copy") for name in (*data.validation.names, *data.test.names)}
    other = open_data(tmp_path, options=Options(rate=16000, seconds=0.5, loudness="rms", trim=0))
    assert sorted(other.test.names) == sorted(data.test.names)


def test_trimming_and_loudness() -> None:
    wave = np.concatenate([np.zeros(4000, np.float32), tone(), 1e-5 * tone()])
    inner = trimmed(wave, RATE, 60)
    assert len(inner) == 4000
    assert np.abs(inner - tone()).max() == 0
    assert trimmed(wave, RATE, 0) is wave
    quiet = 1e-3 * tone()
    assert np.abs(levelled(quiet, "peak")).max() / 32768 == pytest.approx(0.5e-3 * 10**1.5, rel=0.05)
    loud = levelled(tone(peak=0.9), "rms") / 32768
    assert np.sqrt(np.square(loud).mean()) == pytest.approx(0.1, rel=1e-3)
    assert levelled(3 * tone(), "none").max() == 32767
    shifted, moved = centred(tone() + 0.3)
    assert moved
    assert abs(shifted.mean()) < 1e-6
    assert not centred(tone())[1]


def test_every_rate_has_bands() -> None:
    for rate in (1000, 4000, 8000, 11025, 11999, 12000, 16000, 19999, 20000, 22050, 24000, 32000, 44100, 48000, 96000, 192_000):
        LogMel(rate, window=4 * hop_of(rate), hop=hop_of(rate), mels=40 if rate < 12_000 else 64 if rate < 20_000 else 80)
