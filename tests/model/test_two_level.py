"""Two levels of z: on a linear-Gaussian hierarchy whose posteriors are known, the bound is log p(x) itself; and everything that reads a trace takes it as it comes."""

import copy
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from vaeworks import VAE, Batch, Decoder, Encoder
from vaeworks.data import Options, open_data
from vaeworks.evaluation import evaluate, log_prob
from vaeworks.latents import TwoLevelLatents
from vaeworks.likelihoods import BernoulliLikelihood, GaussianLikelihood
from vaeworks.networks import MLP
from vaeworks.objectives import ELBO, OBJECTIVES, kl_per_dimension
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import PRIORS, Prior, StandardNormalPrior
from vaeworks.recipes import build_objective, build_trainer, build_vae, load_recipe
from vaeworks.runs import Model, load

linear = functools.partial(MLP, hidden=())
RESOLVED = ["latents.kind=two-level", "latent_size=3", "latents.lower_size=5", "latents.hidden=[16]", "encoder.hidden=[16]", "decoder.hidden=[16]"]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@dataclass(frozen=True)
class Hierarchy:
    """p(z2) = N(0, I), p(z1 | z2) = N(a z2 + t, r^2), p(x | z1, z2) = N(V z1 + U z2 + b, s^2), all columns of V and U orthogonal, so that both posteriors are diagonal."""

    v: Tensor
    u: Tensor
    b: Tensor
    a: Tensor
    t: Tensor
    r: float = 0.6
    s: float = 0.5

    @classmethod
    def random(cls) -> "Hierarchy":
        columns = torch.linalg.qr(torch.randn(7, 4, dtype=torch.float64))[0] * torch.tensor([0.7, 1.3, 1.1, 0.5], dtype=torch.float64)
        b, a, t = (torch.randn(n, dtype=torch.float64) for n in (7, 2, 2))
        return cls(columns[:, :2], columns[:, 2:], b, a, t)

    def covariances(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The mean of x (X,), d x / d z2 (X, 2), Cov(x | z2) and Cov(x)."""
        given_upper = self.s**2 * torch.eye(7) + self.r**2 * self.v @ self.v.T
        slope = self.v * self.a + self.u
        return self.v @ self.t + self.b, slope, given_upper, given_upper + slope @ slope.T

    def sample(self, n: int) -> Tensor:
        upper = torch.randn(n, 2).double()
        lower = upper * self.a + self.t + self.r * torch.randn(n, 2).double()
        return lower @ self.v.T + upper @ self.u.T + self.b + self.s * torch.randn(n, 7).double()

    def log_prob(self, x: Tensor) -> Tensor:
        mean, _, _, covariance = self.covariances()
        return torch.from_numpy(np.atleast_1d(scipy.stats.multivariate_normal(mean.numpy(), covariance.numpy()).logpdf(x.numpy())))

    def vae(self, *, inflate: float = 1.0) -> VAE:
        """The model with its exact posteriors, their scales times ``inflate``."""
        mean, slope, given_upper, _ = self.covariances()
        posterior, likelihood = DiagonalNormalPosterior(2), GaussianLikelihood((7,), 0, scale=self.s)
        encoder, decoder = Encoder(linear((7,), posterior.parameter_shape), posterior), Decoder(linear((4,), likelihood.parameter_shape), likelihood)
        latents = TwoLevelLatents(2, (7,), linear, hidden=())
        vae = VAE(encoder, decoder, StandardNormalPrior(2), latents=latents).double()
        # q(z2 | x): precision I + M'C^-1 M, diagonal; q(z1 | x, z2): precision 1 / r^2 + V'V / s^2, diagonal.
        information = slope.T @ torch.linalg.inv(given_upper)
        upper = 1 / (1 + (information @ slope).diagonal())
        lower = 1 / (1 / self.r**2 + self.v.square().sum(0) / self.s**2)
        to_upper, from_x = upper[:, None] * information, lower[:, None] * self.v.T / self.s**2
        from_upper = torch.diag(lower * self.a / self.r**2) - from_x @ self.u
        fill(encoder.network, [to_upper], log_scale(upper.sqrt() * inflate), -to_upper @ mean)
        fill(latents.reader, [from_x], torch.zeros(2), -from_x @ self.b)
        fill(latents.recognition, [torch.eye(2), torch.zeros(2, 2), from_upper], log_scale(lower.sqrt() * inflate), lower * self.t / self.r**2)
        fill(latents.generation, [torch.diag(self.a)], log_scale(torch.full((2,), self.r).double()), self.t)
        with torch.no_grad():
            decoder.network.body[-1].weight.copy_(torch.cat([self.u, self.v], 1))
            decoder.network.body[-1].bias.copy_(self.b)
        return vae


def log_scale(scale: Tensor) -> Tensor:
    """What DiagonalNormalPosterior bends into log ``scale``."""
    return 7 * torch.atanh(scale.log() / 7)


@torch.no_grad()
def fill(network: Any, blocks: list[Tensor], scales: Tensor, bias: Tensor) -> None:
    """The one layer gives ``blocks`` x + bias for the first two outputs and ``scales`` for the others."""
    layer = network.body[-1]
    layer.weight.copy_(torch.cat([torch.cat(blocks, 1).double(), torch.zeros(2, layer.in_features).double()]))
    layer.bias.copy_(torch.cat([bias, scales]))


def test_at_the_exact_posteriors_every_weight_is_the_evidence() -> None:
    """log w has no variance: ELBO = IWAE = log p(x), by scipy."""
    truth = Hierarchy.random()
    batch, vae = Batch(truth.sample(5)), truth.vae()
    with torch.no_grad():
        trace = vae(batch, 6)
    assert [tuple(latent.z.shape) for latent in trace.latents] == [(6, 5, 2), (6, 5, 2)]
    torch.testing.assert_close(trace.log_weight(batch), truth.log_prob(batch.x).expand(6, 5))
    exact = truth.log_prob(batch.x)
    result = log_prob(vae, batch, 50)
    torch.testing.assert_close(result.value, exact)
    torch.testing.assert_close(result.elbo, exact)
    torch.testing.assert_close(result.effective_sample_size, torch.full_like(exact, 50))


def test_importance_sampling_finds_the_evidence_through_both_levels() -> None:
    truth = Hierarchy.random()
    batch = Batch(truth.sample(4))
    result = log_prob(truth.vae(inflate=1.3), batch, 20_000)
    assert ((result.value - truth.log_prob(batch.x)).abs() < 4.5 * result.standard_error).all()
    assert (result.standard_error < 0.03).all()
    assert (result.elbo < result.value - 0.05).all()


def test_elbo_is_the_likelihood_less_the_divergence_of_each_level() -> None:
    """The bound in closed form where torch knows it agrees with the mean of log w; its KL is that of the levels, dimension by dimension."""
    truth = Hierarchy.random()
    batch, vae = Batch(truth.sample(4)), truth.vae(inflate=1.3)
    with torch.no_grad():
        trace = vae(batch, 20_000)
        terms, log_w = ELBO()(trace, batch).terms, trace.log_weight(batch)
    error = 4.5 * (terms["elbo"].var(0) + log_w.var(0)).sqrt() / 20_000**0.5
    assert ((terms["elbo"].mean(0) - log_w.mean(0)).abs() < error).all()
    levels = [kl_per_dimension(latent) for latent in trace.latents]
    assert [tuple(level.shape) for level in levels] == [(4, 2), (20_000, 4, 2)]
    torch.testing.assert_close(sum(level.sum(-1) for level in levels), terms["kl"])


def test_gradient_of_the_bound_agrees_with_finite_differences() -> None:
    truth = Hierarchy.random()
    batch, vae = Batch(truth.sample(4)), truth.vae(inflate=1.3)

    def loss() -> Tensor:
        torch.manual_seed(3)
        return ELBO(samples=5)(vae(batch, 5), batch).value

    gradients = torch.autograd.grad(loss(), list(vae.parameters()))
    for parameter, gradient in zip(vae.parameters(), gradients, strict=True):
        direction, values = torch.randn_like(parameter), []
        with torch.no_grad():
            for step in (1e-5, -2e-5, 1e-5):
                parameter.add_(step * direction)
                values.append(float(loss()))
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(float((gradient * direction).sum()), rel=1e-4, abs=1e-6)
        assert gradient.abs().sum() > 0


def test_codes_and_samples_follow_the_model() -> None:
    truth = Hierarchy.random()
    vae, x = truth.vae(), truth.sample(3)
    with torch.no_grad():
        codes = vae.latents.means(vae, Batch(x))
        joint = torch.cat([codes[:, :2], codes[:, 2:]], 1)
        generated = vae.generate(40_000).sample()
        mean, _, _, covariance = truth.covariances()
        assert generated.shape == (40_000, 7)
        torch.testing.assert_close(torch.cov(generated.T), covariance, atol=0.12, rtol=0)
        torch.testing.assert_close(generated.mean(0), mean, atol=0.06, rtol=0)
        torch.testing.assert_close(vae.generate(3, temperature=0.0).mean, mean.expand(3, 7))
    # E[z1, z2 | x] of the joint normal of (z2, z1, x), by conditioning it as a whole
    prior = torch.eye(4).double()
    prior[:2, 2:], prior[2:, :2] = torch.diag(truth.a), torch.diag(truth.a)
    prior[2:, 2:] = torch.diag(truth.a.square() + truth.r**2)
    to_x = torch.cat([truth.u, truth.v], 1)
    expected = torch.cat([torch.zeros(2).double(), truth.t]) + (x - mean) @ torch.linalg.solve(covariance, to_x @ prior)
    torch.testing.assert_close(joint, expected)


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_takes_it_as_it_comes(name: str) -> None:
    if name == "spectral-elbo":
        pytest.skip("sounds only")
    vae, batch, objective = small(StandardNormalPrior(2), side=16), Batch((torch.rand(6, 1, 16, 16) < 0.5).float()), OBJECTIVES[name]()
    objective.settle(vae(batch, objective.samples), 6)
    loss = objective(vae(batch, objective.samples), batch)
    loss.value.backward()
    assert loss.value.isfinite()
    for part in (vae.encoder, vae.decoder, vae.latents.reader, vae.latents.recognition):
        assert all(parameter.grad.isfinite().all() for parameter in part.parameters())
        assert any(parameter.grad.abs().sum() > 0 for parameter in part.parameters())


def test_sticking_the_landing_has_no_variance_at_the_exact_posteriors() -> None:
    """Through both levels, no gradient reaches what is already right (Roeder et al. 2017, arXiv:1703.09194), but for the likelihood's scale in single precision."""
    truth = Hierarchy.random()
    batch, vae = Batch(truth.sample(4)), truth.vae()
    ELBO(gradient="stl")(vae(batch, 1), batch).value.backward()
    for part in (vae.encoder, vae.latents.reader, vae.latents.recognition):
        assert all(parameter.grad.abs().max() < 1e-5 for parameter in part.parameters())


@pytest.mark.parametrize("name", sorted(PRIORS))
def test_every_prior_stands_above(name: str) -> None:
    vae = small(PRIORS[name](2))
    batch = Batch((torch.rand(5, 1, 4, 4) < 0.5).float())
    if name not in {"sphere", "wrapped-normal"}:  # whose codes no normal posterior draws
        loss = ELBO()(vae(batch, 3), batch).value
        loss.backward()
        assert loss.isfinite()
    assert vae.generate(6, temperature=0.5).sample().shape == (6, 1, 4, 4)


def small(prior: Prior, context_size: int = 0, encoder: nn.Module | None = None, side: int = 4) -> VAE:
    shape, posterior = (1, side, side), DiagonalNormalPosterior(2)
    likelihood = BernoulliLikelihood(shape, 2)
    latents = TwoLevelLatents(2, shape, functools.partial(MLP, hidden=(6,)), context_size, lower_size=3, hidden=(6,))
    network = MLP(shape, posterior.parameter_shape, hidden=(6,))
    encoder = encoder or Encoder(network, posterior, mean=torch.full(shape, 0.5), context_size=context_size)
    decoder = Decoder(MLP((5 + context_size,), likelihood.parameter_shape, hidden=(6,)), likelihood, context_size=context_size)
    return VAE(encoder, decoder, prior, latents=latents)


def test_a_context_reaches_every_part() -> None:
    vae = small(PRIORS["conditional-normal"](2, 3), 3)
    batch, context = (torch.rand(5, 1, 4, 4) < 0.5).float(), torch.randn(5, 3)
    torch.manual_seed(1)
    first = vae(Batch(batch, None, context), 2)
    torch.manual_seed(1)
    second = vae(Batch(batch, None, context + 1), 2)
    assert (first.latents[1].q.mean != second.latents[1].q.mean).all()
    assert (first.latents[1].p.mean != second.latents[1].p.mean).all()
    assert vae.generate(5, context).sample().shape == (5, 1, 4, 4)
    with pytest.raises(ValueError, match="conditional on a context of 3"):
        vae(Batch(batch))


def test_what_is_missing_reaches_neither_value_nor_gradient() -> None:
    vae, x, observed = small(StandardNormalPrior(2)), (torch.rand(5, 1, 4, 4) < 0.5).float(), torch.rand(5, 1, 4, 4) < 0.6
    results = []
    for filling in (torch.nan, 7.0):
        torch.manual_seed(1)
        batch = Batch(x.masked_fill(~observed, filling), observed)
        loss = ELBO()(vae(batch, 2), batch).value
        results.append([loss, *torch.autograd.grad(loss, list(vae.parameters())), vae.latents.means(vae, batch)])
    for first, second in zip(*results, strict=True):
        assert first.isfinite().all()
        assert torch.equal(first, second)


def test_a_users_own_encoder_will_do() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.posterior = MLP((1, 4, 4), (4,), hidden=(6,)), DiagonalNormalPosterior(2)

        def forward(self, x: Tensor, observed: Tensor | None) -> torch.distributions.Distribution:
            return self.posterior(self.network(x))

    vae, batch = small(StandardNormalPrior(2), encoder=Own()), Batch((torch.rand(5, 1, 4, 4) < 0.5).float())
    ELBO()(vae(batch, 2), batch).value.backward()
    assert vae.latents.means(vae, batch).shape == (5, 5)


def test_state_round_trips_and_copies_are_apart() -> None:
    vae = small(PRIORS["vamp"](2, components=4))
    twin, other, batch = copy.deepcopy(vae), small(PRIORS["vamp"](2, components=4)), Batch((torch.rand(5, 1, 4, 4) < 0.5).float())
    other.load_state_dict(vae.state_dict())
    draws = []
    for model in (vae, twin, other):
        torch.manual_seed(2)
        draws.append(model(batch, 2).log_weight(batch))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("recipe", ["mlp", "conv"])
def test_learns_the_digits_and_is_used_as_any_model(recipe: str, tmp_path: Any) -> None:
    """From a recipe to a saved model: the bound rises; codes hold both levels; figures cover both."""
    data = open_data("digits", options=Options(limit=200))
    thin = ["encoder.channels=[4]", "decoder.channels=[4]"] if recipe == "conv" else []
    resolved = load_recipe(recipe, [*RESOLVED, *thin, "prior.kind=vamp", "prior.components=20", "training.epochs=6", "training.batch_size=40"])
    resolved = resolved if resolved["likelihood"] else resolved.with_likelihood("discretised-logistic")
    vae = build_vae(resolved, data.schema)
    before = evaluate(vae, data.validation, data.schema, samples=5).figures["elbo"].value
    build_trainer(resolved).fit(vae, build_objective(resolved), data)
    model = Model(vae, data.schema, resolved)
    after = model.evaluate(data.validation, samples=5)
    assert after.figures["elbo"].value > before + 5
    assert after.figures["log_px"].value >= after.figures["elbo"].value - 4.5 * after.figures["monte_carlo_error"].value
    assert after.figures["active_units"].unit == "of 8"
    codes = model.encode(data.validation)
    assert codes.shape == (len(data.validation), 8)
    assert torch.equal(codes, model.encode(data.validation))
    assert model.decode(codes).shape == model.reconstruct(data.validation).shape == (len(codes), *data.schema.shape)
    assert model.sample(4, seed=0).shape == (4, *data.schema.shape)
    model.save(tmp_path / "m")
    assert torch.equal(load(tmp_path / "m").encode(data.validation), codes)
