"""Every posterior: samples and density agree, gradients flow through the samples, and the KL to every prior is what Monte Carlo says."""

import math

import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Distribution

from vaeworks.objectives import analytic_kl, kl_per_dimension
from vaeworks.posteriors import POSTERIORS, Posterior
from vaeworks.priors import PRIORS
from vaeworks.trace import Latent

# One entry per registry line is what a new posterior owes: its knobs.
CASES: dict[str, list[dict[str, object]]] = {"diagonal": [{}], "point": [{}]}
NO_DENSITY = {"point"}
law = pytest.mark.parametrize(("name", "knobs"), [pytest.param(n, k, id=f"{n}-{i}") for n, all_ in CASES.items() for i, k in enumerate(all_)])
with_density = pytest.mark.parametrize(
    ("name", "knobs"), [pytest.param(n, k, id=f"{n}-{i}") for n, all_ in CASES.items() if n not in NO_DENSITY for i, k in enumerate(all_)]
)


def build(name: str, knobs: dict[str, object], latent_size: int = 2) -> Posterior:
    return POSTERIORS[name](latent_size, **knobs).eval()


def q_of(name: str, knobs: dict[str, object], items: int = 3, latent_size: int = 2) -> Distribution:
    posterior = build(name, knobs, latent_size)
    with torch.no_grad():
        return posterior(0.7 * torch.randn(items, *posterior.parameter_shape))


def plane(q: Distribution) -> tuple[Tensor, Tensor, float]:
    """A fine grid over two dimensions, (R, R, 2); log density there at the first item, (R, R); the area of a cell."""
    samples = q.sample((2000,))[:, 0]
    low, high = samples.min(0).values - 3 * samples.std(0), samples.max(0).values + 3 * samples.std(0)
    axes = [torch.linspace(float(a), float(b), 401) for a, b in zip(low, high, strict=True)]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    log_p = q.log_prob(grid.reshape(-1, 1, 2).expand(-1, q.batch_shape[0], 2))[:, 0].reshape(401, 401)
    return grid, log_p, math.prod(float(axis[1] - axis[0]) for axis in axes)


def test_every_posterior_is_under_law() -> None:
    assert set(CASES) == set(POSTERIORS)


@law
def test_shapes(name: str, knobs: dict[str, object]) -> None:
    q = q_of(name, knobs)
    assert (q.batch_shape, q.event_shape) == ((3,), (2,))
    assert q.rsample((5,)).shape == (5, 3, 2)
    assert q.mean.shape == (3, 2)


@with_density
def test_integrates_to_one(name: str, knobs: dict[str, object]) -> None:
    _, log_p, area = plane(q_of(name, knobs))
    assert float(log_p.exp().sum() * area) == pytest.approx(1, abs=1e-4)


@with_density
def test_samples_follow_the_density(name: str, knobs: dict[str, object]) -> None:
    """Chi-square over the cells of a coarse grid."""
    q = q_of(name, knobs)
    grid, log_p, area = plane(q)
    samples = q.sample((5000,))[:, 0]
    mass, observed = torch.zeros(64), torch.zeros(64)
    edges = [torch.quantile(samples[:, d], torch.linspace(0, 1, 9)[1:-1]) for d in range(2)]

    def cell(z: Tensor) -> Tensor:
        return 8 * torch.bucketize(z[..., 0].contiguous(), edges[0]) + torch.bucketize(z[..., 1].contiguous(), edges[1])

    # A Monte Carlo cell boundary cuts grid cells in two: jitter within a grid cell spreads its mass over both sides.
    step = grid[1, 1] - grid[0, 0]
    for _ in range(16):
        jittered = grid + (torch.rand_like(grid) - 0.5) * step
        mass.index_add_(0, cell(jittered).flatten(), (log_p.exp() * area / 16).flatten())
    observed.index_add_(0, cell(samples), torch.ones(5000))
    common = mass * 5000 >= 5
    assert scipy.stats.chisquare(observed[common].numpy(), (mass[common] * observed[common].sum() / mass[common].sum()).numpy()).pvalue > 1e-3


