"""Draws given what is known, against conditionals that have a closed form, or that can be enumerated."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.distributions import DiscretisedLogisticMixture, TokenSequence
from vaeworks.distributions.tokens import END, PAD
from vaeworks.evaluation import Evidence, fill, propose
from vaeworks.evaluation import conditioning as room
from vaeworks.latents import TwoLevelLatents
from vaeworks.likelihoods import BernoulliLikelihood
from vaeworks.model import VAE, Decoder, Encoder
from vaeworks.networks import MLP
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import StandardNormalPrior
from vaeworks.trace import Batch

pytestmark = pytest.mark.usefixtures("exact")


def conditional(model: LinearGaussian, x: Tensor, observed: Tensor) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and covariance of what is not observed given what is, of one item x (X,), and log p(x_observed) by scipy."""
    w, b, seen = model.weight.numpy(), model.bias.numpy(), observed.numpy()
    cov = w @ w.T + model.scale**2 * np.eye(len(b))
    gain = cov[~seen][:, seen] @ np.linalg.inv(cov[seen][:, seen])
    error = x.numpy()[seen] - b[seen]
    log_p = scipy.stats.multivariate_normal(b[seen], cov[seen][:, seen]).logpdf(x.numpy()[seen])
    return b[~seen] + gain @ error, cov[~seen][:, ~seen] - gain @ cov[seen][:, ~seen], float(log_p)


@pytest.mark.parametrize("knobs", [{}, {"inflate": 0.4, "shift": 2.0}, {"inflate": 3.0}], ids=str)
def test_draws_have_the_mean_and_the_covariance_of_the_conditional(knobs: dict[str, float]) -> None:
    """Whatever q is: exact, too narrow and beside the point, too wide."""
    model = LinearGaussian.random(5, 2)
    vae, x, observed = model.vae(**knobs), model.sample(1), torch.tensor([True, False, True, False, False])
    batch = Batch(x.masked_fill(~observed, torch.nan), observed[None])
    n = 4000
    found = fill(vae, Evidence(batch), draws=n, samples=20_000)
    assert torch.equal(found.x[:, 0, observed], x[0, observed].expand(n, -1))
    mean, covariance, log_p = conditional(model, x[0], observed)
    drawn = found.x[:, 0, ~observed].numpy()
    slack = 1 / n + 1 / float(found.effective_sample_size)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=4.5 * np.sqrt(covariance.diagonal().max() * slack))
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=4.5 * covariance.max() * np.sqrt(2 * slack))
    assert float(found.log_prob) == pytest.approx(log_p, abs=4.5 / float(found.effective_sample_size) ** 0.5)
    best = fill(vae, Evidence(batch), draws=0, samples=20_000)
    np.testing.assert_allclose(
        best.x[0, 0, ~observed].numpy(), mean, atol=4.5 * np.sqrt(covariance.diagonal().max() / float(best.effective_sample_size))
    )
    assert torch.equal(best.x[0, 0, observed], x[0, observed])


def test_every_subset_of_every_item_at_once() -> None:
    """Masks of their own for 40 items, one of them with nothing observed and one with everything; the conditional mean of each."""
    model = LinearGaussian.random(4, 2)
    x, observed = model.sample(40), torch.rand(40, 4) < 0.5
    some = observed.any(1) & ~observed.all(1)
    observed[0], observed[1] = False, True
    found = fill(model.vae(inflate=1.5), Evidence(Batch(x, observed)), draws=0, samples=8000)
    assert torch.equal(found.x[0, 1], x[1])
    np.testing.assert_allclose(found.x[0, 0].numpy(), model.bias.numpy(), atol=0.1)
    assert float(found.log_prob[0]) == pytest.approx(0, abs=0.1)
    chosen = [i for i in range(2, 40) if some[i]]
    assert len(chosen) > 25
    for i in chosen:
        mean, covariance, log_p = conditional(model, x[i], observed[i])
        error = 5 * np.sqrt(covariance.diagonal().max() / float(found.effective_sample_size[i]))
        np.testing.assert_allclose(found.x[0, i, ~observed[i]].numpy(), mean, atol=error)
        assert float(found.log_prob[i]) == pytest.approx(log_p, abs=5 / float(found.effective_sample_size[i]) ** 0.5)


