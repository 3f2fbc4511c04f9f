"""Rows of tables: every kind of column is a probability on the raw scale, with samples, intervals and marginals that belong to it, finite wherever features may go."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from vaeworks.check.rows import column_totals, example_margins
from vaeworks.distributions import Margin, Row, fit_margin
from vaeworks.likelihoods import LIKELIHOODS, TableLikelihood

MARGINS = example_margins()
NAMES = [f"{margin.kind}, step {margin.step:g}" for margin in MARGINS]
N = 4000
KNOBS = [
    {"scale": 0.5},
    {"scale": 0.4, "scale_kind": "column", "quantile_components": 2, "components": 2},
    {"scale": 1.0, "components": 1},
]


def build(**knobs: object) -> TableLikelihood:
    return TableLikelihood((len(MARGINS),), MARGINS, **knobs).eval()


def row(likelihood: TableLikelihood, spread: float = 1.0) -> Row:
    with torch.no_grad():
        return likelihood(spread * torch.randn(likelihood.parameter_shape))


@pytest.mark.parametrize("knobs", KNOBS)
@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0])
def test_every_column_is_a_probability_on_the_raw_scale(knobs: dict[str, object], spread: float) -> None:
    p = row(build(**knobs), spread)
    torch.testing.assert_close(column_totals(p, MARGINS), torch.ones(len(MARGINS)), atol=1e-6, rtol=0)


def test_a_log_probability_is_that_of_the_raw_values_by_scipy() -> None:
    """The noise's own distribution function at the edges of the cell, or its density with the derivative of x."""
    likelihood = build(scale=0.5, components=1)
    p = row(likelihood)
    x = p.sample((50,))
    log_p = p.base.log_prob(x)
    checked = set()
    for columns, group in p.base.groups:
        for place, j in enumerate(columns.tolist()):
            margin = MARGINS[j]
            if margin.kind in ("gaussian", "mixture", "student", "log-normal"):
                loc, scale = group.loc.reshape(-1)[place].item(), group.log_scale.reshape(-1)[place].exp().item()
                loc, scale = (margin.shift + margin.scale * loc, margin.scale * scale)  # on the raw scale, or its logarithm
                free = replace(margin, low=margin.low - 1e6 * margin.step if margin.step else -1e300, high=1e300)
                v = free.to_values(x[:, j].numpy())
                if margin.kind == "log-normal":
                    truth = scipy.stats.lognorm(scale, loc=margin.origin, scale=math.exp(loc))
                else:
                    truth = scipy.stats.t(4, loc, scale) if margin.kind == "student" else scipy.stats.norm(loc, scale)
                if margin.step:
                    left = v > loc  # the tail that is exact
                    a, b = v - margin.step / 2, v + margin.step / 2
                    expected = np.log(np.where(left, truth.sf(a) - truth.sf(b), truth.cdf(b) - truth.cdf(a)))
                else:
                    expected = truth.logpdf(v)
            elif margin.kind == "poisson":
                expected = scipy.stats.poisson(group.log_mean[place].exp().item()).logpmf(x[:, j])
            elif margin.kind in ("negative-binomial", "zero-inflated"):
                mean, r = group.log_mean[place].exp().item(), group.log_r[place].exp().item()
                expected = scipy.stats.nbinom(r, r / (r + mean)).logpmf(x[:, j])
                if margin.kind == "zero-inflated":
                    zero = torch.sigmoid(group.zero_logits[place]).item()
                    expected = np.log(zero * (x[:, j].numpy() == 0) + (1 - zero) * np.exp(expected))
            else:
                continue
            checked.add(margin.kind)
            np.testing.assert_allclose(log_p[:, j].numpy(), expected, rtol=1e-7, atol=1e-7, err_msg=NAMES[j])
    assert len(checked) == 7


