"""The VAE: what its axes mean, what missing values do, and that any module plugs in."""

import math

import pytest
import torch
from torch import Tensor, nn

from vaeworks import VAE, Batch, Decoder, Encoder
from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.distributions import Observable
from vaeworks.likelihoods import BernoulliLikelihood, DiscretisedLogisticMixtureLikelihood
from vaeworks.networks import MLP, ConvDecoder, ConvEncoder
from vaeworks.objectives import ELBO
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import StandardNormalPrior


@pytest.fixture
def model() -> LinearGaussian:
    torch.manual_seed(0)
    return LinearGaussian.random(4, 2)


def test_axes_are_samples_then_items(model: LinearGaussian) -> None:
    """At the exact posterior log w[k, b] = log p(x_b): any mix-up of K and B would show."""
    batch = Batch(model.sample(5))
    trace = model.vae()(batch, k=3)
    assert trace.latents[0].z.shape == (3, 5, 2)
    assert trace.x.batch_shape == (3, 5)
    torch.testing.assert_close(trace.log_weight(batch), model.log_prob(batch.x).expand(3, 5))


def test_weight_is_likelihood_times_prior_over_posterior(model: LinearGaussian) -> None:
    batch = Batch(model.sample(5))
    vae = model.vae(inflate=1.3)
    trace = vae(batch, k=3)
    (latent,) = trace.latents
    for k in range(3):
        for b in range(5):
            z = latent.z[k, b]
            by_hand = torch.distributions.Normal(model.weight @ z + model.bias, model.scale).log_prob(batch.x[b]).sum()
            by_hand += torch.distributions.Normal(0.0, 1.0).log_prob(z).sum()
            by_hand -= torch.distributions.Normal(latent.q.mean[b], latent.q.stddev[b]).log_prob(z).sum()
            torch.testing.assert_close(trace.log_weight(batch)[k, b], by_hand)


def test_samples_of_an_item_differ_and_the_seed_fixes_them(model: LinearGaussian) -> None:
    vae, batch = model.vae(), Batch(model.sample(2))
    draws = []
    for _ in range(2):
        torch.manual_seed(5)
        draws.append(vae(batch, k=2).latents[0].z)
    assert torch.equal(*draws)
    assert not torch.equal(draws[0][0], draws[0][1])


def test_missing_values_give_the_marginal(model: LinearGaussian) -> None:
    """The mean weight tends to p(x_observed), a closed form, although the encoder saw zeros where x is missing."""
    observed = torch.tensor([True, False, True, True])
    x = model.sample(3)
    batch = Batch(x.masked_fill(~observed, torch.nan), observed.expand(3, 4))
    with torch.no_grad():
        log_weight = model.vae(inflate=3.0)(batch, k=100_000).log_weight(batch)
    estimate = log_weight.logsumexp(0) - math.log(100_000)
    torch.testing.assert_close(estimate, model.log_prob(x, observed), atol=0.05, rtol=0)


def test_missing_values_reach_no_gradient(model: LinearGaussian) -> None:
    vae, x, observed = model.vae(), model.sample(3), torch.rand(3, 4) < 0.5
    gradients = []
    for filling in (torch.nan, math.inf, 7.0):
        batch = Batch(x.masked_fill(~observed, filling), observed)
        torch.manual_seed(1)
        loss = ELBO()(vae(batch), batch).value
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(vae.parameters()))]))
    assert gradients[0].isfinite().all()
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


class Squash(nn.Module):
    """A user's own network, of no class that this package knows."""

    def __init__(self, features: int):
        super().__init__()
        self.map = nn.LazyLinear(features)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.map(x.flatten(1)))


class Ones(nn.Module):
    """A user's own decoder: no network, no likelihood of ours, only a distribution."""

    def __init__(self, likelihood: BernoulliLikelihood):
        super().__init__()
        self.likelihood = likelihood

    def forward(self, z: Tensor) -> Observable:
        return self.likelihood(z.sum(-1)[..., None, None, None].expand(*z.shape[:-1], 1, 3, 3))