def test_the_effective_sample_size_and_the_weights_are_those_of_the_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights by numpy from the codes that were proposed: p(evidence, z) over the density of three quarters q and one quarter p."""
    model = LinearGaussian.random(3, 2)
    vae, x, observed = model.vae(inflate=0.7), model.sample(2), torch.tensor([[True, False, True]]).expand(2, -1)
    found = propose(vae, Evidence(Batch(x, observed)), 40)
    with torch.no_grad():
        q = vae.encoder(x, observed)
    z = found.code.numpy()
    log_q = scipy.stats.norm(q.mean.numpy(), q.stddev.numpy()).logpdf(z).sum(-1)
    log_p = scipy.stats.norm(0, 1).logpdf(z).sum(-1)
    mean = z @ model.weight.numpy().T + model.bias.numpy()
    log_x = scipy.stats.norm(mean, model.scale).logpdf(x.numpy())[..., [0, 2]].sum(-1)
    log_w = log_x + log_p - np.logaddexp(np.log(0.75) + log_q, np.log(0.25) + log_p)
    np.testing.assert_allclose(found.log_weight.numpy(), log_w)
    w = np.exp(log_w)
    np.testing.assert_allclose(found.effective_sample_size.numpy(), w.sum(0) ** 2 / (w**2).sum(0))
    assert (found.effective_sample_size < 40).all()


def test_more_are_proposed_until_there_are_enough_or_the_bound_is_reached() -> None:
    model = LinearGaussian.random(4, 2, scale=0.1)
    batch = Batch(model.sample(1))
    vae = model.vae(inflate=0.3, shift=3.0)
    assert propose(vae, Evidence(batch), 50).code.shape[0] == 50
    patient = propose(vae, Evidence(batch), 50, least=10, most=200_000)
    assert 50 < len(patient.code) < 200_000
    assert float(patient.effective_sample_size) >= 10
    assert len(propose(vae, Evidence(batch), 50, least=1e9, most=500).code) == 500


def test_a_range_is_an_event_with_a_probability_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """x0 in a range, x1 known, x2 free: the mean by integrating the truncated normal in scipy's hands, with draws inside the range."""
    model = LinearGaussian.random(3, 2)

    def log_interval(self: Normal, low: Tensor, high: Tensor) -> Tensor:
        return (self.cdf(high) - self.cdf(low)).clamp_min(1e-300).log()

    def sample_interval(self: Normal, low: Tensor, high: Tensor) -> Tensor:
        a, b = self.cdf(low), self.cdf(high)
        return self.icdf(a + (b - a) * torch.rand(self.loc.shape))

    monkeypatch.setattr(Normal, "log_interval", log_interval, raising=False)
    monkeypatch.setattr(Normal, "sample_interval", sample_interval, raising=False)
    x = model.sample(1)
    low, high = torch.full_like(x, float(model.bias[0] + 1.0)), torch.full_like(x, float(model.bias[0] + 2.5))
    within, observed = torch.tensor([[True, False, False]]), torch.tensor([[False, True, False]])
    found = fill(model.vae(), Evidence(Batch(x, observed), within, low, high), draws=3000, samples=30_000)
    drawn = found.x[:, 0].numpy()
    assert ((drawn[:, 0] >= float(low[0, 0])) & (drawn[:, 0] <= float(high[0, 0]))).all()
    assert (drawn[:, 1] == float(x[0, 1])).all()
    mean, covariance, log_p1 = conditional(model, x[0], observed[0])
    scale = math.sqrt(covariance[0, 0])
    ends = (np.array([float(low[0, 0]), float(high[0, 0])]) - mean[0]) / scale
    first = scipy.stats.truncnorm(*ends, loc=mean[0], scale=scale)
    slack = np.sqrt(1 / 3000 + 1 / float(found.effective_sample_size))
    assert drawn[:, 0].mean() == pytest.approx(first.mean(), abs=4.5 * first.std() * slack)
    third = mean[1] + covariance[0, 1] / covariance[0, 0] * (first.mean() - mean[0])
    assert drawn[:, 2].mean() == pytest.approx(third, abs=4.5 * np.sqrt(covariance[1, 1]) * slack)
    mass = np.log(np.diff(scipy.stats.norm.cdf(ends))[0])
    assert float(found.log_prob) == pytest.approx(log_p1 + mass, abs=4.5 * slack)


