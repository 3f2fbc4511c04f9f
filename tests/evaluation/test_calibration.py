"""Simulation-based calibration: uniform ranks for exact posteriors of every kind of latents, and the known distribution of ranks for a wrong one."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from vaeworks.check.calibration import rank_variance
from vaeworks.check.linear_gaussian import LinearGaussian, linear_vae
from vaeworks.evaluation import calibration
from vaeworks.latents import FlatLatents, TwoLevelLatents
from vaeworks.latents.base import Parts
from vaeworks.likelihoods import GaussianLikelihood
from vaeworks.model import VAE, Decoder, Encoder
from vaeworks.networks import MLP
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import Prior, StandardNormalPrior
from vaeworks.trace import Batch, Latent

pytestmark = pytest.mark.usefixtures("exact")


def rank_distribution(inflate: float, shift: float, draws: int) -> np.ndarray:
    """P(rank = r), r = 0 .. draws, where q = N(mean + shift s, (inflate s)^2) and the exact posterior is N(mean, s^2): quadrature over the standardised code."""
    t, weight = np.polynomial.legendre.leggauss(400)
    t, weight = 9 * t, 9 * weight
    below = scipy.stats.norm.cdf((t - shift) / inflate)
    mass = scipy.stats.binom.pmf(np.arange(draws + 1)[:, None], draws, below) @ (weight * scipy.stats.norm.pdf(t))
    return np.asarray(mass / mass.sum())


def test_exact_posteriors_have_uniform_ranks() -> None:
    found = calibration(LinearGaussian.random(5, 3).vae(), 2000, draws=39, bins=20)
    assert found.ranks.shape == (2000, 3)
    assert found.counts.shape == (20, 3)
    assert (found.counts.sum(0) == 2000).all()
    assert (int(found.ranks.min()), int(found.ranks.max())) == (0, 39)
    assert found.p_value > 1e-3


@pytest.mark.parametrize(("inflate", "shift"), [(0.6, 0.0), (1.6, 0.0), (1.0, 0.4)], ids=["narrow", "wide", "off centre"])
def test_a_wrong_posterior_has_the_ranks_that_quadrature_says(inflate: float, shift: float) -> None:
    draws = 9
    found = calibration(LinearGaussian.random(5, 2).vae(inflate=inflate, shift=shift), 4000, draws=draws, bins=10)
    counts = torch.bincount(found.ranks.flatten(), minlength=draws + 1).numpy()
    expected = rank_distribution(inflate, shift, draws) * counts.sum()
    assert scipy.stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3
    assert found.p_value < 1e-6
    assert (found.ecdf < 1e-6).all() or not shift


@pytest.mark.parametrize("inflate", [0.5, 1.0, 2.0])
def test_the_closed_form_of_the_variance_is_that_of_the_distribution(inflate: float) -> None:
    mass, ranks = rank_distribution(inflate, 0.0, 30), np.arange(31)
    assert rank_variance(inflate, 30) == pytest.approx(mass @ (ranks - 15) ** 2, rel=1e-8)
    assert rank_variance(1.0, 30) == pytest.approx(30 * 32 / 12)


def test_p_values_are_scipys() -> None:
    found = calibration(LinearGaussian.random(5, 2).vae(inflate=0.95), 400, draws=19, bins=10)
    expected = [scipy.stats.chisquare(column).pvalue for column in found.counts.T.numpy()]
    np.testing.assert_allclose(found.chi_squared.numpy(), expected, rtol=1e-9)
    assert found.p_value == pytest.approx(min(1, 4 * float(torch.cat([found.chi_squared, found.ecdf]).min())))


def test_resampling_mends_a_wide_proposal_and_not_one_that_is_elsewhere() -> None:
    model = LinearGaussian.random(5, 2)
    assert calibration(model.vae(inflate=1.6, shift=0.3), 1000, draws=49, bins=10, proposals=1000).p_value > 1e-3
    assert calibration(model.vae(inflate=0.3, shift=4.0), 1000, draws=49, bins=10, proposals=1000).p_value < 1e-6


class Dice(FlatLatents):
    """Codes of a few values each, drawn from the prior whatever the item."""

    def infer(self, parts: Parts, batch: Batch, k: int) -> tuple[Latent, ...]:
        p = parts.prior()
        return (Latent(p.sample((k, len(batch))).round(), p, p),)

    def generate(self, prior: Prior, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return super().generate(prior, n, context, temperature).round()


def test_equal_codes_are_ranked_at_random() -> None:
    """Codes of which the items tell nothing, rounded: their ranks are uniform only if those of equal codes are drawn."""
    vae = linear_vae(3, 2)
    vae.latents = Dice(2)
    assert calibration(vae, 2000, draws=19, bins=20).p_value > 1e-3


def test_both_levels_of_a_hierarchy_are_ranked() -> None:
    """z2 -> z1 -> x, all of variance one and uncorrelated: q = p is exact where the decoder tells nothing, and z1 moved by half a scale is not."""
    latents = TwoLevelLatents(1, (2,), lower_size=1, hidden=())
    posterior, likelihood = DiagonalNormalPosterior(1), GaussianLikelihood((2,), 0)
    vae = VAE(
        Encoder(MLP((2,), (2,), hidden=()), posterior), Decoder(MLP((2,), (2,), hidden=()), likelihood), StandardNormalPrior(1), latents=latents
    ).double()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
    assert calibration(vae, 1000, draws=19).p_value > 1e-3
    with torch.no_grad():
        next(module for module in reversed(list(latents.recognition.modules())) if isinstance(module, nn.Linear)).bias[0] = 0.5
    found = calibration(vae, 1000, draws=19)
    assert found.ranks.shape == (1000, 2)
    assert found.ecdf[0] > 1e-3
    assert found.ecdf[1] < 1e-6


def test_a_conditional_model_gets_its_context_and_the_mode_is_kept() -> None:
    posterior, likelihood = DiagonalNormalPosterior(2), GaussianLikelihood((3,), 0)
    encoder = Encoder(MLP((3,), posterior.parameter_shape, hidden=()), posterior, mean=torch.zeros(3), context_size=2)
    decoder = Decoder(MLP((4,), likelihood.parameter_shape, hidden=()), likelihood, context_size=2)
    vae = VAE(encoder, decoder, StandardNormalPrior(2)).double().train()
    done: list[int] = []
    found = calibration(vae, 120, draws=19, context=torch.randn(120, 2), progress=done.append)
    assert found.ranks.shape == (120, 2)
    assert sum(done) == 120
    assert vae.training


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"draws": 99, "bins": 7}, r"draws=99 gives 100 ranks, which 7 bins do not divide"),
        ({"n": 50}, r"n=50 items are too few for 20 bins: at least 100"),
        ({"proposals": 10}, r"proposals=10 are too few to resample 99 draws from: use proposals=1980"),
    ],
)
def test_settings_that_cannot_be_tested_are_refused(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibration(linear_vae(3, 2), **knobs)


def test_the_truth_of_the_ranks_is_a_distribution() -> None:
    assert rank_distribution(1.0, 0.0, 19) == pytest.approx(np.full(20, 1 / 20), rel=1e-6)
    assert math.isclose(rank_distribution(0.5, 1.0, 9).sum(), 1)