@pytest.mark.parametrize("step", [0.0, 1.0])
def test_a_quantile_margin_at_the_start_is_that_of_training(step: float) -> None:
    """Features of zero: its distribution function at every observed value is the share of rows up to there, and its entropy that of the data."""
    generator = np.random.default_rng(1)
    v = np.where(generator.random(20000) < 0.3, 40.0, generator.gamma(4, 10, 20000))
    v = np.rint(v) if step else v
    margin = fit_margin("quantile", v, step=step)
    likelihood = TableLikelihood((1,), (margin,))
    p = likelihood(torch.zeros(likelihood.parameter_shape)).base
    for bound in (5.0, 20.0, 39.0, 40.0, 41.0, 100.0):
        high = torch.from_numpy(margin.to_x(np.array([bound])))
        assert p.log_interval(torch.tensor([-math.inf]), high).exp().item() == pytest.approx((v <= bound).mean(), abs=0.01)
    if step:
        fresh = np.rint(np.where(generator.random(20000) < 0.3, 40.0, generator.gamma(4, 10, 20000)))
        _, counts = np.unique(v, return_counts=True)
        entropy = scipy.stats.entropy(counts)
        score = -p.log_prob(torch.from_numpy(margin.to_x(fresh))[:, None]).mean().item()
        assert score == pytest.approx(entropy, abs=0.03)
        assert score < entropy + 0.02


def test_every_column_starts_at_its_own_training_margin() -> None:
    generator = np.random.default_rng(2)
    counts, categories = generator.poisson(3.0, 500).astype(float), generator.choice(4, 500, p=[0.1, 0.2, 0.3, 0.4])
    zeros = np.where(generator.random(500) < 0.5, 0, generator.negative_binomial(3, 0.2, 500)).astype(float)
    margins = (
        fit_margin("poisson", counts),
        fit_margin("categorical", categories),
        fit_margin("boolean", categories == 0),
        fit_margin("zero-inflated", zeros),
    )
    likelihood = TableLikelihood((4,), margins)
    assert likelihood.discrete
    p = likelihood(torch.zeros(likelihood.parameter_shape))
    assert p.mean[0].item() == pytest.approx(counts.mean())
    assert p.mean[3].item() == pytest.approx(zeros.mean(), rel=0.02)
    assert p.base.log_prob(torch.zeros(4))[3].exp().item() == pytest.approx((zeros == 0).mean(), abs=0.02)
    assert p.base.log_prob(torch.tensor([0.0, 3.0, 1.0, 0.0]))[1:3].exp().tolist() == pytest.approx(
        [(categories == 3).mean(), (categories == 0).mean()], abs=2e-3
    )


def bounds(p: Row) -> tuple[Tensor, Tensor]:
    low, high = p.sample((2,)).sort(0).values
    return low, torch.where(high > low, high, high + 1)


@pytest.mark.parametrize("knobs", KNOBS)
def test_samples_follow_the_probabilities_of_intervals(knobs: dict[str, object]) -> None:
    """Free samples against the distribution function, restricted ones against it within the interval; both through ``log_interval``, which the next test compares with sums."""
    likelihood = build(**knobs)
    features = torch.randn(likelihood.parameter_shape)
    p, many = likelihood(features), likelihood(features.expand(600, -1))
    x = p.sample((N,))
    free = torch.full((len(MARGINS),), math.inf)
    cuts = p.sample((5,)).sort(0).values
    low, high = bounds(p)
    inside = many.base.sample_interval(low, high)
    assert ((inside >= low) & (inside <= high)).all()
    whole = p.base.log_interval(low, high)
    for cut in cuts:
        share = p.base.log_interval(-free, cut).exp()
        error = (share * (1 - share) / N).sqrt()
        assert ((x <= cut + 1e-9).double().mean(0) - share).abs().div(5 * error + 1e-3).max() < 1
        middle = torch.minimum(torch.maximum(cut, low), high)
        share = (p.base.log_interval(low, middle) - whole).exp()
        error = (share * (1 - share) / len(inside)).sqrt()
        assert ((inside <= middle + 1e-9).double().mean(0) - share).abs().div(5 * error + 2e-3).max() < 1


