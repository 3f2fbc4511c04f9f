"""Distributions on a grid, against high-precision arithmetic."""

import mpmath
import pytest
import torch

from vaeworks.distributions import DiscretisedLogistic, DiscretisedLogisticMixture, GridCategorical
from vaeworks.distributions.grid import discretised_logistic_log_prob


def exact_log_mass(x: float, loc: float, log_scale: float, levels: int) -> float:
    """log of the difference of two distribution functions, with 800 digits to lose."""
    level = round(x * (levels - 1))
    with mpmath.workdps(800):
        half = mpmath.mpf(1) / (2 * (levels - 1))
        scale = mpmath.exp(mpmath.mpf(log_scale))

        def below(edge: mpmath.mpf) -> mpmath.mpf:
            return 1 / (1 + mpmath.exp(-(edge - mpmath.mpf(loc)) / scale))

        upper = below(mpmath.mpf(x) + half) if level < levels - 1 else mpmath.mpf(1)
        lower = below(mpmath.mpf(x) - half) if level > 0 else mpmath.mpf(0)
        return float(mpmath.log(upper - lower))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [2, 16, 256])
@pytest.mark.parametrize("log_scale", [-5.0, -2.5, 0.0, 5.0])
@pytest.mark.parametrize("loc", [-3.0, 0.0, 0.4990234375, 1.0, 5.0])
def test_discretised_logistic_far_into_the_tails(dtype: torch.dtype, levels: int, log_scale: float, loc: float) -> None:
    for level in sorted({0, 1, levels // 3, levels - 2, levels - 1}):
        x = torch.tensor(level / (levels - 1), dtype=dtype)
        measured = discretised_logistic_log_prob(x, torch.tensor(loc, dtype=dtype), torch.tensor(log_scale, dtype=dtype), levels)
        expected = exact_log_mass(float(x), loc, log_scale, levels)
        assert measured.item() == pytest.approx(expected, rel=2e-5 if dtype == torch.float32 else 1e-11)


def test_discretised_logistic_sharper_than_a_level() -> None:
    """Scale 1e-4 and a location on a level: all mass in one bin, and every other bin's log mass still finite."""
    x = torch.linspace(0, 1, 256)
    log_p = discretised_logistic_log_prob(x, x[100], torch.tensor(-9.2), 256)
    assert log_p[100].exp() == pytest.approx(1, abs=1e-5)
    assert log_p.isfinite().all()
    assert log_p.argmax() == 100


def test_discretised_logistic_samples_reach_both_ends_only_through_their_mass() -> None:
    torch.manual_seed(0)
    p = DiscretisedLogistic(torch.tensor([0.0, 1.0]), torch.tensor([-1.0, -1.0]), 4)
    frequency = (p.sample((20000,)) == torch.tensor([0.0, 1.0])).double().mean(0)
    torch.testing.assert_close(frequency, p.log_prob(torch.tensor([0.0, 1.0])).exp().double(), atol=0.015, rtol=0)


def test_mixture_of_one_component_is_the_component() -> None:
    torch.manual_seed(0)
    loc, log_scale = torch.rand(1, 3, 2, 2), torch.randn(1, 3, 2, 2) - 2
    mixture = DiscretisedLogisticMixture(torch.randn(1, 2, 2), loc, log_scale, 16)
    single = DiscretisedLogistic(loc[0], log_scale[0], 16)
    x = single.sample()
    torch.testing.assert_close(mixture.log_prob(x), single.log_prob(x).sum())
    torch.testing.assert_close(mixture.mean, single.mean)
    torch.testing.assert_close(mixture.mode, single.mode)


def test_mixture_channels_share_their_component() -> None:
    """Two sharp components, dark and bright: channels agree in every sample, which independent channels would not."""
    torch.manual_seed(0)
    loc = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 3, 1, 1)
    mixture = DiscretisedLogisticMixture(torch.zeros(2, 1, 1), loc, torch.full_like(loc, -8), 256)
    samples = mixture.sample((500,)).flatten(1).round()
    assert (samples == samples[:, :1]).all()
    assert 0.4 < samples[:, 0].mean() < 0.6
    assert mixture.log_prob(torch.zeros(3, 1, 1)).item() == pytest.approx(torch.tensor(0.5).log().item(), abs=0.05)


def test_categorical_reads_levels_from_grid_values() -> None:
    logits = torch.randn(3, 5)
    p = GridCategorical(logits)
    for level in range(5):
        torch.testing.assert_close(p.log_prob(torch.full((3,), level / 4)), logits.log_softmax(-1)[:, level])
    torch.testing.assert_close(p.mode, logits.argmax(-1) / 4)
