"""One sound in a file: every format, in blocks, and what is no sound."""

import tracemalloc

import numpy as np
import pytest
import soundfile

from vaeworks.data.sound_files import look, read_sound, write_sound
from vaeworks.errors import ArtifactError, DataError

RATE = 8000


def tone(seconds=0.5, rate=RATE, hertz=440.0, peak=0.5):
    return (peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize(("suffix", "floor"), [("wav", 1e-4), ("flac", 1e-4), ("aiff", 1e-4), ("ogg", 0.05), ("mp3", 0.05)])
def test_every_format(tmp_path, suffix, floor) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(rate=16000), 16000)
    header = look(path)
    assert (header.rate, header.channels, header.truncated) == (16000, 1, False)
    wave = read_sound(path, 16000, 1 << 20).wave
    assert abs(len(wave) - 8000) <= 2400  # MP3 pads
    start = 0 if suffix != "mp3" else int(np.argmax(np.correlate(wave[:4000], tone(rate=16000)[:2000], "valid")))
    assert np.abs(wave[start + 2000 : start + 6000] - tone(rate=16000)[2000:6000]).max() < floor


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 11025])
def test_resampling_keeps_a_tone_whatever_the_blocks(tmp_path, rate) -> None:
    soundfile.write(tmp_path / "a.wav", tone(10, rate), rate, subtype="FLOAT")
    wave = read_sound(tmp_path / "a.wav", 16000, 1 << 20).wave
    assert abs(len(wave) - 160_000) <= 1
    truth = tone(10, 16000)
    assert np.abs(wave[1000:150_000] - truth[1000:150_000]).max() < 1e-3


def test_channels_are_mixed_and_only_what_is_wanted_is_read(tmp_path) -> None:
    stereo = np.stack([tone(2), tone(2, hertz=1000)], 1)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, subtype="FLOAT")
    sound = read_sound(tmp_path / "a.wav", RATE, 1000)
    assert sound.more
    np.testing.assert_allclose(sound.wave, stereo.mean(1)[:1000], atol=1e-6)
    assert not read_sound(tmp_path / "a.wav", RATE, 16000).more


def test_a_long_file_takes_no_more_memory_than_what_is_kept(tmp_path) -> None:
    with soundfile.SoundFile(tmp_path / "long.wav", "w", 16000, 1) as file:
        for _ in range(40):
            file.write(np.zeros(16000 * 10, np.int16))  # 400 s of silence
        file.write(tone(60, 16000))
    tracemalloc.start()
    sound = read_sound(tmp_path / "long.wav", 16000, 32000, skip=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 << 20
    assert sound.more
    assert np.abs(sound.wave).max() == pytest.approx(0.5, abs=1e-3)


def test_clipping_is_heard(tmp_path) -> None:
    soundfile.write(tmp_path / "a.wav", np.clip(tone(peak=1.5), -1, 1), RATE)
    soundfile.write(tmp_path / "b.wav", tone(peak=0.9), RATE)
    assert read_sound(tmp_path / "a.wav", RATE, 4000).clipped
    assert not read_sound(tmp_path / "b.wav", RATE, 4000).clipped


def bad_files(folder):
    soundfile.write(folder / "good.wav", tone(), RATE)
    whole = (folder / "good.wav").read_bytes()
    nan = tone()
    nan[100] = np.nan
    soundfile.write(folder / "nan.wav", nan, RATE, subtype="FLOAT")
    soundfile.write(folder / "silent.wav", np.zeros(4000), RATE)
    soundfile.write(folder / "none.wav", np.zeros(0), RATE)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "header.wav").write_bytes(whole[:30])
    (folder / "text.wav").write_text("no sound at all\n" * 100)
    (folder / "zeros.flac").write_bytes(bytes(10_000))
    (folder / "noise.mp3").write_bytes(np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nan.wav", "no numbers"),
        ("silent.wav", "silent"),
        ("none.wav", "holds no sound"),
        ("empty.wav", "is empty"),
        ("header.wav", "damaged, or no sound: Error in WAV file. No 'data' chunk marker"),
        ("text.wav", "damaged, or no sound: Format not recognised"),
        ("zeros.flac", "damaged, or no sound"),
        ("noise.mp3", "damaged, or no sound"),
    ],
)
def test_what_is_no_sound_is_told(tmp_path, name, says) -> None:
    bad_files(tmp_path)
    with pytest.raises(ValueError, match=says):  # noqa: PT012 (a header may be right where the sound is not)
        look(tmp_path / name)
        read_sound(tmp_path / name, RATE, 4000, skip=True)


def test_a_truncated_file_gives_what_it_has(tmp_path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:2044])
    assert look(tmp_path / "b.wav").truncated
    assert len(read_sound(tmp_path / "b.wav", RATE, 4000).wave) == 1000


@pytest.mark.parametrize(("suffix", "floor"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.1)])
def test_what_is_written_is_read_again(tmp_path, suffix, floor) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")
    write_sound(path, 3 * tone(), RATE)
    wave = read_sound(path, RATE, 1 << 20).wave
    assert np.abs(wave - np.clip(3 * tone(), -1, 1)).max() < (floor if suffix != "ogg" else 0.3)
    assert look(path).rate == RATE
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_written_says_so(tmp_path) -> None:
    with pytest.raises(DataError, match=r"\(\.xyz\): give one of \.wav, \.flac, \.ogg"):
        write_sound(tmp_path / "a.xyz", tone(), RATE)
    with pytest.raises(ArtifactError, match="cannot write"):
        write_sound(tmp_path / "absent" / "a.wav", tone(), RATE)
