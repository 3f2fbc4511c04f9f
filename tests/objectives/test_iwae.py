"""Importance-weighted bounds: their order, and the gradients of every estimator against the exact gradient of the bound, by quadrature."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, Laplace, MixtureSameFamily, Normal

from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.model import VAE
from vaeworks.objectives import CIWAE, ELBO, IWAE, MIWAE, PIWAE, Objective
from vaeworks.posteriors import POSTERIORS
from vaeworks.trace import Batch, Latent, Trace

pytestmark = pytest.mark.usefixtures("exact")


def bound(vae: VAE, x: Tensor, beta: float = 1.0, samples: int = 2) -> Tensor:
    """E[log 1/K sum_k w_k] for one latent dimension and K of 1 or 2, exact and differentiable: Gauss-Hermite quadrature over the noise."""
    node, weight = (torch.from_numpy(t) for t in np.polynomial.hermite_e.hermegauss(48))
    weight = weight / weight.sum()
    q = vae.encoder(x)
    z = q.mean + q.stddev * node[:, None, None]
    log_w = vae.decoder(z).log_prob(x) + beta * (Normal(0, 1).log_prob(z) - Normal(q.mean, q.stddev).log_prob(z)).sum(-1)
    if samples == 1:
        return (weight @ log_w).mean()
    pairs = torch.logaddexp(log_w[:, None], log_w[None]) - math.log(2)
    return torch.einsum("i,j,ijb->b", weight, weight, pairs).mean()


def halves(vae: VAE, value: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of encoder and decoder, each in a row."""
    parts = [list(half.parameters()) for half in (vae.encoder, vae.decoder)]
    gradients = torch.autograd.grad(value, [*parts[0], *parts[1]])
    split = len(parts[0])
    return torch.cat([g.flatten() for g in gradients[:split]]), torch.cat([g.flatten() for g in gradients[split:]])


def sampled(vae: VAE, x: Tensor, objective: Objective, repeats: int = 250) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Mean gradients of encoder and decoder, and the standard errors of the means."""
    batch = Batch(x.repeat(40, 1))
    draws = [halves(vae, objective(vae(batch, objective.samples), batch).value) for _ in range(repeats)]
    encoder, decoder = (torch.stack(half) for half in zip(*draws, strict=True))
    return (encoder.mean(0), decoder.mean(0)), (encoder.std(0) / repeats**0.5, decoder.std(0) / repeats**0.5)


def agree(mean: Tensor, error: Tensor, expected: Tensor) -> None:
    assert expected.abs().max() > 0.1
    assert error.max() < 0.2 * expected.abs().max()
    assert ((mean - expected).abs() < 4.5 * error + 1e-9).all()


def off() -> tuple[VAE, Tensor]:
    """A posterior that is too wide and off centre."""
    model = LinearGaussian.random(3, 1, scale=0.8)
    return model.vae(inflate=1.6, shift=0.8), model.sample(3)


@pytest.mark.parametrize(
    ("objective", "beta", "samples"),
    [
        (IWAE(samples=2), 1.0, 2),
        (IWAE(samples=2, gradient="dreg"), 1.0, 2),
        (IWAE(samples=2, gradient="dreg", beta=0.4), 0.4, 2),
        (IWAE(samples=1, gradient="dreg"), 1.0, 1),
        (ELBO(samples=3, gradient="stl"), 1.0, 1),
        (ELBO(gradient="stl", beta=0.4), 0.4, 1),
        (MIWAE(samples=2, groups=2), 1.0, 2),
    ],
    ids=repr,
)
def test_the_mean_gradient_is_the_bounds(objective: Objective, beta: float, samples: int) -> None:
    vae, x = off()
    expected = halves(vae, -bound(vae, x, beta, samples))
    means, errors = sampled(vae, x, objective)
    for mean, error, exact in zip(means, errors, expected, strict=True):
        agree(mean, error, exact)


def test_piwae_teaches_the_encoder_by_the_groups_and_the_decoder_by_all() -> None:
    """Two groups of one sample: the encoder's gradient is the ELBO's, the decoder's that of the two-sample bound, and they differ."""
    vae, x = off()
    loose, tight = halves(vae, -bound(vae, x, samples=1)), halves(vae, -bound(vae, x, samples=2))
    means, errors = sampled(vae, x, PIWAE(samples=1, groups=2))
    agree(means[0], errors[0], loose[0])
    agree(means[1], errors[1], tight[1])
    assert ((means[0] - tight[0]).abs() > 9 * errors[0]).any()
    assert ((means[1] - loose[1]).abs() > 9 * errors[1]).any()


