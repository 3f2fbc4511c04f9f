"""Every likelihood: a probability over its support, with samples, mean and marginals that belong to it, finite wherever features may go."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from vaeworks.check.normalisation import log_total
from vaeworks.check.quadrature import Support, nodes, product
from vaeworks.distributions import Observable
from vaeworks.likelihoods import LIKELIHOODS, Likelihood


@dataclass(frozen=True)
class Case:
    """A likelihood small enough to visit all of its support."""

    support: Support
    levels: int
    event: tuple[int, ...] = (2, 1, 1)
    knobs: dict[str, Any] = field(default_factory=dict)


# One entry per registry line is what a new likelihood owes.
CASES: dict[str, list[Case]] = {
    "bernoulli": [Case("levels", 2, (2, 2, 2))],
    "continuous-bernoulli": [Case("unit", 0)],
    "gaussian": [Case("real", 0, knobs={"scale_kind": kind, "scale": 0.4}) for kind in ("scalar", "pixel", "optimal", "fixed")],
    "laplace": [Case("real", 0, knobs={"scale": 0.7})],
    "discretised-logistic": [Case("levels", 256), Case("levels", 5, (1, 2, 2), {"per_pixel": True}), Case("levels", 2, knobs={"scale": 1e-4})],
    "discretised-logistic-mixture": [Case("levels", 64, knobs={"components": 3}), Case("levels", 4, (2, 1, 2), {"components": 2})],
    "categorical": [Case("levels", 16), Case("levels", 3, (2, 2))],
    "sound": [
        Case("real", 0),
        Case("real", 0, (2, 1), {"noise": "laplace", "scale_kind": "shared", "scale": 0.7}),
    ],  # one place in time; of more in test_sound.py
}
ALL = [pytest.param(name, case, id=f"{name}-{i}") for name, cases in CASES.items() for i, case in enumerate(cases)]
law = pytest.mark.parametrize(("name", "case"), ALL)


def build(name: str, case: Case) -> Likelihood:
    return LIKELIHOODS[name](case.event, case.levels, **case.knobs).eval()


def extreme(shape: tuple[int, ...], size: float) -> Tensor:
    return size * torch.randint(0, 2, shape).mul(2).sub(1).to(torch.get_default_dtype())


def distributions(name: str, case: Case) -> list[Observable]:
    """Ordinary, wide and extreme features, batch shape ()."""
    likelihood = build(name, case)
    shape = likelihood.parameter_shape
    features = [torch.randn(shape), 5 * torch.randn(shape), extreme(shape, 30.0), extreme(shape, 100.0)]
    with torch.no_grad():
        return [likelihood(f) for f in features]


def points(p: Observable, case: Case) -> tuple[Tensor, Tensor]:
    """All of the support, (P, *event), and log weights (P,)."""
    rules = [nodes(case.support, levels=case.levels, centre=centre) for centre in p.mean.flatten().tolist()]
    x, log_weight = product(rules)
    return x.reshape(-1, *case.event), log_weight


def test_every_likelihood_is_under_law() -> None:
    assert set(CASES) | {"tokens", "table"} == set(LIKELIHOODS)  # of tokens in test_sequences.py, of tables in test_tables.py


@law
def test_sums_to_one(name: str, case: Case) -> None:
    for p in distributions(name, case):
        assert log_total(p, case.support, case.levels).item() == pytest.approx(0, abs=1e-7)


@law
def test_mean_is_the_mean(name: str, case: Case) -> None:
    for p in distributions(name, case)[:3]:
        x, log_weight = points(p, case)
        probability = (p.log_prob(x) + log_weight).exp()
        expected = (probability[:, None] * x.flatten(1)).sum(0)
        torch.testing.assert_close(p.mean.flatten(), expected, atol=1e-6, rtol=1e-6)


@law
def test_masking_is_marginalising(name: str, case: Case) -> None:
    """log p of what was observed = log of the sum or integral of p(x) over what was not."""
    for p in distributions(name, case)[:3]:
        x = p.sample()
        for _ in range(3):
            observed = torch.rand(case.event) < 0.5
            holes = x.masked_fill(~observed, torch.nan)
            expected = log_total(p, case.support, case.levels, given=holes)
            torch.testing.assert_close(p.marginal(observed).log_prob(holes), expected, atol=1e-7, rtol=1e-7)


@law
def test_terms_add_up(name: str, case: Case) -> None:
    """What each coordinate adds is the log-probability together, and nothing where nothing is observed."""
    for p in distributions(name, case)[:3]:
        x, observed = p.sample((3,)), torch.rand(3, *case.event) < 0.5
        torch.testing.assert_close(p.terms(x).flatten(1).sum(1), p.log_prob(x))
        part, holes = p.marginal(observed), x.masked_fill(~observed, torch.nan)
        assert part.terms(holes).shape == x.shape
        torch.testing.assert_close(part.terms(holes).flatten(1).sum(1), part.log_prob(holes))
        assert (part.terms(holes)[~observed] == 0).all()


@law
def test_all_observed_changes_nothing_and_nothing_observed_is_certain(name: str, case: Case) -> None:
    p = distributions(name, case)[0]
    x, everything = p.sample(), torch.ones(case.event, dtype=torch.bool)
    torch.testing.assert_close(p.marginal(everything).log_prob(x), p.log_prob(x))
    torch.testing.assert_close(p.marginal(None).log_prob(x), p.log_prob(x))
    assert p.marginal(~everything).log_prob(torch.full(case.event, torch.nan)).item() == 0


@law
@pytest.mark.parametrize("training", [True, False])
def test_what_is_missing_reaches_neither_value_nor_gradient(name: str, case: Case, training: bool) -> None:
    likelihood = build(name, case).train(training)
    shape = (3, 2, *likelihood.parameter_shape)  # K, B
    features = torch.randn(shape)
    observed = torch.rand(2, *case.event) < 0.5
    x = likelihood(features).sample()[0]
    results = []
    for filling in (torch.nan, 0.0, 1e6):
        inputs = features.clone().requires_grad_()
        log_p = likelihood(inputs).marginal(observed).log_prob(x.masked_fill(~observed, filling))
        leaves = [inputs, *likelihood.parameters()]
        results.append([log_p, *torch.autograd.grad(log_p.sum(), leaves, allow_unused=True, materialize_grads=True)])
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert first.isfinite().all()
            torch.testing.assert_close(first, second, atol=0, rtol=0)


@law
@pytest.mark.parametrize("size", [0.0, 30.0, 100.0])
def test_finite_at_the_extremes_in_single_precision(name: str, case: Case, size: float) -> None:
    likelihood = build(name, case).float()
    features = extreme((8, *likelihood.parameter_shape), size).float().requires_grad_()
    places = {"levels": [0.0, 1.0], "unit": [0.0, 0.5, 1.0], "real": [-10.0, 0.0, 1.0, 10.0]}[case.support]
    for place in places:
        log_p = likelihood(features).log_prob(torch.full(case.event, place))
        gradients = torch.autograd.grad(log_p.sum(), [features, *likelihood.parameters()], allow_unused=True, materialize_grads=True)
        assert all(value.isfinite().all() for value in (log_p, *gradients))
    p = likelihood(features)
    assert all(value.isfinite().all() for value in (p.mean, p.mode, p.sample()))


@law
def test_gradient_is_that_of_the_density(name: str, case: Case) -> None:
    likelihood = build(name, case)
    features = torch.randn(2, *likelihood.parameter_shape, requires_grad=True)
    x = likelihood(features).sample()
    assert torch.autograd.gradcheck(lambda f: likelihood(f).log_prob(x), features, atol=1e-6)


@law
def test_samples_follow_the_density(name: str, case: Case) -> None:
    p = distributions(name, case)[0]
    samples = p.sample((5000,))
    assert samples.shape == (5000, *case.event)
    if case.support == "levels":
        p_value = chi_square(p, case, samples)
    else:
        p_value = min(kolmogorov_smirnov(p, case, samples, i) for i in range(samples[0].numel()))
    assert p_value > 1e-3


def chi_square(p: Observable, case: Case, samples: Tensor) -> float:
    """Of whole items against p by enumeration, rare items taken together."""
    n = samples[0].numel()
    x, _ = points(p, case)
    base = (case.levels ** torch.arange(n - 1, -1, -1)).to(x)  # the order of the product rule
    counts = torch.bincount(((samples.flatten(1) * (case.levels - 1)).round() @ base).long(), minlength=len(x)).numpy()
    expected = len(samples) * p.log_prob(x).exp().numpy()
    common = expected >= 5
    observed, expected = (np.append(values[common], values[~common].sum()) for values in (counts, expected))
    kept = expected > 1e-6
    assert observed[~kept].sum() == 0
    if kept.sum() == 1:  # all mass on one item
        return 1.0
    return float(scipy.stats.chisquare(observed[kept], expected[kept] * observed[kept].sum() / expected[kept].sum()).pvalue)


def kolmogorov_smirnov(p: Observable, case: Case, samples: Tensor, i: int) -> float:
    """Of coordinate i against the integral of its marginal density."""
    observed = torch.zeros(samples[0].numel(), dtype=torch.bool)
    observed[i] = True
    x, weight = nodes(case.support, centre=p.mean.flatten()[i].item())
    grid = torch.zeros(len(x), len(observed)).index_fill(1, torch.tensor([i]), 1) * x[:, None]
    density = p.marginal(observed.reshape(case.event)).log_prob(grid.reshape(-1, *case.event)).exp()
    mass = (density * weight).numpy()
    distribution_function = mass.cumsum() - mass / 2
    values = samples.flatten(1)[:, i].numpy()
    return float(scipy.stats.kstest(values, lambda t: np.interp(t, x.numpy(), distribution_function)).pvalue)


@law
def test_mode_is_no_less_probable_than_the_samples_typically_are(name: str, case: Case) -> None:
    p = distributions(name, case)[0]
    assert p.mode.shape == case.event
    assert p.log_prob(p.mode) >= p.log_prob(p.sample((1001,))).median()


@law
def test_batch_shape_is_samples_by_items(name: str, case: Case) -> None:
    """Features (K, B, ...) and x (B, ...) give (K, B), entry by entry; the mask is per item."""
    likelihood = build(name, case)
    features = torch.randn(3, 2, *likelihood.parameter_shape)
    with torch.no_grad():
        p = likelihood(features)
        assert (p.batch_shape, p.event_shape) == ((3, 2), case.event)
        x, observed = p.sample()[0], torch.rand(2, *case.event) < 0.6
        together = p.marginal(observed).log_prob(x)
        apart = [[likelihood(features[k, b]).marginal(observed[b]).log_prob(x[b]) for b in range(2)] for k in range(3)]
    torch.testing.assert_close(together, torch.stack([torch.stack(row) for row in apart]))
    assert p.sample((4,)).shape == (4, 3, 2, *case.event)
    assert p.mean.shape == p.mode.shape == (3, 2, *case.event)


@law
def test_coordinates_multiply_to_the_whole(name: str, case: Case) -> None:
    p = distributions(name, case)[0]
    try:
        coordinates = p.coordinates()
    except NotImplementedError:
        pytest.skip("coordinates depend on each other")
    x = p.sample()
    torch.testing.assert_close(coordinates.log_prob(x).sum(), p.log_prob(x))


@law
def test_state_round_trips(name: str, case: Case) -> None:
    first, second = build(name, case), build(name, case)
    with torch.no_grad():
        for value in first.state_dict().values():
            value.add_(0.1)
    second.load_state_dict(first.state_dict())
    features = torch.randn(first.parameter_shape)
    x = first(features).sample()
    torch.testing.assert_close(second(features).log_prob(x), first(features).log_prob(x), atol=0, rtol=0)


def test_optimal_variance_is_the_mean_square_of_what_was_observed() -> None:
    """In training the variance is the batch's own, missing coordinates apart; in evaluation it is the running one."""
    likelihood = LIKELIHOODS["gaussian"]((3,), 0, scale_kind="optimal", scale=0.5)
    x, features = torch.randn(4, 3), torch.randn(2, 4, 3)
    observed = torch.tensor([[True, True, False]]).expand(4, 3)
    variance = (x - features)[..., :2].square().mean()
    expected = torch.distributions.Normal(features, variance.sqrt()).log_prob(x)[..., :2].sum(-1)
    torch.testing.assert_close(likelihood(features).marginal(observed).log_prob(x.masked_fill(~observed, torch.nan)), expected)
    running = 0.95 * 0.25 + 0.05 * variance
    torch.testing.assert_close(likelihood.variance, running)
    expected = torch.distributions.Normal(features, running.sqrt()).log_prob(x).sum(-1)
    torch.testing.assert_close(likelihood.eval()(features).log_prob(x), expected)


def test_a_step_that_is_not_finite_leaves_the_optimal_variance_as_it_was() -> None:
    likelihood = LIKELIHOODS["gaussian"]((3,), 0, scale_kind="optimal", scale=0.5)
    assert likelihood(torch.full((1, 4, 3), torch.nan)).log_prob(torch.randn(4, 3)).isnan().all()
    torch.testing.assert_close(likelihood.variance, torch.tensor(0.25))
