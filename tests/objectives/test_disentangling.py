"""beta-TCVAE, FactorVAE and DIP-VAE where the aggregate posterior is known."""

import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Independent, LowRankMultivariateNormal, MultivariateNormal, Normal

from vaeworks.objectives import DIP, BetaTC, Factor
from vaeworks.objectives.beta_tc import decomposition, log_sampling_weights
from vaeworks.objectives.dip import aggregate_covariance
from vaeworks.objectives.factor import permuted
from vaeworks.trace import Batch, Latent, Trace

N, D = 6, 3


def data_set(k: int = 1) -> Latent:
    """Posteriors of all N items, and k codes of each."""
    torch.manual_seed(0)
    q = Independent(Normal(torch.randn(N, D).double(), torch.rand(N, D).double() + 0.3), 1)
    p = Independent(Normal(torch.zeros(D).double(), torch.ones(D).double()), 1)
    return Latent(q.sample((k,)), q, p)


def batch_of(latent: Latent, index: list[int]) -> Latent:
    base = latent.q.base_dist  # type: ignore[attr-defined]
    return Latent(latent.z[:, index], Independent(Normal(base.loc[index], base.scale[index]), 1), latent.p)


def trace_of(latent: Latent) -> tuple[Trace, Batch]:
    x = Independent(Normal(torch.zeros(*latent.z.shape[:2], 1).double(), 1.0), 1)
    return Trace(x, (latent,)), Batch(torch.zeros(latent.z.shape[1], 1).double())


def mixture(latent: Latent) -> tuple[np.ndarray, np.ndarray]:
    """log q(z), (K, N), and log q(z_d), (K, N, D), of the mixture over all items, by scipy."""
    base = latent.q.base_dist  # type: ignore[attr-defined]
    each = scipy.stats.norm.logpdf(latent.z.numpy()[:, :, None], base.loc.numpy(), base.scale.numpy())
    return scipy.special.logsumexp(each.sum(-1), axis=2) - math.log(N), scipy.special.logsumexp(each, axis=2) - math.log(N)


@pytest.mark.parametrize("k", [1, 4])
def test_with_the_whole_data_set_at_hand_the_parts_are_exact(k: int) -> None:
    latent = data_set(k)
    log_q, log_q_d = mixture(latent)
    information, correlation, dimensions = decomposition(latent, log_sampling_weights(N, N, "stratified"))
    np.testing.assert_allclose(information.numpy(), latent.q.log_prob(latent.z).numpy() - log_q, atol=1e-12)
    np.testing.assert_allclose(correlation.numpy(), log_q - log_q_d.sum(-1), atol=1e-12)
    np.testing.assert_allclose(dimensions.numpy(), log_q_d.sum(-1) - scipy.stats.norm.logpdf(latent.z.numpy()).sum(-1), atol=1e-12)
    torch.testing.assert_close(information + correlation + dimensions, -latent.log_ratio())


@pytest.mark.parametrize("size", [2, 3, 5])
def test_stratified_weights_estimate_the_mixture_without_bias(size: int) -> None:
    """The mean over every batch that holds item 0: q(z_0), and q of each of its dimensions, to rounding."""
    latent = data_set()
    log_q, log_q_d = mixture(latent)
    density, densities = [], []
    for others in itertools.combinations(range(1, N), size - 1):
        part = batch_of(latent, [0, *others])
        information, correlation, _ = decomposition(part, log_sampling_weights(size, N, "stratified"))
        log_estimate = part.q.log_prob(part.z) - information
        density.append(log_estimate[0, 0].exp())
        product = log_estimate - correlation
        one = [decomposition(dimension(part, d), log_sampling_weights(size, N, "stratified"))[0] for d in range(D)]
        marginals = torch.stack([dimension(part, d).q.log_prob(dimension(part, d).z) - one[d] for d in range(D)], -1)
        torch.testing.assert_close(product, marginals.sum(-1))
        densities.append(marginals[0, 0].exp())
    assert float(torch.stack(density).mean()) == pytest.approx(math.exp(log_q[0, 0]), rel=1e-12)
    np.testing.assert_allclose(torch.stack(densities).mean(0).numpy(), np.exp(log_q_d[0, 0]), rtol=1e-12)
    assert torch.stack(density).std() > 1e-4


def dimension(latent: Latent, d: int) -> Latent:
    base = latent.q.base_dist  # type: ignore[attr-defined]
    return Latent(latent.z[..., d : d + 1], Independent(Normal(base.loc[:, d : d + 1], base.scale[:, d : d + 1]), 1), data_prior())


def data_prior() -> Independent:
    return Independent(Normal(torch.zeros(1).double(), torch.ones(1).double()), 1)