def discrete(latents: Any = None) -> VAE:
    """Four bits by a small network, untrained."""
    size = 2 if latents is None else latents.code_size
    posterior, likelihood = DiagonalNormalPosterior(2), BernoulliLikelihood((1, 2, 2), levels=2)
    encoder = Encoder(MLP((1, 2, 2), posterior.parameter_shape, hidden=(8,)), posterior)
    decoder = Decoder(nn.Sequential(MLP((size,), likelihood.parameter_shape, hidden=(8,)), _Sharper()), likelihood)
    return VAE(encoder, decoder, StandardNormalPrior(2), latents=latents).eval().requires_grad_(False)


class _Sharper(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 4 * x


@pytest.mark.parametrize("levels", [1, 2])
def test_bits_agree_with_enumeration(levels: int) -> None:
    """p(missing bits | bits seen) of all 16 items, p(x) of each by quadrature over z (of two levels by 200,000 draws): the chi-squared test of the draws."""
    vae = discrete() if levels == 1 else discrete(TwoLevelLatents(2, (1, 2, 2), lower_size=1, hidden=(4,)))
    items = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).view(16, 1, 2, 2)
    if levels == 1:
        node, weight = np.polynomial.hermite_e.hermegauss(60)
        z = torch.tensor(np.stack(np.meshgrid(node, node, indexing="ij"), -1).reshape(-1, 2))
        mass = torch.tensor(np.outer(weight, weight).ravel() / weight.sum() ** 2)
    else:
        z = vae.latents.generate(vae.prior, 200_000)
        mass = torch.full((len(z),), 1 / len(z))
    p = (vae.decode(z).log_prob(items[:, None]).exp() @ mass).numpy()
    if levels == 1:
        assert p.sum() == pytest.approx(1)
    x, observed = items[11:12], torch.tensor([True, False, True, False]).view(1, 1, 2, 2)
    agree = ((items == x) | ~observed).flatten(1).all(1).numpy()
    expected = np.where(agree, p, 0) / p[agree].sum()
    n = 2000
    found = fill(vae, Evidence(Batch(x, observed)), draws=n, samples=30_000)
    index = (found.x.view(n, 4) @ torch.tensor([8.0, 4.0, 2.0, 1.0])).long().numpy()
    counts = np.bincount(index, minlength=16)
    assert counts[~agree].sum() == 0
    assert scipy.stats.chisquare(counts[agree], n * expected[agree]).pvalue > 1e-3
    assert float(found.log_prob) == pytest.approx(np.log(p[agree].sum()), abs=0.05)
    best = fill(vae, Evidence(Batch(x, observed)), draws=0, samples=30_000).x[0, 0].flatten()
    torch.testing.assert_close(best, torch.tensor(expected) @ items.flatten(1), atol=0.03, rtol=0)


def test_channels_that_are_seen_tell_of_the_others() -> None:
    """Two channels of one pixel share a component: p(second | first, z) by the ratio of joint to marginal."""
    torch.manual_seed(1)
    levels = 6
    p = DiscretisedLogisticMixture(
        torch.randn(2, 1, 1), torch.tensor([[0.1, 0.9], [0.9, 0.1]])[:, :, None, None], torch.full((2, 2, 1, 1), -3.0), levels
    )
    grid = torch.linspace(0, 1, levels)
    observed = torch.tensor([True, False])[:, None, None]
    for value in grid:
        x = torch.stack([value.expand(levels), grid], 1)[..., None, None]
        joint = p.log_prob(x)
        told = p.rest(x[0], observed).marginal(~observed).log_prob(x)
        torch.testing.assert_close(told, joint - joint.logsumexp(0))