def test_interval_is_the_sum_of_what_lies_within() -> None:
    p = row(build(scale=0.5))
    for j, margin in enumerate(MARGINS):
        if margin.kind in ("categorical", "boolean"):
            x = torch.arange(margin.size).double()
        elif margin.kind == "ordinal":
            x = torch.from_numpy(margin.to_x(margin.knots))
        elif margin.step:
            x = torch.from_numpy(margin.to_x(np.arange(margin.low, margin.low + 60 * margin.step, margin.step)))
        else:
            continue
        full = torch.zeros(len(x), len(MARGINS))
        full[:, j] = x
        log_p = p.base.log_prob(full)[:, j]
        for first, last in ((0, 1), (1, len(x) - 1), (len(x) // 2, len(x) // 2), (0, len(x) - 1)):
            low, high = torch.zeros(len(MARGINS)), torch.zeros(len(MARGINS))
            low[j], high[j] = x[first], x[last]
            for dtype, tolerance in ((torch.float64, 1e-8), (torch.float32, None)):
                if tolerance is None:
                    low, high = low.to(dtype).double(), high.to(dtype).double()  # bounds that float32 has rounded
                total = p.base.log_interval(low, high)[j]
                torch.testing.assert_close(total, log_p[first : last + 1].logsumexp(0), atol=1e-7, rtol=1e-7, msg=NAMES[j])


def test_interval_of_a_density_is_its_integral() -> None:
    """Against a fine sum over raw values, atoms apart."""
    p = row(build(scale=0.7))
    for j, margin in enumerate(MARGINS):
        if margin.step or margin.kind in ("categorical", "boolean"):
            continue
        raw = np.linspace(*np.quantile(p.sample((200,))[:, j].numpy(), [0.3, 0.8]), 2)
        raw = np.linspace(*margin.to_values(raw), 20001)
        atoms = [v for v, a, b in zip(margin.knots, margin.lower, margin.upper, strict=True) if a < b and raw[0] <= v <= raw[-1]]
        middle = np.concatenate([(raw[1:] + raw[:-1]) / 2, atoms])
        full = torch.zeros(len(middle), len(MARGINS))
        full[:, j] = torch.from_numpy(margin.to_x(middle))
        weight = torch.from_numpy(np.concatenate([np.diff(raw), np.ones(len(atoms))]))
        expected = (p.base.log_prob(full)[:, j].exp() * weight).sum()
        low, high = (torch.zeros(len(MARGINS)) + margin.to_x(raw[[end]])[0] for end in (0, -1))
        assert p.base.log_interval(low, high)[j].exp().item() == pytest.approx(expected.item(), abs=1e-4), NAMES[j]


def test_intervals_far_from_the_mean_keep_their_digits() -> None:
    """A normal 1e6 scales away in single precision; the tails of counts."""
    margin = fit_margin("gaussian", np.array([-1.0, 1.0]))
    likelihood = TableLikelihood((1,), (margin,), scale_kind="column").float()
    p = likelihood(torch.zeros(1)).base
    got = [
        p.log_interval(torch.tensor([a]), torch.tensor([b])).item() for a, b in ((-1e6, 0.5), (-3e4, -20.0), (12.0, 1e30), (-1e6, 1e6), (8.0, 8.001))
    ]
    norm = scipy.stats.norm
    expected = [norm.logcdf(0.5), norm.logcdf(-20), norm.logsf(12), 0.0, norm.logpdf(8.0005) + math.log(0.001)]
    assert got == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert p.log_interval(torch.tensor([2.0]), torch.tensor([1.0])).item() == -math.inf
    assert (p.sample_interval(torch.tensor([20.0]), torch.tensor([21.0])) - 20.05).abs().item() < 0.6
    count = TableLikelihood((1,), (fit_margin("poisson", np.full(9, 5.0)),))(torch.zeros(1)).base
    assert count.log_interval(torch.tensor([100.0]), torch.tensor([math.inf])).item() == pytest.approx(scipy.stats.poisson(5).logsf(99), rel=1e-6)
    assert count.sample_interval(torch.tensor([30.0]), torch.tensor([math.inf])).item() >= 30


def test_masking_is_marginalising_and_what_is_missing_reaches_nothing() -> None:
    likelihood = build(scale=0.5)
    features, observed = torch.randn(3, 2, *likelihood.parameter_shape), torch.rand(2, len(MARGINS)) < 0.5
    x = likelihood(features).sample()[0]
    results = []
    for filling in (torch.nan, 0.0, 1e6):
        inputs = features.clone().requires_grad_()
        log_p = likelihood(inputs).marginal(observed).log_prob(x.masked_fill(~observed, filling))
        results.append((log_p, *torch.autograd.grad(log_p.sum(), inputs)))
    assert all(value.isfinite().all() for value in results[0])
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            torch.testing.assert_close(first, second, atol=0, rtol=0)
    p = likelihood(features)
    expected = (p.base.log_prob(x) * observed).sum(-1)
    torch.testing.assert_close(p.marginal(observed).log_prob(x), expected)
    torch.testing.assert_close(p.log_prob(x), p.base.log_prob(x).sum(-1))
    assert (p.batch_shape, p.event_shape) == ((3, 2), (len(MARGINS),))
    assert p.sample((4,)).shape == (4, 3, 2, len(MARGINS))
    assert p.mean.shape == p.mode.shape == p.estimate().shape == (3, 2, len(MARGINS))


@pytest.mark.parametrize("knobs", KNOBS)
def test_gradient_is_that_of_the_density(knobs: dict[str, object]) -> None:
    likelihood = build(**knobs)
    features = torch.randn(2, *likelihood.parameter_shape, requires_grad=True)
    x = likelihood(features).sample()
    assert torch.autograd.gradcheck(lambda f: likelihood(f).base.log_prob(x), features, atol=1e-5)


@pytest.mark.parametrize("knobs", KNOBS)
@pytest.mark.parametrize("size", [0.0, 30.0, 100.0])
def test_finite_at_the_extremes_in_single_precision(knobs: dict[str, object], size: float) -> None:
    likelihood = build(**knobs).float()
    features = (size * torch.randint(0, 2, (8, *likelihood.parameter_shape)).mul(2).sub(1)).float().requires_grad_()
    p = likelihood(features)
    for place in (-10.0, 0.0, 1.0, 10.0, 1e6):
        log_p = p.log_prob(torch.full((len(MARGINS),), place))
        gradients = torch.autograd.grad(log_p.sum(), [features, *likelihood.parameters()], retain_graph=True)
        assert all(value.isfinite().all() for value in (log_p, *gradients))
    free = torch.full((len(MARGINS),), math.inf)
    assert all(value.isfinite().all() for value in (p.mean, p.mode, p.estimate(), p.sample(), p.base.sample_interval(-free, free)))
    torch.testing.assert_close(p.base.log_interval(-free, free), torch.zeros(8, len(MARGINS)), atol=1e-5, rtol=0)


def test_medians_halve_and_modes_are_likely() -> None:
    p = row(build(scale=0.5))
    x, median = p.sample((N,)), p.base.median
    numbers = [j for j, margin in enumerate(MARGINS) if margin.kind not in ("categorical", "boolean")]
    assert ((x <= median + 1e-9).double().mean(0)[numbers] > 0.5 - 0.04).all()
    assert ((x >= median - 1e-9).double().mean(0)[numbers] > 0.5 - 0.04).all()
    modes = p.base.log_prob(p.mode)
    symbols = [j for j, margin in enumerate(MARGINS) if margin.kind in ("categorical", "boolean", "poisson", "negative-binomial", "zero-inflated")]
    assert (modes >= p.base.log_prob(x) - 1e-9).all(0)[symbols].all()
    even = [j for j, margin in enumerate(MARGINS) if margin.kind in ("gaussian", "student", "mixture", "ordinal")]  # of others the mode is that of x
    assert (modes >= p.base.log_prob(x).median(0).values)[even].all()


def test_single_precision_agrees_with_double() -> None:
    likelihood = build(scale=0.5)
    features = torch.randn(50, *likelihood.parameter_shape)
    x = likelihood(features).sample().float().double()
    exact = likelihood(features).base.log_prob(x)
    single = build(scale=0.5).float()(features.float()).base.log_prob(x.float())
    torch.testing.assert_close(single.double(), exact, atol=2e-3, rtol=1e-4)


def test_knobs_and_margins_that_do_not_fit() -> None:
    assert LIKELIHOODS["table"] is TableLikelihood
    with pytest.raises(ValueError, match="need 2 margins, not 1"):
        TableLikelihood((2,), (Margin("boolean", size=2),))
    mixed = build()
    assert not mixed.discrete
    assert TableLikelihood((1,), (fit_margin("ordinal", [1.0, 2.0]),)).discrete
    state = {name: value + 0.1 for name, value in build(**KNOBS[1]).state_dict().items()}
    other = build(**KNOBS[1])
    other.load_state_dict(state)
    assert len(state) > 0