@pytest.mark.parametrize(("inflate", "shift", "ratio"), [(1.0, 0.0, 0.0), (1.02, 0.02, 0.05), (1.6, 0.8, 0.8)])
@pytest.mark.parametrize(
    ("plain", "better"), [(ELBO(), ELBO(gradient="stl")), (IWAE(samples=5), IWAE(samples=5, gradient="dreg"))], ids=["stl", "dreg"]
)
def test_the_better_gradient_of_the_encoder_varies_less(plain: Objective, better: Objective, inflate: float, shift: float, ratio: float) -> None:
    """Nothing at all at the exact posterior; little near it."""
    model = LinearGaussian.random(4, 2)
    vae, batch = model.vae(inflate=inflate, shift=shift), Batch(model.sample(3))
    spreads = []
    for objective in (plain, better):
        draws = [halves(vae, objective(vae(batch, objective.samples), batch).value)[0] for _ in range(100)]
        spreads.append(float(torch.stack(draws).var(0).sum()))
    assert spreads[0] > 1e-3
    assert spreads[1] <= ratio * spreads[0] + 1e-20


def test_the_decoders_gradient_is_the_same_under_the_same_noise() -> None:
    vae, x = off()
    rows = []
    for objective in (IWAE(samples=4), IWAE(samples=4, gradient="dreg"), PIWAE(samples=2, groups=2)):
        torch.manual_seed(1)
        loss = objective(vae(Batch(x), 4), Batch(x))
        rows.append(torch.cat([loss.value.detach()[None], halves(vae, loss.value)[1]]))
    torch.testing.assert_close(rows[1], rows[0])
    torch.testing.assert_close(rows[2], rows[0])


def test_bounds_are_in_order() -> None:
    """ELBO <= IWAE_2 <= IWAE_3 ... <= log p(x), strictly away from the exact posterior; the mixtures between those that they mix."""
    model = LinearGaussian.random(4, 2)
    vae, batch = model.vae(inflate=1.6, shift=0.6), Batch(model.sample(4).repeat(4000, 1))
    with torch.no_grad():
        bounds = [IWAE()(vae(batch, k), batch).terms["iwae"].mean() for k in (1, 2, 3, 5, 8, 64)]
        mixed = MIWAE(samples=2, groups=4)(vae(batch, 8), batch).terms
        combined = CIWAE(samples=8, share=0.5)(vae(batch, 8), batch).terms
    assert all(low < high for low, high in pairwise([*bounds, model.log_prob(batch.x[:4]).mean()]))
    assert float(mixed["miwae"].mean()) == pytest.approx(float(bounds[1]), abs=0.03)
    assert float(mixed["iwae"].mean()) == pytest.approx(float(bounds[4]), abs=0.03)
    torch.testing.assert_close(combined["ciwae"], (combined["elbo"].mean(0) + combined["iwae"]) / 2)


@pytest.mark.parametrize(
    "objective", [IWAE(beta=0.3), IWAE(beta=0.3, gradient="dreg"), MIWAE(beta=0.3), PIWAE(beta=0.3), CIWAE(beta=0.3)], ids=lambda o: type(o).__name__
)
def test_at_the_exact_posterior_every_reported_bound_is_log_p_whatever_beta(objective: Objective) -> None:
    model = LinearGaussian.random(4, 2)
    batch = Batch(model.sample(3))
    terms = objective(model.vae()(batch, 6), batch, weight=0.1).terms
    for name in {"elbo", "iwae", "miwae", "ciwae"} & set(terms):
        torch.testing.assert_close(terms[name], model.log_prob(batch.x).expand_as(terms[name]))