def test_weighted_sampling_is_the_papers() -> None:
    """log 1/(N M) sum_j q(z_i | x_j)."""
    part = batch_of(data_set(), [4, 1, 3])
    information, _, _ = decomposition(part, log_sampling_weights(3, N, "weighted"))
    base = part.q.base_dist  # type: ignore[attr-defined]
    each = scipy.stats.norm.logpdf(part.z[0].numpy()[:, None], base.loc.numpy(), base.scale.numpy()).sum(-1)
    expected = scipy.special.logsumexp(each, axis=1) - math.log(N * 3)
    np.testing.assert_allclose((part.q.log_prob(part.z) - information)[0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("items", [1, 2, 5, 6])
def test_stratified_weights_make_a_mixture(items: int) -> None:
    weights = log_sampling_weights(items, 6, "stratified").exp()
    torch.testing.assert_close(weights.sum(1), torch.ones(items).double())
    torch.testing.assert_close(weights, weights.T)
    if items > 1:
        torch.testing.assert_close(weights.diagonal(), torch.full((items,), 1 / 6).double())


def test_beta_tc_needs_to_know_how_many_items_there_are_and_a_posterior_that_factorises() -> None:
    trace, batch = trace_of(data_set())
    with pytest.raises(ValueError, match=r"BetaTC.*settle\(trace, count\)"):
        BetaTC()(trace, batch)
    q = MultivariateNormal(torch.zeros(N, D).double(), torch.eye(D).double())
    objective = BetaTC()
    objective.settle(trace, N)
    with pytest.raises(ValueError, match="MultivariateNormal does not factorise"):
        objective(Trace(trace.x, (Latent(q.sample((1,)), q, MultivariateNormal(torch.zeros(D).double(), torch.eye(D).double())),)), batch)


def test_shuffling_keeps_each_dimension_and_parts_them_from_each_other() -> None:
    torch.manual_seed(0)
    z = torch.randn(2, 5000, 1).expand(-1, -1, 3) * torch.tensor([1.0, 2.0, -1.0])
    shuffled = permuted(z)
    torch.testing.assert_close(shuffled.sort(1).values, z.sort(1).values)
    correlation = torch.corrcoef(shuffled.flatten(0, 1).T)
    assert (correlation - torch.eye(3)).abs().max() < 0.05


def test_a_trained_discriminator_knows_the_total_correlation() -> None:
    """Codes of a bivariate normal of correlation 0.8: TC = -log(1 - 0.64) / 2 = 0.51 nats; untrained, the value tells nothing."""
    torch.manual_seed(0)
    mean = torch.randn(4096, 1) * 0.8**0.5
    q = Independent(Normal(mean.expand(-1, 2), 0.2**0.5), 1)
    p = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    objective = Factor(hidden=(32, 32))

    def trace(items: int) -> tuple[Trace, Batch]:
        part = Independent(Normal(mean[torch.randint(len(mean), (items,))].expand(-1, 2), 0.2**0.5), 1)
        return Trace(Independent(Normal(torch.zeros(1, items, 1), 1.0), 1), (Latent(part.rsample((1,)), part, p),)), Batch(torch.zeros(items, 1))

    objective.settle(trace(2)[0], 4096)
    optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)
    for _ in range(400):
        optimizer.zero_grad()
        opponent = objective(*trace(512)).opponent
        assert opponent is not None
        opponent.backward()
        optimizer.step()
    assert q.batch_shape == (4096,)
    with torch.no_grad():
        found = torch.stack([objective(*trace(4096)).terms["total_correlation_discriminated"].mean() for _ in range(4)]).mean()
    assert float(found) == pytest.approx(-0.5 * math.log(1 - 0.64), abs=0.06)


def test_the_second_variant_is_the_covariance_of_the_codes() -> None:
    """Diagonal, low-rank and full posteriors, against the covariance of many codes."""
    torch.manual_seed(0)
    factor = torch.randn(N, D, D).double().tril()
    factor.diagonal(dim1=-2, dim2=-1).abs_().add_(0.3)
    full = MultivariateNormal(torch.randn(N, D).double(), scale_tril=factor)
    low_rank = LowRankMultivariateNormal(torch.randn(N, D).double(), torch.randn(N, D, 1).double(), torch.rand(N, D).double() + 0.1)
    for q in (data_set().q, full, low_rank):
        z = q.sample((200_000,))
        trace, _ = trace_of(Latent(z[:2], q, data_set().p))
        torch.testing.assert_close(aggregate_covariance(trace, "II"), torch.cov(z.flatten(0, 1).T), atol=0.02, rtol=0.02)
        torch.testing.assert_close(aggregate_covariance(trace, "I"), torch.cov(q.mean.T, correction=0))


def test_dip_counts_the_pairs_across_levels() -> None:
    """The same level twice is correlated with itself: each covariance appears off the diagonal."""
    latent = data_set()
    trace, batch = trace_of(latent)
    twice = Trace(trace.x, (latent, latent))
    covariance: Tensor = torch.cov(latent.q.mean.T, correction=0)
    penalty = DIP(variant="I", off_diagonal=1.0, diagonal=0.0)(twice, batch).terms["covariance_penalty"][0]
    torch.testing.assert_close(penalty, 4 * covariance.square().sum() - 2 * covariance.diagonal().square().sum())