@law
def test_mean_is_the_mean_of_the_samples(name: str, knobs: dict[str, object]) -> None:
    q = q_of(name, knobs)
    samples = q.rsample((20000,))
    error = samples.std(0) / 20000**0.5
    assert ((samples.mean(0) - q.mean).abs() <= 4.5 * error + 1e-9).all()


@law
def test_gradient_flows_through_the_samples(name: str, knobs: dict[str, object]) -> None:
    """Against finite differences under the same noise."""
    posterior = build(name, knobs)

    def function(features: Tensor) -> Tensor:
        torch.manual_seed(7)
        return torch.sin(posterior(features).rsample((4,))).sum(0)

    features = (0.5 * torch.randn(3, *posterior.parameter_shape)).requires_grad_()
    assert torch.autograd.gradcheck(function, features, atol=1e-6)
    (gradient,) = torch.autograd.grad(function(features).sum(), features)
    assert (gradient != 0).all()


@law
def test_finite_whatever_the_features(name: str, knobs: dict[str, object]) -> None:
    posterior = build(name, knobs).float()
    for size in (30.0, 100.0, -100.0):
        features = torch.full((2, *posterior.parameter_shape), size, dtype=torch.float32, requires_grad=True)
        q = posterior(features)
        z = q.rsample((3,))
        total = z.sum() if name in NO_DENSITY else z.sum() + q.log_prob(z).sum()
        (gradient,) = torch.autograd.grad(total, features)
        assert total.isfinite()
        assert gradient.isfinite().all()


@law
def test_state_round_trips_and_items_do_not_meet(name: str, knobs: dict[str, object]) -> None:
    first, second = build(name, knobs), build(name, knobs)
    second.load_state_dict(first.state_dict())
    features = torch.randn(3, *first.parameter_shape)
    torch.testing.assert_close(second(features).mean, first(features).mean, atol=0, rtol=0)
    torch.testing.assert_close(first(features[1:2]).mean, first(features).mean[1:2])


@with_density
@pytest.mark.parametrize("prior_name", PRIORS)
def test_analytic_kl_is_what_monte_carlo_says(name: str, knobs: dict[str, object], prior_name: str) -> None:
    q, p = q_of(name, knobs, latent_size=3), PRIORS[prior_name](3)()
    latent = Latent(q.rsample((20000,)), q, p)
    sampled = (q.log_prob(latent.z) - p.log_prob(latent.z)).detach()
    error = 4.5 * sampled.std(0) / 20000**0.5
    closed = analytic_kl(latent)
    if closed is not None:
        assert closed.shape == (3,)
        assert ((closed - sampled.mean(0)).abs() < error).all()
    per_dimension = kl_per_dimension(latent).sum(-1)
    per_dimension = per_dimension if per_dimension.dim() == 1 else per_dimension.mean(0)
    assert ((per_dimension - sampled.mean(0)).abs() <= error).all()


@pytest.mark.parametrize("name", sorted(NO_DENSITY))
def test_what_has_no_density_says_so(name: str) -> None:
    q = q_of(name, {})
    with pytest.raises(NotImplementedError, match="no density"):
        q.log_prob(q.rsample())
    assert analytic_kl(Latent(q.rsample((1,)), q, PRIORS["standard-normal"](2)())) is None


def test_diagonal_normal_kl_against_its_closed_form() -> None:
    """KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1) / 2 - log s, per dimension (Kingma & Welling 2014, appendix B)."""
    q = q_of("diagonal", {}, latent_size=4)
    latent = Latent(q.rsample((2,)), q, PRIORS["standard-normal"](4)())
    expected = (q.mean.square() + q.stddev.square() - 1) / 2 - q.stddev.log()
    torch.testing.assert_close(kl_per_dimension(latent), expected)
    torch.testing.assert_close(analytic_kl(latent), expected.sum(-1))
