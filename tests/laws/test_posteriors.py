"""Every posterior: samples and density agree, gradients flow through the samples, and the KL to every prior is what Monte Carlo says."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Distribution

from vaeworks.distributions import detached
from vaeworks.objectives import analytic_kl, kl_per_dimension
from vaeworks.posteriors import POSTERIORS, Posterior
from vaeworks.priors import PRIORS
from vaeworks.trace import Latent

# One entry per registry line is what a new posterior owes: its knobs.
SMALL = {"hidden": (8,), "context": 3}
CASES: dict[str, list[dict[str, object]]] = {
    "diagonal": [{}],
    "committed": [{}, {"rate": 0.5}],
    "full": [{}],
    "low-rank": [{"rank": 1}, {"rank": 3}],
    "planar": [{}, {"steps": 2}],
    "radial": [{}, {"steps": 2}],
    "iaf": [SMALL, {"transforms": 3, "hidden": (8, 8), "context": 2}, {"transforms": 1, "hidden": (), "context": 0}],
    "maf": [SMALL],
    "spline": [SMALL, {"hidden": (4,), "context": 0}],
    "von-mises-fisher": [{}],
    "wrapped-normal": [{}, {"curvature": 0.3}],
    "point": [{}],
}
NO_DENSITY = {"point"}
DRAWN = {"planar", "radial"}
"""Their density is known at the samples alone."""


def cases(without: set[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("name", "knobs"), [pytest.param(n, k, id=f"{n}-{i}") for n, all_ in CASES.items() if n not in without for i, k in enumerate(all_)]
    )


law, with_density, everywhere = cases(set()), cases(NO_DENSITY), cases(NO_DENSITY | DRAWN)


def build(name: str, knobs: dict[str, object], latent_size: int = 2) -> Posterior:
    """Parameters of its own moved away from where they start."""
    posterior = POSTERIORS[name](latent_size, **knobs).eval()
    with torch.no_grad():
        for parameter in posterior.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return posterior


def q_of(name: str, knobs: dict[str, object], items: int = 3, latent_size: int = 2) -> Distribution:
    posterior = build(name, knobs, latent_size)
    with torch.no_grad():
        return posterior(0.7 * torch.randn(items, *posterior.parameter_shape))


@dataclass(frozen=True)
class Mesh:
    """A fine mesh over the space that two-dimensional codes live in: a plane, a circle, a disc."""

    coordinates: Tensor
    """(P, d), the middles of the mesh's cells."""
    step: Tensor
    """(d,), their sides."""
    to_code: Callable[[Tensor], Tensor]
    """coordinates (P, d) -> codes (P, 2)."""
    log_area: Tensor
    """(P,), log of the measure of a cell's image."""

    @torch.no_grad()
    def mass(self, q: Distribution) -> Tensor:
        """The probability of each cell, (P,), for q of batch shape (1,)."""
        return (q.log_prob(self.to_code(self.coordinates)[:, None])[:, 0] + self.log_area).exp()


def mesh(name: str, q: Distribution, knobs: dict[str, object]) -> Mesh:
    def box(*ranges: tuple[float, float], points: int) -> tuple[Tensor, Tensor]:
        step = torch.tensor([(high - low) / points for low, high in ranges])
        axes = [low + (torch.arange(points) + 0.5) * side for (low, _), side in zip(ranges, step, strict=True)]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2), step

    if name == "von-mises-fisher":
        middles, step = box((-math.pi, math.pi), points=4000)
        return Mesh(middles, step, lambda a: torch.cat([a.cos(), a.sin()], -1), step.log().expand(len(middles)))
    if name == "wrapped-normal":  # polar, the distance from the origin first
        c = float(knobs.get("curvature", 1.0))
        middles, step = box((0, 14 / c**0.5), (-math.pi, math.pi), points=320)
        radius = torch.tanh(c**0.5 * middles[:, 0] / 2) / c**0.5
        log_area = step.log().sum() + (radius * (1 - c * radius**2) / 2).log()
        return Mesh(middles, step, lambda a: torch.tanh(c**0.5 * a[:, :1] / 2) / c**0.5 * torch.cat([a[:, 1:].cos(), a[:, 1:].sin()], -1), log_area)
    samples = q.sample((2000,))[:, 0]
    low, high = samples.min(0).values - 3 * samples.std(0), samples.max(0).values + 3 * samples.std(0)
    middles, step = box(*zip(low.tolist(), high.tolist(), strict=True), points=320)
    return Mesh(middles, step, lambda a: a, step.log().sum().expand(len(middles)))


