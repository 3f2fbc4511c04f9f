import math

import numpy as np
import pytest
import torch
from torch import Tensor

from vaeworks.signals import STFT, LogMel, griffin_lim, log_spectral_distance, mel_filters, si_sdr, stft_distance


def chirp(length: int = 4000, rate: int = 8000) -> Tensor:
    """From 200 Hz to 1800 Hz and back in loudness, (1, 1, T)."""
    time = torch.arange(float(length)) / rate
    return (0.5 * torch.sin(2 * math.pi * (200 + 1600 * time) * time) * torch.sin(math.pi * time * rate / length))[None, None]


def transform_by_hand(x: np.ndarray, window: int, hop: int) -> np.ndarray:
    """One sound (T,), by sums: (bins, frames)."""
    frames, before = math.ceil(len(x) / hop), (window - hop) // 2
    result = np.zeros((window // 2 + 1, frames), dtype=complex)
    for frame in range(frames):
        for n in range(window):
            place = frame * hop - before + n
            if 0 <= place < len(x):
                bell = 0.5 - 0.5 * math.cos(2 * math.pi * n / window)
                result[:, frame] += bell * x[place] * np.exp(-2j * math.pi * n / window * np.arange(window // 2 + 1))
    return result


@pytest.mark.parametrize(("length", "window", "hop"), [(50, 16, 4), (49, 16, 8), (7, 16, 3), (64, 8, 2)])
def test_transform_by_hand_and_back(length: int, window: int, hop: int) -> None:
    stft, x = STFT(window, hop), torch.randn(2, 3, length)
    y = stft(x)
    np.testing.assert_allclose(y[1, 2].numpy(), transform_by_hand(x[1, 2].numpy(), window, hop), atol=1e-12)
    if window > 2 * hop or length % hop == 0:
        torch.testing.assert_close(stft.inverse(y, length), x, atol=1e-9, rtol=0)


def test_mel_filters_by_hand() -> None:
    """The HTK Book's mel scale: equal steps in mel, triangles that meet at half height in between."""
    rate, bins, mels = 8000, 129, 20
    filters = mel_filters(rate, bins, mels).numpy()
    corner = [700 * (math.exp(i / (mels + 1) * 1127.01048 * math.log(1 + 4000 / 700) / 1127.01048) - 1) for i in range(mels + 2)]
    for band in range(mels):
        expected = [np.interp(rate / 2 * k / (bins - 1), corner[band : band + 3], [0, 1, 0], left=0, right=0) for k in range(bins)]
        np.testing.assert_allclose(filters[band], expected, atol=1e-9)


def test_log_mel_of_a_tone_is_its_amplitude() -> None:
    time = torch.arange(2048.0)
    tone = 0.5 * torch.sin(2 * math.pi * 1000 / 8000 * time)[None, None]
    mel = LogMel(mels=20)
    spectrum = mel(tone)
    assert spectrum.shape == (1, 1, 20, 32)
    expected = torch.log(
        mel_filters(8000, 129, 20) @ torch.from_numpy(np.abs(transform_by_hand(tone[0, 0, :512].numpy(), 256, 64)[:, 4])) / 64 + 1e-4
    )
    torch.testing.assert_close(spectrum[0, 0, :, 4], expected)
    assert 0.5 < spectrum.amax().exp() < 1  # a full-scale tone is between 0 and 0.7 nepers
    torch.testing.assert_close(mel(torch.zeros(1, 1, 100)), torch.full((1, 1, 20, 2), math.log(1e-4)))


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_griffin_lim_finds_phases(momentum: float) -> None:
    """The magnitudes of what it gives come nearer to those asked for, and the fast form nearer than the plain."""
    stft, x = STFT(256, 64), chirp()
    magnitude = stft(x).abs()

    def fault(iterations: int, momentum: float) -> float:
        sound = griffin_lim(magnitude, stft, x.shape[-1], iterations=iterations, momentum=momentum)
        assert sound.shape == x.shape
        return float((stft(sound).abs() - magnitude).norm() / magnitude.norm())

    assert fault(30, momentum) < 0.5 * fault(0, momentum)
    assert fault(30, 0.99) < fault(30, 0.0)


def test_a_sound_comes_back_from_its_log_mel() -> None:
    mel, x = LogMel(), chirp()
    back = mel.inverse(mel(x), x.shape[-1])
    loud = mel(x) > -5
    assert (mel(back) - mel(x))[loud].abs().mean() < 0.25  # nepers
    torch.testing.assert_close(mel.inverse(mel(x), x.shape[-1]), back, atol=0, rtol=0)
    batch = torch.cat([x, 0.3 * x.flip(-1)])
    torch.testing.assert_close(mel.inverse(mel(batch), x.shape[-1])[:1], back)


def test_silence_stays_silent() -> None:
    mel, x = LogMel(), torch.zeros(1, 1, 1000)
    back = mel.inverse(mel(x), 1000)
    assert back.isfinite().all()
    assert back.abs().max() < 1e-4


def test_stft_distance_by_hand() -> None:
    x, y = chirp(300)[0, 0].numpy(), 0.3 * np.random.default_rng(0).standard_normal(300)
    expected = 0.0
    for window in (16, 64):
        a, b = (np.abs(transform_by_hand(sound, window, window // 4)) * 4 / window for sound in (x, y))
        expected += np.linalg.norm(a - b) / np.linalg.norm(a) + np.mean(np.abs(np.log(np.maximum(a, 1e-4) / np.maximum(b, 1e-4))))
    measured = stft_distance(torch.from_numpy(x)[None, None], torch.from_numpy(y)[None, None], (16, 64))
    assert measured.shape == (1,)
    assert measured.item() == pytest.approx(expected / 2, rel=1e-3)


def test_stft_distance_is_nothing_between_equals_and_its_slope_is_finite() -> None:
    x = torch.cat([chirp(2000), torch.zeros(1, 1, 2000)])
    assert (stft_distance(x, x) == 0).all()
    for other in (x, torch.zeros_like(x), torch.randn_like(x)):
        y = other.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(stft_distance(x, y).sum(), y)
        assert gradient.isfinite().all()
    y = torch.randn(2, 1, 40, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: stft_distance(torch.randn(2, 1, 40, generator=torch.Generator().manual_seed(1)), y, (8, 16)), y)


def test_distortion_in_decibels() -> None:
    x, noise = torch.randn(3, 1000), torch.randn(3, 1000)
    noise -= (noise * x).sum(-1, keepdim=True) / x.square().sum(-1, keepdim=True) * x
    noise *= x.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True)
    for ratio in (-5.0, 0.0, 20.0):
        y = 0.7 * (x + 10 ** (-ratio / 20) * noise)
        torch.testing.assert_close(si_sdr(x, y), torch.full((3,), ratio))
    y = torch.randn(2, 1, 1000)
    torch.testing.assert_close(log_spectral_distance(y, 2 * y), torch.full((2,), 20 * math.log10(2)), atol=1e-6, rtol=0)
    silent = torch.zeros(2, 1, 1000)
    assert (log_spectral_distance(silent, silent) == 0).all()


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"mel bands fall between the 33 frequencies of a window of 64 samples at 8000 Hz"):
        LogMel(window=64, hop=16, mels=40)
    with pytest.raises(ValueError, match="hop of 200"):
        STFT(256, 200)