@pytest.mark.parametrize(("samples", "groups"), [(1, 1), (2, 2), (3, 1), (4, 4), (6, 2), (8, 4)])
def test_groups_are_as_many_as_divide_the_samples(samples: int, groups: int) -> None:
    vae, x = off()
    trace = vae(Batch(x), samples)
    log_w = trace.log_weight(Batch(x)).detach()
    by_hand = torch.stack([group.logsumexp(0) - math.log(len(group)) for group in log_w.chunk(groups)]).mean(0)
    torch.testing.assert_close(MIWAE(samples=2, groups=4)(trace, Batch(x)).terms["miwae"], by_hand)


def tower(features: Tensor, samples: int) -> tuple[Trace, Batch]:
    """z1 ~ N(0, 1), z2 ~ N(0.8 z1, 1), x ~ N(1.5 z2, 0.7^2), one number each; q as ``features`` (B, 5) say: m, log s of z1; slope, offset, log s of z2 given z1."""
    m1, s1, slope, offset, s2 = features.unsqueeze(-1).unbind(1)
    q1 = Independent(Normal(m1, s1.exp()), 1)
    z1 = q1.rsample((samples,))
    q2 = Independent(Normal(slope * z1 + offset, s2.exp().expand_as(z1)), 1)
    z2 = q2.rsample()
    p1, p2 = Independent(Normal(torch.zeros(1), torch.ones(1)), 1), Independent(Normal(0.8 * z1, torch.ones_like(z1)), 1)
    batch = Batch(torch.tensor([[1.3], [-0.4]]).repeat(len(features) // 2, 1))
    return Trace(Independent(Normal(1.5 * z2, 0.7), 1), (Latent(z1, q1, p1), Latent(z2, q2, p2))), batch


def exact_tower() -> Tensor:
    """The features of the exact posterior, (2, 5), by Bayes' rule for normals."""
    x = torch.tensor([1.3, -0.4])
    precision = 1 + 1.5**2 / 0.49  # of z2 given z1 and x
    noise = 0.49 + 1.5**2  # of x given z1
    top = 1 + 1.2**2 / noise
    rows = [1.2 / noise * x / top, torch.full((2,), -0.5 * math.log(top)), torch.full((2,), 0.8 / precision)]
    return torch.stack([*rows, 1.5 / 0.49 * x / precision, torch.full((2,), -0.5 * math.log(precision))], 1)


@pytest.mark.parametrize("objective", [ELBO(analytic=False, gradient="stl"), IWAE(samples=4, gradient="dreg")], ids=["stl", "dreg"])
def test_in_a_hierarchy_too_the_gradient_vanishes_at_the_exact_posterior(objective: Objective) -> None:
    features = exact_tower().requires_grad_()
    loss = objective(*tower(features, objective.samples))
    exact = Normal(0, math.sqrt(1.5**2 * 1.64 + 0.49)).log_prob(torch.tensor([1.3, -0.4]))
    torch.testing.assert_close(loss.terms["elbo"].mean(0), exact)
    (gradient,) = torch.autograd.grad(loss.value, features)
    assert gradient.abs().max() < 1e-12
    (plain,) = torch.autograd.grad(IWAE(samples=4)(*tower(features, 4)).value, features)
    assert plain.abs().max() > 1e-3


@pytest.mark.parametrize(
    ("plain", "better"),
    [
        (ELBO(analytic=False), ELBO(gradient="stl")),
        (IWAE(samples=3), IWAE(samples=3, gradient="dreg")),
        (IWAE(samples=3, beta=0.5), IWAE(samples=3, gradient="dreg", beta=0.5)),
        (MIWAE(samples=2, groups=2), PIWAE(samples=2, groups=2)),
    ],
    ids=["stl", "dreg", "dreg, beta", "piwae"],
)
def test_in_a_hierarchy_too_the_mean_gradient_is_the_bounds(plain: Objective, better: Objective) -> None:
    """Of 40,000 copies of two items, each with a gradient of its own."""
    start = exact_tower() + torch.tensor([0.5, 0.3, 0.4, -0.5, 0.4])
    means, errors = [], []
    for objective in (plain, better):
        features = start.repeat(40_000, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(objective(*tower(features, objective.samples)).value * len(features), features)
        draws = gradient.view(-1, 2, 5)
        means.append(draws.mean(0))
        errors.append(draws.std(0) / len(draws) ** 0.5)
    assert (means[0].abs() > 0.05).sum() >= 8
    assert ((means[0] - means[1]).abs() < 4.5 * (errors[0] ** 2 + errors[1] ** 2).sqrt()).all()


@pytest.mark.parametrize(
    ("plain", "better"), [(ELBO(), ELBO(gradient="stl")), (IWAE(samples=3), IWAE(samples=3, gradient="dreg"))], ids=["stl", "dreg"]
)
@pytest.mark.parametrize("kind", ["iaf", "maf", "full"])
def test_posteriors_that_remember_their_draws_are_served_too(kind: str, plain: Objective, better: Objective) -> None:
    """A flow's density of its own draw is no function of z to autograd; held fixed, it must be. Of 10,000 copies of one item, each with a gradient of its own."""
    posterior = POSTERIORS[kind](2)
    for parameter in posterior.parameters():
        parameter.data = 0.3 * torch.randn_like(parameter)
    start = 0.5 * torch.randn(1, *posterior.parameter_shape)
    means, errors = [], []
    for objective in (plain, better):
        features = start.repeat(10_000, 1).requires_grad_()
        q, p = posterior(features), Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        z = q.rsample((objective.samples,))
        trace = Trace(Independent(Normal(torch.stack([z.sum(-1), z[..., 0] * z[..., 1]], -1), 0.8), 1), (Latent(z, q, p),))
        value = objective(trace, Batch(torch.tensor([[1.5, -0.5]]).repeat(len(features), 1))).value
        (gradient,) = torch.autograd.grad(value * len(features), features)
        means.append(gradient.mean(0))
        errors.append(gradient.std(0) / len(gradient) ** 0.5)
    assert (means[0].abs() > 9 * errors[0]).any()
    assert ((means[0] - means[1]).abs() < 4.5 * (errors[0] ** 2 + errors[1] ** 2).sqrt() + 1e-9).all()


def test_a_posterior_that_cannot_be_held_fixed_is_named() -> None:
    features = torch.randn(2, 2, requires_grad=True)
    trace, batch = tower(torch.randn(2, 5), 2)
    q = Independent(Laplace(features[:, :1], features[:, 1:].exp()), 1)
    unknown = Trace(trace.x, (Latent(q.rsample((2,)), q, trace.latents[0].p),))
    for objective in (ELBO(gradient="stl"), IWAE(gradient="dreg")):
        with pytest.raises(ValueError, match=r"Laplace cannot be held fixed.*gradient = 'plain'.*'diagonal'"):
            objective(unknown, batch)
        with torch.no_grad():
            assert objective(unknown, batch).value.isfinite()  # evaluation needs no gradient


def test_codes_that_carry_no_gradient_leave_only_the_scores() -> None:
    """A discrete or frozen q: the decoder learns, and nothing breaks."""
    mixture = MixtureSameFamily(Categorical(torch.ones(2, 3)), Independent(Normal(torch.randn(2, 3, 1), 1.0), 1))
    weight = torch.ones(1, requires_grad=True)
    z = mixture.sample((4,))
    trace = Trace(Independent(Normal(weight * z, 1.0), 1), (Latent(z, mixture, Independent(Normal(torch.zeros(1), 1.0), 1)),))
    loss = PIWAE(samples=2, groups=2)(trace, Batch(torch.ones(2, 1)))
    (gradient,) = torch.autograd.grad(loss.value, weight, retain_graph=True)
    (expected,) = torch.autograd.grad(IWAE(samples=4)(trace, Batch(torch.ones(2, 1))).value, weight)
    torch.testing.assert_close(gradient, expected)


def test_free_bits_and_sticking_the_landing_exclude_each_other() -> None:
    with pytest.raises(ValueError, match=r"free_bits=0\.5.*gradient='plain'"):
        ELBO(free_bits=0.5, gradient="stl")