def test_every_posterior_is_under_law() -> None:
    assert set(CASES) == set(POSTERIORS)


@law
def test_shapes(name: str, knobs: dict[str, object]) -> None:
    q = q_of(name, knobs)
    assert (q.batch_shape, q.event_shape) == ((3,), (2,))
    assert q.rsample().shape == (3, 2)
    z = q.rsample((5,))
    assert z.shape == (5, 3, 2)
    assert q.mean.shape == (3, 2)
    assert torch.equal(q.mean, q.mean)
    if name not in NO_DENSITY:
        assert q.log_prob(z).shape == (5, 3)


@law
@pytest.mark.parametrize("latent_size", [1, 17])
def test_any_latent_size(name: str, knobs: dict[str, object], latent_size: int) -> None:
    if name == "von-mises-fisher" and latent_size == 1:
        with pytest.raises(ValueError, match="latent_size=1: a sphere needs at least two"):
            build(name, knobs, 1)
        return
    q = copy.deepcopy(build(name, knobs, latent_size))(0.5 * torch.randn(3, *build(name, knobs, latent_size).parameter_shape))
    z = q.rsample((2,))
    assert z.shape == (2, 3, latent_size)
    assert z.isfinite().all()
    if name not in NO_DENSITY:
        assert q.log_prob(z).isfinite().all()


@everywhere
def test_integrates_to_one(name: str, knobs: dict[str, object]) -> None:
    q = q_of(name, knobs, items=1)
    assert float(mesh(name, q, knobs).mass(q).sum()) == pytest.approx(1, abs=2e-4)


@everywhere
def test_samples_follow_the_density(name: str, knobs: dict[str, object]) -> None:
    """Chi-square over the cells of a coarse grid."""
    q = q_of(name, knobs, items=1)
    fine = mesh(name, q, knobs)
    samples = q.sample((5000,))[:, 0]
    mass, observed, density = torch.zeros(64), torch.zeros(64), fine.mass(q)
    edges = [torch.quantile(samples[:, d], torch.linspace(0, 1, 9)[1:-1]) for d in range(2)]

    def cell(z: Tensor) -> Tensor:
        return 8 * torch.bucketize(z[:, 0].contiguous(), edges[0]) + torch.bucketize(z[:, 1].contiguous(), edges[1])

    # A Monte Carlo cell boundary cuts mesh cells in two: jitter within a mesh cell spreads its mass over both sides.
    for _ in range(16):
        jittered = fine.coordinates + (torch.rand_like(fine.coordinates) - 0.5) * fine.step
        mass.index_add_(0, cell(fine.to_code(jittered)), density / 16)
    observed.index_add_(0, cell(samples), torch.ones(5000))
    common = mass * 5000 >= 5
    assert common.sum() >= 8
    assert scipy.stats.chisquare(observed[common].numpy(), (mass[common] * observed[common].sum() / mass[common].sum()).numpy()).pvalue > 1e-3


@pytest.mark.parametrize(("name", "knobs"), [pytest.param(n, k, id=f"{n}-{i}") for n in sorted(DRAWN) for i, k in enumerate(CASES[n])])
def test_what_is_known_at_the_samples_is_their_density(name: str, knobs: dict[str, object]) -> None:
    """For any density r, E_q[r(z) / q(z)] = 1: with r a normal of half the samples' covariance. And nowhere else is anything claimed."""
    q = q_of(name, knobs, items=1)
    z = q.sample((20000,))[:, 0]
    r = torch.distributions.MultivariateNormal(z.mean(0), 0.5 * torch.cov(z.T))
    z = q.rsample((20000,))
    ratio = (r.log_prob(z) - q.log_prob(z)).exp()
    assert abs(float(ratio.mean()) - 1) < 4.5 * float(ratio.std()) / 20000**0.5
    assert float(ratio.std()) < 10
    with pytest.raises(NotImplementedError, match="inverse"):
        q.log_prob(z.clone())


