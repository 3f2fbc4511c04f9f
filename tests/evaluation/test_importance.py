"""log p(x) by importance sampling, on a model whose log p(x) scipy knows, and its errors by repetition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from vaeworks.distributions import Factorised
from vaeworks.evaluation import importance, log_prob
from vaeworks.model import VAE
from vaeworks.objectives import ELBO, IWAE, MIWAE
from vaeworks.priors import StandardNormalPrior
from vaeworks.trace import Batch

X, D = 5, 2
WEIGHT = torch.tensor([[1.0, 0.2], [-0.5, 0.8], [0.3, -1.1], [0.0, 0.4], [0.9, 0.5]], dtype=torch.float64)
BIAS = torch.tensor([0.1, -0.2, 0.5, 0.0, 0.3], dtype=torch.float64)
SCALE = 0.6


pytestmark = pytest.mark.usefixtures("exact")


class Proposal(nn.Module):
    """q(z | x): the exact posterior with its covariance times ``wide`` and its mean moved; or a diagonal one."""

    def __init__(self, wide: float = 1.0, shift: float = 0.0, diagonal: bool = False) -> None:
        super().__init__()
        self.wide, self.shift, self.diagonal = wide, shift, diagonal

    def forward(self, x: Tensor, observed: Tensor | None = None) -> Independent | MultivariateNormal:
        covariance = torch.linalg.inv(torch.eye(D) + WEIGHT.T @ WEIGHT / SCALE**2)
        mean = (x - BIAS) @ WEIGHT @ covariance / SCALE**2 + self.shift
        if self.diagonal:
            return Independent(Normal(mean, (self.wide * covariance.diagonal()).sqrt().expand_as(mean)), 1)
        return MultivariateNormal(mean, self.wide * covariance)


class Linear(nn.Module):
    def forward(self, z: Tensor) -> Factorised:
        return Factorised(Normal(z @ WEIGHT.T + BIAS, torch.tensor(SCALE).expand(*z.shape[:-1], X)), 1)


def model(**proposal: float) -> VAE:
    return VAE(Proposal(**proposal), Linear(), StandardNormalPrior(D))  # type: ignore[arg-type]


def items(n: int) -> Tensor:
    return torch.randn(n, D) @ WEIGHT.T + BIAS + SCALE * torch.randn(n, X)


def truth(x: Tensor, observed: np.ndarray | slice = slice(None)) -> np.ndarray:
    """log N(x; b, W W' + s^2 I) by scipy, of some coordinates."""
    w, b = WEIGHT.numpy()[observed], BIAS.numpy()[observed]
    return np.asarray(scipy.stats.multivariate_normal(b, w @ w.T + SCALE**2 * np.eye(len(b))).logpdf(x.numpy()[:, observed]))


def test_the_exact_posterior_needs_one_sample() -> None:
    x = items(30)
    for samples in (1, 2, 100):
        result = log_prob(model(), Batch(x), samples)
        np.testing.assert_allclose(result.value, truth(x), atol=1e-10)
        np.testing.assert_allclose(result.effective_sample_size, samples)
        assert result.samples == samples
    assert torch.isinf(log_prob(model(), Batch(x), 1).standard_error).all()
    assert log_prob(model(), Batch(x), 50).standard_error.max() < 1e-6


@pytest.mark.parametrize("proposal", [{"wide": 1.5}, {"wide": 2.0, "shift": 0.2}, {"diagonal": True, "wide": 1.6}], ids=str)
def test_within_its_standard_errors_of_the_closed_form(proposal: dict[str, float]) -> None:
    x = items(200)
    result = log_prob(model(**proposal), Batch(x), 2000)
    deviation = (result.value.numpy() - truth(x)) / result.standard_error.numpy()
    assert np.abs(deviation).max() < 5
    assert 0.8 < deviation.std() < 1.2
    assert result.standard_error.max() < 0.05


@pytest.mark.parametrize("samples", [200, 3000])
def test_the_standard_error_is_what_repetition_shows(samples: int) -> None:
    """300 repetitions of 4 items: the spread of the estimates is their stated error, to the 4 % that 300 repetitions can tell."""
    x = items(4)
    vae = model(wide=1.8, shift=0.1)
    repeated = log_prob(vae, Batch(x.repeat(300, 1)), samples)
    value, error = repeated.value.reshape(300, 4), repeated.standard_error.reshape(300, 4)
    np.testing.assert_allclose(value.std(0) / error.square().mean(0).sqrt(), 1, atol=0.17)
    np.testing.assert_allclose(value.mean(0), truth(x), atol=5 * float(error.max()) / math.sqrt(300) + float(error.square().max()))


def test_effective_sample_size_and_error_by_their_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights that the estimator saw, caught on their way, and the definitions in numpy."""
    x, vae, caught = items(7), model(wide=2.0, shift=0.3), []
    real = importance.Trace.log_likelihood

    def catch(trace: importance.Trace, batch: Batch) -> Tensor:
        caught.append((real(trace, batch) + trace.log_ratio()).numpy())
        return real(trace, batch)

    monkeypatch.setattr(importance.Trace, "log_likelihood", catch)
    result = log_prob(vae, Batch(x), 700)
    log_w = np.concatenate(caught)
    assert log_w.shape == (700, 7)
    w = np.exp(log_w)
    np.testing.assert_allclose(result.effective_sample_size, w.sum(0) ** 2 / (w**2).sum(0))
    np.testing.assert_allclose(result.value, scipy.special.logsumexp(log_w, 0) - np.log(700))
    np.testing.assert_allclose(result.standard_error, w.std(0, ddof=1) / w.mean(0) / np.sqrt(700))
    assert result.effective_sample_size.max() < 700


def test_the_bound_of_one_sample_is_the_elbo() -> None:
    """K = 1: in expectation log w is the ELBO, which for these normals is log p(x) - KL(q || p(z | x))."""
    x = items(3)
    vae = model(wide=1.7, shift=0.25)
    repeated = log_prob(vae, Batch(x.repeat(4000, 1)), 1)
    q, exact = vae.encoder(x), model().encoder(x)
    elbo = truth(x) - torch.distributions.kl_divergence(q, exact).numpy()
    for found in (repeated.value.reshape(4000, 3).numpy(), repeated.elbo.reshape(4000, 3).numpy()):
        np.testing.assert_array_less(np.abs(found.mean(0) - elbo) / (found.std(0) / np.sqrt(4000)), 4.5)


def test_more_samples_tighten_the_bound() -> None:
    x = items(3)
    vae = model(wide=0.6, shift=0.3)
    means = [float(log_prob(vae, Batch(x.repeat(1500, 1)), k).value.mean()) for k in (1, 4, 16, 128)]
    assert means == sorted(means)
    assert means[-1] < truth(x).mean() + 0.01


@pytest.mark.parametrize(("batches", "rows"), [(1, 2048), (7, 2048), (40, 2048), (4, 64), (4, 1)])
def test_how_items_are_cut_changes_chance_alone(batches: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "ROWS", rows)
    x = items(40)
    told: list[int] = []
    samples = 500 if rows > 1 else 100
    result = log_prob(model(wide=1.5), (Batch(part) for part in x.chunk(batches)), samples, progress=told.append)
    deviation = (result.value.numpy() - truth(x)) / result.standard_error.numpy()
    assert np.abs(deviation).max() < 5
    assert abs(deviation.mean()) < 4.5 / math.sqrt(40)
    assert sum(told) == 40


@pytest.mark.parametrize("samples", [1, 2, 2047, 2048, 2049, 5000])
def test_every_number_of_samples_is_drawn(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    real = importance.Trace.log_likelihood
    monkeypatch.setattr(importance.Trace, "log_likelihood", lambda trace, batch: drawn.append(len(trace.latents[0].z)) or real(trace, batch))
    log_prob(model(wide=1.5), Batch(items(1)), samples)
    assert sum(drawn) == samples


def test_the_same_seed_gives_the_same_figures() -> None:
    x, results = items(20), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(log_prob(model(wide=1.5), Batch(x), 100).value)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_what_is_missing_is_integrated_out() -> None:
    """With a mask, log p of the observed coordinates alone; what stands in the others, NaN even, is never read."""
    x = items(60)
    kept = np.array([0, 2, 3])
    observed = torch.zeros(60, X, dtype=torch.bool)
    observed[:, kept] = True
    hidden = x.masked_fill(~observed, math.nan)

    class Blind(Proposal):
        def forward(self, x: Tensor, observed: Tensor | None = None) -> MultivariateNormal:
            assert observed is not None
            w = WEIGHT[kept]
            covariance = torch.linalg.inv(torch.eye(D) + w.T @ w / SCALE**2)
            return MultivariateNormal((x[:, kept] - BIAS[kept]) @ w @ covariance / SCALE**2, 1.4 * covariance)

    result = log_prob(VAE(Blind(), Linear(), StandardNormalPrior(D)), Batch(hidden, observed), 3000)  # type: ignore[arg-type]
    deviation = (result.value.numpy() - truth(x, kept)) / result.standard_error.numpy()
    assert np.abs(deviation).max() < 5


PROPOSALS = [{"diagonal": True, "wide": 1.6}, {"wide": 1.5, "shift": 0.1}]
own_streams = pytest.mark.parametrize("proposal", PROPOSALS, ids=["noise by hand", "one at a time"])


@own_streams
@pytest.mark.parametrize("samples", [7, 300])
def test_an_items_figures_do_not_depend_on_its_company(proposal: dict[str, float], samples: int) -> None:
    x, vae, seeds = items(45), model(**proposal), list(range(100, 145))
    together = log_prob(vae, Batch(x), samples, seeds=seeds)
    for order in (torch.arange(45).flip(0), torch.tensor([3]), torch.arange(20, 41)):
        batches = [Batch(x[part]) for part in order.split(17)]
        other = log_prob(vae, batches, samples, seeds=[seeds[i] for i in order])
        for name in ("value", "standard_error", "effective_sample_size", "elbo", "log_likelihood"):
            np.testing.assert_allclose(getattr(other, name), getattr(together, name)[order], rtol=1e-10, err_msg=name)
    assert not torch.isclose(together.value, log_prob(vae, Batch(x), samples, seeds=[s + 1 for s in seeds]).value, rtol=1e-6).any()


@own_streams
def test_streams_of_their_own_are_as_good(proposal: dict[str, float]) -> None:
    x = items(150)
    result = log_prob(model(**proposal), Batch(x), 1000, seeds=range(150))
    deviation = (result.value.numpy() - truth(x)) / result.standard_error.numpy()
    assert np.abs(deviation).max() < 5
    assert 0.8 < deviation.std() < 1.2
    assert abs(deviation.mean()) < 4.5 / math.sqrt(150), "errors of different items are independent"


@pytest.mark.parametrize("seeds", [None, range(12)], ids=["stream", "own streams"])
def test_terms_are_what_each_coordinate_adds_under_the_posterior(seeds: range | None) -> None:
    """E[log p(x_i | z)] under p(z | x) = N(m, C): log N(x_i; w_i m + b_i, s^2) - w_i C w_i / 2 s^2, from a proposal that is none of the posterior; 0 where nothing is observed."""
    x = items(12)
    found = log_prob(model(diagonal=True, wide=1.8), Batch(x), 20_000, terms=True, seeds=seeds)
    exact = model().encoder(x)
    spread = (WEIGHT @ exact.covariance_matrix[0] @ WEIGHT.T).diagonal() / (2 * SCALE**2)
    expected = Normal(exact.mean @ WEIGHT.T + BIAS, SCALE).log_prob(x) - spread
    assert found.terms is not None
    np.testing.assert_allclose(found.terms, expected, atol=0.15)
    np.testing.assert_allclose((found.terms - expected).mean(), 0, atol=0.01)
    plain = log_prob(model(diagonal=True, wide=1.8), Batch(x), 20_000, seeds=seeds)
    assert plain.terms is None
    if seeds is not None:
        np.testing.assert_allclose(plain.value, found.value, rtol=1e-10)
    observed = torch.rand(12, X) < 0.5
    part = log_prob(model(wide=1.3), Batch(x, observed), 50, terms=True, seeds=seeds).terms
    assert part is not None
    assert (part[~observed] == 0).all()
    assert (part[observed] != 0).all()


def test_extreme_items_stay_finite() -> None:
    """log p(x) of -5 million nats, where weights underflow, is still right to one part in a million."""
    x = items(5) + 1000
    result = log_prob(model(wide=1.2), Batch(x), 200)
    np.testing.assert_allclose(result.value, truth(x), rtol=1e-6)


def test_training_mode_is_given_back_and_nothing_is_recorded() -> None:
    vae = model().train()
    assert not log_prob(vae, Batch(items(2)), 3).value.requires_grad
    assert vae.training
    with pytest.raises(ValueError, match="at least one"):
        log_prob(vae, Batch(items(2)), 0)


def test_what_is_missing_is_integrated_out_whatever_the_mask_of_each_item() -> None:
    """60 items with masks of their own, what is missing NaN: log p(x_seen) by scipy, and the bounds of ELBO, IWAE and MIWAE below it, the last two tight."""
    vae = model(wide=1.5)
    x, observed = items(60), torch.rand(60, X) < 0.6
    observed[0], observed[1] = True, False
    batch = Batch(x.masked_fill(~observed, math.nan), observed)
    vae.encoder = Guided()  # q of what is seen, for the bounds to be tight
    expected = np.array([truth(x[i : i + 1], observed[i].numpy())[()] if bool(observed[i].any()) else 0.0 for i in range(60)], dtype=float).ravel()
    found = log_prob(vae, batch, 4000)
    assert (np.abs(found.value.numpy() - expected) < 5 * found.standard_error.numpy() + 1e-9).all()
    with torch.no_grad():
        for objective, slack in ((ELBO(samples=2000), None), (IWAE(samples=2000), 0.05), (MIWAE(samples=1000, groups=2), 0.05)):
            terms = objective(vae(batch, objective.samples), batch).terms
            assert (terms["elbo"].mean(0).numpy() < expected + 0.05).all()
            if slack is not None:
                np.testing.assert_allclose(terms["iwae"].numpy(), expected, atol=4 * slack)


class Guided(nn.Module):
    """The exact posterior given what is seen, its covariance half as large again."""

    def forward(self, x: Tensor, observed: Tensor) -> MultivariateNormal:
        seen = observed.to(torch.float64)
        precision = torch.eye(D) + torch.einsum("bx,xd,xe->bde", seen, WEIGHT, WEIGHT) / SCALE**2
        covariance = torch.linalg.inv(precision)
        error = (x - BIAS).masked_fill(~observed, 0)
        return MultivariateNormal(torch.einsum("bde,bx,xe->bd", covariance, error, WEIGHT) / SCALE**2, 1.5 * covariance)