class _Writer(nn.Module):
    """z (..., 1) -> strings of up to 3 tokens whose next token leans on the one before, and on z."""

    def forward(self, z: Tensor, context: Tensor | None = None) -> TokenSequence:
        return TokenSequence(_Bigrams(z), 4)


class _Bigrams:
    def __init__(self, z: Tensor):
        self.batch_shape, self.z = tuple(z.shape[:-1]), z.reshape(-1, 1)
        self.table = torch.randn(5, 5, generator=torch.Generator().manual_seed(4))
        self.slope = torch.randn(5, generator=torch.Generator().manual_seed(5))

    def rows(self, index: Tensor) -> _Bigrams:
        return _Bigrams(self.z[index])

    def hidden(self, x: Tensor) -> Tensor:
        before = torch.nn.functional.pad(x[:, :-1], (1, 0)).clamp_min(0)
        return 1.5 * self.table[before] + 2 * self.z[:, None] * self.slope

    def project(self, hidden: Tensor) -> Tensor:
        return hidden

    def start(self) -> list[Tensor]:
        return []

    def step(self, state: list[Tensor], token: Tensor | None, t: int) -> Tensor:
        before = torch.zeros(len(self.z), dtype=torch.long) if token is None else token
        return 1.5 * self.table[before] + 2 * self.z * self.slope


class _Guess(nn.Module):
    """q(z | x), of no great use."""

    def forward(self, x: Tensor, observed: Tensor | None = None) -> Independent:
        return Independent(Normal(torch.full((len(x), 1), 0.5), torch.full((len(x), 1), 0.7)), 1)


def test_gaps_of_text_agree_with_enumeration_over_codes_and_strings() -> None:
    vae = VAE(_Guess(), _Writer(), StandardNormalPrior(1))
    bodies = [body for n in range(4) for body in itertools.product(range(2, 5), repeat=n)]
    strings = torch.tensor([[*body, END, *[PAD] * (3 - len(body))] for body in bodies])
    node, weight = np.polynomial.hermite_e.hermegauss(40)
    log_p = vae.decode(torch.tensor(node)[:, None]).log_prob(strings[:, None])
    p = (log_p.exp() @ torch.tensor(weight / weight.sum())).numpy()
    assert p.sum() == pytest.approx(1)
    x, observed = torch.tensor([[0, 3, 0, END]]), torch.tensor([[False, True, False, True]])
    agree = ((strings == x) | ~observed).all(-1).numpy()
    expected = np.where(agree, p, 0) / p[agree].sum()
    many = 300
    batch = Batch(x.expand(many, -1), observed.expand(many, -1))
    found = fill(vae, Evidence(batch), draws=1, samples=100)
    number = (found.x[0][:, None] == strings).all(-1).long().argmax(-1).numpy()
    counts = np.bincount(number, minlength=len(p))
    assert counts[~agree].sum() == 0
    assert scipy.stats.chisquare(counts[agree], many * expected[agree]).pvalue > 1e-3
    estimates = found.log_prob.exp().numpy()
    assert estimates.mean() == pytest.approx(p[agree].sum(), abs=4.5 * estimates.std() / many**0.5)
    best = fill(vae, Evidence(Batch(x, observed)), draws=0, samples=2000)
    assert torch.equal(best.x[0, 0], strings[expected.argmax()])


def test_the_room_is_small_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut into passes or not: the same proposals are weighed alike."""
    model = LinearGaussian.random(3, 2)
    batch = Batch(model.sample(7))
    monkeypatch.setattr(room, "ROWS", 50)
    found = propose(model.vae(), Evidence(batch), 100)
    assert found.code.shape == (100, 7, 2)
    torch.testing.assert_close(found.log_prob, model.log_prob(batch.x), atol=0.2, rtol=0)