@everywhere
def test_the_density_of_a_draw_is_the_density_of_its_value(name: str, knobs: dict[str, object]) -> None:
    posterior = build(name, knobs, 3)
    features = torch.randn(4, *posterior.parameter_shape, requires_grad=True)
    q = posterior(features)
    z = q.rsample((5,))
    torch.testing.assert_close(q.log_prob(z), q.log_prob(z.clone()), atol=1e-8, rtol=1e-8)
    first, second = (torch.autograd.grad(q.log_prob(at).sum(), features, retain_graph=True)[0] for at in (z, z.clone()))
    torch.testing.assert_close(first, second, atol=1e-7, rtol=1e-7)


@everywhere
def test_held_fixed_gradients_reach_z_alone(name: str, knobs: dict[str, object]) -> None:
    """The same density; its gradient by z that of finite differences, and none by features or parameters."""
    posterior = build(name, knobs)
    features = (0.7 * torch.randn(3, *posterior.parameter_shape)).requires_grad_()
    q = posterior(features)
    z = q.rsample((2,)).detach().requires_grad_()
    fixed = detached(q)
    torch.testing.assert_close(fixed.log_prob(z), q.log_prob(z))
    leaves = [features, *posterior.parameters()]
    gradients = torch.autograd.grad(fixed.log_prob(z).sum(), [z, *leaves], allow_unused=True)
    assert gradients[0] is not None
    assert all(gradient is None for gradient in gradients[1:])
    assert all(parameter.requires_grad for parameter in posterior.parameters())
    assert any(g is not None and g.any() for g in torch.autograd.grad(q.log_prob(z).sum(), leaves, allow_unused=True))
    torch.testing.assert_close(gradients[0], torch.autograd.grad(q.log_prob(z).sum(), z)[0], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", sorted(DRAWN | NO_DENSITY))
def test_what_cannot_be_held_fixed_says_so(name: str) -> None:
    with pytest.raises(NotImplementedError, match="held fixed"):
        detached(q_of(name, {}))


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


def known_kl() -> list[object]:
    """Posteriors and priors whose KL torch, or this package, knows in closed form."""
    pairs = [("diagonal", "standard-normal"), ("full", "standard-normal"), ("low-rank", "standard-normal"), ("von-mises-fisher", "sphere")]
    return [pytest.param(name, knobs, prior, id=f"{name}-{i}-{prior}") for name, prior in pairs for i, knobs in enumerate(CASES[name])]


@pytest.mark.parametrize(("name", "knobs", "prior_name"), known_kl())
def test_analytic_kl_is_what_monte_carlo_says(name: str, knobs: dict[str, object], prior_name: str) -> None:
    q, p = q_of(name, knobs, latent_size=3), PRIORS[prior_name](3)()
    latent = Latent(q.rsample((20000,)), q, p)
    sampled = (q.log_prob(latent.z) - p.log_prob(latent.z)).detach()
    error = 4.5 * sampled.std(0) / 20000**0.5
    closed = analytic_kl(latent)
    assert closed is not None
    assert closed.shape == (3,)
    assert ((closed - sampled.mean(0)).abs() < error).all()
    per_dimension = kl_per_dimension(latent).sum(-1)
    per_dimension = per_dimension if per_dimension.dim() == 1 else per_dimension.mean(0)
    assert ((per_dimension - sampled.mean(0)).abs() <= error).all()


@with_density
def test_kl_is_sampled_where_no_closed_form_is_known(name: str, knobs: dict[str, object]) -> None:
    """The sampled KL of a level is log q - log p at its samples, and it is a KL: not below zero in the mean."""
    q, p = q_of(name, knobs), PRIORS["standard-normal"](2)()
    latent = Latent(q.rsample((2000,)), q, p)
    sampled = kl_per_dimension(latent, analytic=False).sum(-1)
    torch.testing.assert_close(sampled, q.log_prob(latent.z) - p.log_prob(latent.z))
    if name not in {"von-mises-fisher", "wrapped-normal"}:
        assert (sampled.mean(0) > -4.5 * sampled.std(0) / 2000**0.5).all()


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
