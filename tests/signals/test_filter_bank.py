import math

import numpy as np
import pytest
import torch
from torch import Tensor

from vaeworks.signals import FilterBank, mdct, pqmf

BANKS = [*((pqmf, bands) for bands in (2, 3, 5, 8, 16, 32)), *((mdct, bands) for bands in (1, 2, 5, 64))]
banks = pytest.mark.parametrize(("make", "bands"), BANKS, ids=str)


def loss(x: Tensor, y: Tensor) -> float:
    """Energy of the difference beside that of x, in dB."""
    return float(10 * torch.log10((x - y).square().sum() / x.square().sum()))


def there_and_back(bank: FilterBank, x: Tensor) -> Tensor:
    return bank.synthesis(bank.analysis(bank.padded(x)))[..., bank.delay : bank.delay + x.shape[-1]]


@banks
def test_reconstruction_of_noise(make, bands: int) -> None:
    bank, x = make(bands), torch.randn(2, 1, 1000)
    assert loss(x, there_and_back(bank, x)) < (-85 if make is pqmf else -250)
    assert loss(x.float(), there_and_back(bank.float(), x.float())) < -85


@banks
def test_energy_is_kept_and_synthesis_is_the_adjoint(make, bands: int) -> None:
    bank, x = make(bands), torch.randn(2, 1, 1000)
    y = bank.analysis(bank.padded(x))
    torch.testing.assert_close(y.square().sum(), x.square().sum(), rtol=1e-4 if make is pqmf else 1e-12, atol=0)
    z = torch.randn_like(y)
    late = bank.synthesis(z)[..., bank.delay :]
    x = bank.padded(x)
    torch.testing.assert_close((bank.analysis(x) * z).sum(), (x[..., : late.shape[-1]] * late).sum())


@banks
@pytest.mark.parametrize("sizes", [(1, 1, 7, 30), (39,), (20, 19)])
def test_a_stream_is_the_whole(make, bands: int, sizes: tuple[int, ...]) -> None:
    bank, x = make(bands), torch.randn(2, 1, 39 * bands)
    whole = bank.analysis(x)
    pieces, sounds, before, after = [], [], None, None
    for block in x.split([size * bands for size in sizes], -1):
        y, before = bank.analyse_block(block, before)
        sound, after = bank.synthesise_block(y, after)
        pieces.append(y)
        sounds.append(sound)
    torch.testing.assert_close(torch.cat(pieces, -1), whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.cat(sounds, -1), bank.synthesis(whole), atol=1e-12, rtol=0)
    if x.shape[-1] > bank.delay:
        assert loss(x[..., : -bank.delay], torch.cat(sounds, -1)[..., bank.delay :]) < -80


@pytest.mark.parametrize("bands", [4, 16])
def test_a_tone_is_heard_in_its_band(bands: int) -> None:
    time = torch.arange(200.0 * bands)
    for band in range(bands):
        tone = torch.sin(math.pi * (band + 0.5) / bands * time)[None, None]
        energy = pqmf(bands).analysis(tone)[0, :, 40:].square().sum(1)
        assert energy[band] / energy.sum() > 1 - 1e-6


def test_mdct_as_it_is_written() -> None:
    """Princen, Johnson & Bradley's sum, term by term; the first frame is half silence."""
    bands, x = 3, torch.randn(1, 1, 9)
    padded = np.concatenate([np.zeros(bands), x[0, 0].numpy()])
    expected = np.zeros((bands, 3))
    for frame in range(3):
        for k in range(bands):
            for n in range(2 * bands):
                window = math.sin(math.pi * (n + 0.5) / (2 * bands))
                angle = math.pi / bands * (n + 0.5 + bands / 2) * (k + 0.5)
                expected[k, frame] += math.sqrt(2 / bands) * window * padded[frame * bands + n] * math.cos(angle)
    np.testing.assert_allclose(mdct(bands).analysis(x)[0].numpy(), expected, atol=1e-12)


def test_a_density_of_mdct_coefficients_is_one_of_the_waveform() -> None:
    """The transform of a padded sound is an isometry: its columns are orthonormal."""
    bank = mdct(4)
    columns = torch.stack([bank.analysis(bank.padded(row[None, None])).flatten() for row in torch.eye(12)])
    torch.testing.assert_close(columns @ columns.T, torch.eye(12), atol=1e-12, rtol=0)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"whole frames.*1001 samples.*padded"):
        pqmf(4).analysis(torch.zeros(1, 1, 1001))
    with pytest.raises(ValueError, match="1 bands"):
        pqmf(1)
