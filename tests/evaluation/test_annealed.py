"""Annealed importance sampling and its sandwich, on a linear-Gaussian model whose log p(x) is known, and where the encoder is useless."""

import pytest
import scipy.integrate
import scipy.stats
import torch

from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.evaluation import annealed_log_prob, bidirectional
from vaeworks.evaluation.annealed import _Target, _transition, temperatures
from vaeworks.trace import Batch

pytestmark = pytest.mark.usefixtures("exact")


def test_temperatures_rise_from_zero_to_one() -> None:
    betas = temperatures(10)
    assert (betas[0], betas[-1]) == (0, 1)
    assert (betas.diff() > 0).all()
    torch.testing.assert_close(betas + betas.flip(0), torch.ones(11))


def test_it_is_the_exact_log_probability_whatever_the_encoder() -> None:
    model = LinearGaussian.random(4, 2)
    x = model.sample(6)
    found = annealed_log_prob(model.vae(inflate=0.01, shift=30.0), Batch(x), chains=48, steps=150, leapfrogs=5)
    assert ((found.value - model.log_prob(x)).abs() < 4.5 * found.standard_error + 1e-3).all()
    assert (found.standard_error < 0.3).all()
    assert 0.4 < found.acceptance <= 1


def test_missing_coordinates_are_left_out() -> None:
    model = LinearGaussian.random(4, 2)
    x = model.sample(3)
    observed = torch.tensor([True, False, True, True])
    found = annealed_log_prob(model.vae(), Batch(x.masked_fill(~observed, torch.nan), observed.expand(3, 4)), chains=48, steps=150, leapfrogs=5)
    assert ((found.value - model.log_prob(x, observed)).abs() < 4.5 * found.standard_error + 1e-3).all()


def test_the_standard_error_is_the_spread_of_repetitions() -> None:
    model = LinearGaussian.random(4, 2)
    batch = Batch(model.sample(1).expand(40, 4))  # the same item forty times
    found = annealed_log_prob(model.vae(), batch, chains=20, steps=40, leapfrogs=4)
    ratio = float(found.value.std() / found.standard_error.square().mean().sqrt())
    assert 0.7 < ratio < 1.4


def test_a_transition_leaves_the_tempered_posterior_as_it_is() -> None:
    """Kolmogorov-Smirnov: exact draws from p(z) p(x | z)^beta stay exact draws, though the steps are coarse."""
    model = LinearGaussian.random(4, 1)
    x, beta = model.sample(1), 0.4
    precision = 1 + beta * model.weight.square().sum() / model.scale**2
    mean, deviation = beta * ((x - model.bias) @ model.weight / model.scale**2).item() / precision, precision.rsqrt()
    z = mean + deviation * torch.randn(4000, 1, 1)
    moved = 0
    target = _Target(model.vae(), Batch(x))
    with torch.no_grad():
        for _ in range(3):
            z, likelihood, accepted = _transition(target, z, beta, 1.9 * deviation.reshape(1), 3)
            moved += float(accepted.double().mean())
    assert 0.05 < moved / 3 < 0.95  # the test would prove nothing were all proposals accepted
    assert scipy.stats.kstest(z.flatten().numpy(), scipy.stats.norm(float(mean), float(deviation)).cdf).pvalue > 1e-3
    torch.testing.assert_close(likelihood, target.log_likelihood(z))


def test_the_sandwich_holds_the_truth_and_closes() -> None:
    model = LinearGaussian.random(4, 2)
    gaps = []
    for steps in (5, 200):
        torch.manual_seed(2)
        turns: list[int] = []
        sandwich = bidirectional(model.vae(), 60, chains=8, steps=steps, leapfrogs=4, progress=turns.append)
        assert sum(turns) == 2 * steps
        gaps.append(sandwich.gap)
    assert gaps[0] > gaps[1] > -0.05
    assert gaps[1] < 0.1


def test_the_sandwich_is_about_log_p_of_what_was_drawn() -> None:
    """Its middle is the expectation of log p(x) under the model, minus the entropy of N(b, W W' + s^2 I)."""
    model = LinearGaussian.random(4, 2)
    sandwich = bidirectional(model.vae(), 400, chains=8, steps=100, leapfrogs=4)
    covariance = model.weight @ model.weight.T + model.scale**2 * torch.eye(4)
    entropy = scipy.stats.multivariate_normal(model.bias.numpy(), covariance.numpy()).entropy()
    middle = (sandwich.lower + sandwich.upper) / 2
    assert abs(middle.mean() + entropy) < 4.5 * middle.std() / 20


def test_hierarchies_are_refused() -> None:
    vae = LinearGaussian.random(4, 2).vae()
    vae.latents = torch.nn.Identity()  # type: ignore[assignment]
    with pytest.raises(NotImplementedError, match="one latent vector, not for Identity"):
        annealed_log_prob(vae, Batch(torch.zeros(1, 4)))