def test_any_module_plugs_in() -> None:
    posterior = DiagonalNormalPosterior(2)
    vae = VAE(Encoder(Squash(4), posterior), Ones(BernoulliLikelihood((1, 3, 3), 2)), StandardNormalPrior(2))
    batch = Batch(torch.ones(5, 1, 3, 3))
    loss = ELBO()(vae(batch, 2), batch).value
    loss.backward()
    assert loss.isfinite()
    assert vae.generate(4).sample().shape == (4, 1, 3, 3)


@pytest.mark.parametrize("mean", [0.0, 0.3])
def test_encoder_centres(mean: float) -> None:
    seen = []

    class Spy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x

    x, observed = torch.rand(2, 4), torch.tensor([[True, True, False, True]])
    Encoder(Spy(), DiagonalNormalPosterior(2), mean=mean)(x, observed)
    torch.testing.assert_close(seen[0], (x - mean).masked_fill(~observed, 0))


def test_decoder_takes_codes_of_any_batch_shape() -> None:
    likelihood = DiscretisedLogisticMixtureLikelihood((3, 6, 5), 16, components=2)
    decoder = Decoder(ConvDecoder((2,), likelihood.parameter_shape, channels=(4,)), likelihood)
    z = torch.randn(3, 4, 2)
    together = decoder(z)
    assert (together.batch_shape, together.event_shape) == ((3, 4), (3, 6, 5))
    x = together.sample()
    torch.testing.assert_close(together.log_prob(x)[1, 2], decoder(z[1, 2:3]).log_prob(x[1, 2:3])[0])


def test_generate_follows_the_prior(model: LinearGaussian) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        p = model.vae().generate(20_000)
        assert (p.batch_shape, p.event_shape) == ((20_000,), (4,))
        x = p.sample()
    covariance = model.weight @ model.weight.T + model.scale**2 * torch.eye(4).double()
    torch.testing.assert_close(x.mean(0), model.bias, atol=0.06, rtol=0)
    torch.testing.assert_close(torch.cov(x.T), covariance, atol=0.12, rtol=0)


def test_generate_at_temperature_zero_and_with_context(model: LinearGaussian) -> None:
    vae = model.vae()
    torch.testing.assert_close(vae.generate(3, temperature=0.0).mean, model.bias.expand(3, 4))
    assert vae.generate(3, torch.randn(3, 7)).sample().shape == (3, 4)


def test_state_round_trips_and_holds_no_constants() -> None:
    def make() -> VAE:
        posterior, likelihood = DiagonalNormalPosterior(2), BernoulliLikelihood((1, 9, 7), 2)
        encoder = Encoder(ConvEncoder((1, 9, 7), posterior.parameter_shape, channels=(3,)), posterior)
        return VAE(encoder, Decoder(MLP((2,), likelihood.parameter_shape, hidden=(4,)), likelihood), StandardNormalPrior(2))

    first, second = make(), make()
    second.load_state_dict(first.state_dict())
    assert not any(name.startswith("prior") for name in first.state_dict())
    batch = Batch((torch.rand(3, 1, 9, 7) < 0.5).float())
    weights = []
    for vae in (first, second):
        torch.manual_seed(2)
        weights.append(vae(batch, 2).log_weight(batch))
    assert torch.equal(*weights)


class Seen(nn.Module):
    """Keeps what it is given."""

    stray = 0.4

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        self.z = z
        return z.new_zeros(len(z), 1, 2, 2)


def test_training_turns_that_share_of_the_codes_towards_noise_and_leaves_context_and_scale() -> None:
    torch.manual_seed(0)
    network = Seen()
    decoder = Decoder(network, BernoulliLikelihood((1, 2, 2), levels=2), context_size=2)
    z, context = torch.randn(4000, 6), torch.rand(4000, 2)
    decoder(z, context)
    moved = (network.z[:, :6] != z).any(1)
    torch.testing.assert_close(network.z[:, 6:], context, atol=0, rtol=0)
    torch.testing.assert_close(network.z[~moved, :6], z[~moved], atol=0, rtol=0)
    assert moved.float().mean().item() == pytest.approx(0.4, abs=0.03)
    strays = network.z[moved, :6]
    assert strays.square().mean().item() == pytest.approx(1, abs=0.05)
    assert (strays * z[moved]).mean().item() == pytest.approx(2 / math.pi, abs=0.03)  # the mean of cos a
    decoder.eval()(z, context)
    torch.testing.assert_close(network.z[:, :6], z, atol=0, rtol=0)
