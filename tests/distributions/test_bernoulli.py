"""Bernoulli and continuous Bernoulli, against scipy, torch and closed forms."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from vaeworks.distributions import Bernoulli, ContinuousBernoulli

LOGITS = [-300.0, -100.0, -30.0, -3.0, -0.2, -0.0999, -1e-4, 0.0, 1e-6, 0.0999, 0.1001, 1.0, 10.0, 50.0, 200.0]


def test_bernoulli_against_scipy() -> None:
    logits = torch.linspace(-8, 8, 33, dtype=torch.float64)
    for x in (0.0, 1.0):
        expected = scipy.stats.bernoulli.logpmf(x, scipy.special.expit(logits.numpy()))
        np.testing.assert_allclose(Bernoulli(logits).log_prob(torch.tensor(x)).numpy(), expected, rtol=1e-12)


def test_bernoulli_where_the_probability_rounds_to_one() -> None:
    assert Bernoulli(torch.tensor(200.0)).log_prob(torch.tensor(0.0)).item() == -200


@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_normaliser_and_mean_against_quadrature(logit: float) -> None:
    """integral of exp(l x - max(l, 0)) by scipy; the maximum is taken out so that nothing overflows."""
    top = max(logit, 0.0)
    corner = [1 - 20 / max(abs(logit), 20)] if logit > 0 else [20 / max(abs(logit), 20)]
    total = scipy.integrate.quad(lambda x: math.exp(logit * x - top), 0, 1, epsabs=0, epsrel=1e-13, points=corner)[0]
    first = scipy.integrate.quad(lambda x: x * math.exp(logit * x - top), 0, 1, epsabs=0, epsrel=1e-13, points=corner)[0]
    p = ContinuousBernoulli(torch.tensor(logit, dtype=torch.float64))
    for x in (0.0, 0.25, 1.0):
        expected = logit * x - top - math.log(total)
        assert p.log_prob(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-10, abs=1e-8)
    assert p.mean.item() == pytest.approx(first / total, rel=1e-8)


def test_continuous_bernoulli_against_torch_where_that_is_accurate() -> None:
    """torch works from sigmoid(logits), with a Taylor series around 1/2: fine for |logits| between 1 and 8, in float64."""
    logits = torch.cat([torch.linspace(-8, -1, 20), torch.linspace(1, 8, 20)]).double()
    ours, theirs = ContinuousBernoulli(logits), torch.distributions.ContinuousBernoulli(logits=logits)
    for x in torch.linspace(0, 1, 5).double():
        torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x.expand_as(logits)), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(ours.mean, theirs.mean, atol=1e-9, rtol=1e-9)


def test_continuous_bernoulli_is_smooth_where_its_branches_meet() -> None:
    logits = torch.tensor([0.1 - 1e-7, 0.1 + 1e-7, -0.1 - 1e-7, -0.1 + 1e-7], dtype=torch.float64, requires_grad=True)
    p = ContinuousBernoulli(logits)
    for values in (p.log_normaliser(), p.mean, torch.autograd.grad(p.log_normaliser().sum(), logits)[0]):
        torch.testing.assert_close(values[0], values[1], atol=1e-6, rtol=0)
        torch.testing.assert_close(values[2], values[3], atol=1e-6, rtol=0)


@pytest.mark.parametrize("logit", [-40.0, -2.0, -5e-4, 0.0, 5e-4, 2.0, 40.0])
def test_continuous_bernoulli_rsample_inverts_the_distribution_function(logit: float) -> None:
    """The distribution function of the samples is uniform, and dz/dlogit = -(dF/dlogit) / p(z), the implicit reparameterisation."""
    torch.manual_seed(0)
    logits = torch.full((4000,), logit, dtype=torch.float64, requires_grad=True)
    x = ContinuousBernoulli(logits).rsample()
    assert ((x >= 0) & (x <= 1)).all()

    def distribution_function(at: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
        near = at + lam * at * (at - 1) / 2
        return torch.where(lam.abs() < 1e-3, near, torch.expm1(lam * at) / torch.expm1(lam.masked_fill(lam == 0, 1)))

    assert scipy.stats.kstest(distribution_function(x, logits).detach().numpy(), "uniform").pvalue > 1e-3
    (slope,) = torch.autograd.grad(x.sum(), logits)
    step = 1e-5
    fixed = x.detach()
    change = (distribution_function(fixed, logits + step) - distribution_function(fixed, logits - step)) / (2 * step)
    implicit = -change.detach() / ContinuousBernoulli(logits).log_prob(fixed).exp().detach()
    inside = (fixed > 0) & (fixed < 1)
    torch.testing.assert_close(slope[inside], implicit[inside], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("n", [1, 2, 7, 48, 784])
@pytest.mark.parametrize("gradient", [False, True])
def test_sum_over_coordinates_is_the_sum(n: int, gradient: bool) -> None:
    generator = torch.Generator().manual_seed(n)
    logits = torch.randn(3, 2, n, 1, dtype=torch.float64, generator=generator) * 20
    x = (torch.rand(2, n, 1, generator=generator) < 0.5).double()
    with torch.set_grad_enabled(gradient):
        together = Bernoulli(logits).log_prob_sum(x, 2)
    exact = (x * logits - torch.logaddexp(logits, torch.zeros(()).double())).sum((-2, -1))
    torch.testing.assert_close(together, exact, rtol=1e-10, atol=1e-7 if gradient else 1e-11)  # torch's softplus is x itself beyond 20


@pytest.mark.parametrize("gradient", [False, True])
def test_sum_over_coordinates_stays_finite_at_the_extremes(gradient: bool) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0, 88.0]])
    with torch.set_grad_enabled(gradient):
        total = Bernoulli(logits).log_prob_sum(torch.tensor([[0.0, 1.0, 1.0, 1.0]]), 1)
    assert total.item() == pytest.approx(-20000.693, rel=1e-6)
