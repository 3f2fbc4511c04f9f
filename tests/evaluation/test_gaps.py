"""Gaps of models whose exact posterior is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vaeworks import posteriors
from vaeworks.check.linear_gaussian import LinearGaussian, linear_vae
from vaeworks.evaluation.gaps import gaps, optimised_features
from vaeworks.latents import TwoLevelLatents
from vaeworks.model import VAE, Decoder, Encoder
from vaeworks.networks import MLP
from vaeworks.trace import Batch

pytestmark = pytest.mark.usefixtures("exact")


def correlated() -> tuple[VAE, Tensor, Tensor, Tensor]:
    """A linear VAE whose posterior has correlated dimensions: the VAE, items, log p(x), and the precision of p(z | x)."""
    vae = linear_vae(3, 2, scale=0.8)
    weight = torch.tensor([[1.0, 0.7], [-0.4, 0.6], [0.9, 0.8]])
    with torch.no_grad():
        layer = vae.decoder.network.body[-1]
        layer.weight.copy_(weight)
        layer.bias.zero_()
        vae.encoder.network.body[-1].weight.mul_(0.1)
    p = MultivariateNormal(torch.zeros(3), weight @ weight.T + 0.64 * torch.eye(3))
    x = p.sample((5,))
    return vae, x, p.log_prob(x), torch.eye(2) + weight.T @ weight / 0.64


def test_an_encoder_that_is_off_loses_exactly_the_amortisation_gap() -> None:
    model = LinearGaussian.random(4, 2)
    x = model.sample(6)
    found = gaps(model.vae(inflate=1.5, shift=0.7), Batch(x), samples=1000, steps=200)
    mean, scale = model.posterior(x)
    elbo = model.elbo(x, mean + 0.7 * scale, 1.5 * scale)
    torch.testing.assert_close(found.log_prob, model.log_prob(x), atol=1e-2, rtol=0)
    torch.testing.assert_close(found.approximation, torch.zeros(6), atol=1e-2, rtol=0)
    assert ((found.elbo - elbo).abs() < 4.5 * found.elbo_error).all()
    truth = model.log_prob(x) - elbo
    assert (truth > 0.5).all()
    assert ((found.amortisation - truth).abs() < 4.5 * found.elbo_error + 1e-3).all()
    torch.testing.assert_close(found.inference, found.approximation + found.amortisation)


def test_the_optimum_is_the_exact_posterior() -> None:
    model = LinearGaussian.random(4, 2)
    x = model.sample(4)
    vae = model.vae(inflate=0.6, shift=-1.0)
    q = vae.encoder.posterior(optimised_features(vae, Batch(x), vae.encoder.features(x), steps=200))
    mean, scale = model.posterior(x)
    torch.testing.assert_close(q.mean, mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(q.stddev, scale.expand_as(mean), atol=1e-3, rtol=0)


def test_the_exact_encoder_loses_nothing() -> None:
    model = LinearGaussian.random(4, 2)
    x = model.sample(3)
    found = gaps(model.vae(), Batch(x), samples=10, steps=100)
    torch.testing.assert_close(found.inference, torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.amortisation, torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.log_prob, model.log_prob(x), atol=1e-3, rtol=0)


def test_a_family_without_correlations_loses_exactly_the_approximation_gap() -> None:
    """For a normal posterior of precision L the best factorised q has variances 1 / L_ii, and misses half of sum log L_ii - log det L."""
    vae, x, log_p, precision = correlated()
    found = gaps(vae, Batch(x), samples=2000, steps=250)
    gap = (precision.diagonal().log().sum() - precision.logdet()) / 2
    assert float(gap) > 0.1
    error = 4.5 * (found.optimal_error + found.log_prob_error) + 2e-3
    assert ((found.log_prob - log_p).abs() < 4.5 * found.log_prob_error + 2e-3).all()
    assert ((found.approximation - gap).abs() < error).all()
    assert (found.amortisation > 0).all(), "the encoder of this model was never trained"


@pytest.mark.parametrize(("kind", "steps"), [("full", 200), ("low-rank", 300), ("iaf", 20), ("planar", 40)])
def test_other_families_close_the_gap(kind: str, steps: int) -> None:
    """Any posterior that takes features will do; these can follow correlation."""
    vae, x, log_p, _ = correlated()
    posterior = posteriors.POSTERIORS[kind](2)
    network = MLP((3,), posterior.parameter_shape, hidden=())
    torch.nn.init.normal_(network.body[-1].weight, 0, 0.1)
    vae.encoder = Encoder(network, posterior)
    found = gaps(vae, Batch(x), samples=200, steps=steps)
    assert (found.amortisation > -4.5 * (found.elbo_error + found.optimal_error)).all()
    if kind == "low-rank":
        assert (found.approximation < 0.1).all(), "a factorised q misses 0.144"
    if kind == "full":
        torch.testing.assert_close(found.approximation, torch.zeros(5), atol=5e-3, rtol=0)
        torch.testing.assert_close(found.log_prob, log_p, atol=5e-3, rtol=0)


def test_missing_values_are_honoured() -> None:
    model = LinearGaussian.random(4, 2)
    x = model.sample(3)
    observed = torch.tensor([True, False, True, True]).expand(3, 4)
    found = gaps(model.vae(), Batch(x, observed), samples=2000, steps=150)
    truth = model.log_prob(x, observed[0])
    assert ((found.log_prob - truth).abs() < 4.5 * found.log_prob_error + 1e-3).all()


def test_contexts_are_honoured() -> None:
    """The context moves every coordinate of x by twice its value."""
    model = LinearGaussian.random(4, 2)
    vae, plain = linear_vae(4, 2, scale=0.5), model.vae(shift=1.0)
    likelihood = vae.decoder.likelihood
    vae.encoder = Encoder(plain.encoder.network, plain.encoder.posterior, mean=torch.zeros(4), context_size=1)
    vae.decoder = Decoder(MLP((3,), likelihood.parameter_shape, hidden=()), likelihood, context_size=1)
    last = vae.decoder.network.body[-1]
    with torch.no_grad():
        last.weight.copy_(torch.cat([model.weight, torch.full((4, 1), 2.0)], 1))
        last.bias.copy_(model.bias)
    context = torch.tensor([[-1.0], [0.0], [0.5]])
    x = model.sample(3)
    found = gaps(vae, Batch(x + 2 * context, context=context), samples=200, steps=150)
    torch.testing.assert_close(found.log_prob, model.log_prob(x), atol=1e-2, rtol=0)


def test_nothing_of_the_model_changes() -> None:
    model = LinearGaussian.random(4, 2)
    vae = model.vae(shift=1.0).train()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    calls: list[int] = []
    gaps(vae, Batch(model.sample(3)), samples=4, steps=5, progress=calls.append)
    assert vae.training
    assert sum(calls) == 7
    assert all(parameter.grad is None for parameter in vae.parameters())
    for name, value in vae.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_what_has_no_gaps_is_told() -> None:
    model = LinearGaussian.random(4, 2)
    vae = model.vae()
    with pytest.raises(ValueError, match="samples=1"):
        gaps(vae, Batch(model.sample(3)), samples=1)
    vae.latents = TwoLevelLatents(2, (4,))
    with pytest.raises(NotImplementedError, match="not for TwoLevelLatents"):
        gaps(vae, Batch(model.sample(3)), samples=2)
