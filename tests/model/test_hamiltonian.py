"""Hamiltonian latents: volume, density, bound and gradient against the linear-Gaussian model and autograd."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from vaeworks import VAE, Batch, Decoder, Encoder
from vaeworks.check.gradients import directional_error
from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.distributions import detached
from vaeworks.evaluation import log_prob
from vaeworks.latents import LATENTS, HamiltonianLatents
from vaeworks.likelihoods import BernoulliLikelihood
from vaeworks.networks import MLP, ConvDecoder, ConvEncoder
from vaeworks.objectives import ELBO
from vaeworks.posteriors import POSTERIORS, DiagonalNormalPosterior, IAFPosterior
from vaeworks.priors import StandardNormalPrior

KNOBS: list[dict[str, float]] = [{}, {"steps": 1, "step_size": 0.2, "tempering": 1.0}, {"steps": 4, "step_size": 0.1, "tempering": 0.6}]
knobs_of = pytest.mark.parametrize("knobs", KNOBS)


@pytest.fixture
def model() -> LinearGaussian:
    torch.manual_seed(0)
    return LinearGaussian.random(4, 2)


def hamiltonian(model: LinearGaussian, *, inflate: float = 1.0, shift: float = 0.0, **knobs: float) -> VAE:
    plain = model.vae(inflate=inflate, shift=shift)
    latents = HamiltonianLatents(2, **knobs).double()  # type: ignore[arg-type]
    with torch.no_grad():
        latents.log_step.add_(torch.tensor([0.0, 0.3]))  # dimensions apart
    return VAE(plain.encoder, plain.decoder, plain.prior, latents=latents)


@knobs_of
def test_paths_keep_volume(model: LinearGaussian, knobs: dict[str, float]) -> None:
    vae, batch = hamiltonian(model, **knobs), Batch(model.sample(1))
    latents = vae.latents
    assert isinstance(latents, HamiltonianLatents)
    follow = latents.path(vae, batch).follow

    def end(start: Tensor) -> Tensor:
        z, momentum = start.chunk(2)
        return torch.cat(follow(z[None, None], momentum[None, None]), -1)[0, 0]

    for start in 2 * torch.randn(3, 4, dtype=torch.float64):
        jacobian = torch.autograd.functional.jacobian(end, start)
        assert not torch.allclose(jacobian, torch.eye(4, dtype=torch.float64), atol=1e-2)
        torch.testing.assert_close(torch.linalg.det(jacobian), torch.ones((), dtype=torch.float64))


def test_paths_go_back(model: LinearGaussian) -> None:
    """The leapfrog undoes itself when the momentum is turned: what makes it symplectic, not merely of volume one. And it keeps the energy to second order of the step."""
    batch, errors = Batch(model.sample(3)), []
    for steps, step_size in ((4, 0.1), (8, 0.05)):
        vae = hamiltonian(model, steps=steps, step_size=step_size, tempering=1.0)
        follow = vae.latents.path(vae, batch).follow  # type: ignore[operator,union-attr]
        z, r = torch.randn(2, 1, 3, 2, dtype=torch.float64)
        z1, r1 = follow(z, r)  # type: ignore[operator]
        back, turned = follow(z1, -r1)  # type: ignore[operator]
        torch.testing.assert_close(back, z)
        torch.testing.assert_close(turned, -r)

        def energy(z: Tensor, r: Tensor) -> Tensor:
            x = Normal(z @ model.weight.T + model.bias, model.scale)
            return -(x.log_prob(batch.x).sum(-1) + Normal(0.0, 1.0).log_prob(z).sum(-1)) + r.square().sum(-1) / 2

        torch.manual_seed(7)
        z, r = torch.randn(2, 100, 3, 2, dtype=torch.float64)
        errors.append(float((energy(*follow(z, r)) - energy(z, r)).abs().mean().detach()))  # type: ignore[operator]
    assert errors[1] < 0.35 * errors[0]


@knobs_of
def test_log_weight_is_that_of_its_definition(model: LinearGaussian, knobs: dict[str, float]) -> None:
    """Joint over joint, every term by hand."""
    batch, vae = Batch(model.sample(5)), hamiltonian(model, inflate=1.5, shift=0.5, **knobs)
    torch.manual_seed(1)
    trace = vae(batch, 3)
    (latent,) = trace.latents
    assert latent.z.shape == (3, 5, 4)
    assert trace.x.batch_shape == (3, 5)
    torch.manual_seed(1)
    q0 = vae.encoder(batch.x)
    z0 = q0.rsample((3,))
    r0 = torch.randn_like(z0)
    z, r = latent.z.chunk(2, -1)
    assert ((z - z0).abs() > 1e-3).all()
    unit = Normal(0.0, 1.0)
    expected = Normal(z @ model.weight.T + model.bias, model.scale).log_prob(batch.x).sum(-1) + unit.log_prob(z).sum(-1) + unit.log_prob(r).sum(-1)
    expected = expected - q0.log_prob(z0) - unit.log_prob(r0).sum(-1)
    torch.testing.assert_close(trace.log_weight(batch), expected)


@knobs_of
def test_weights_are_unbiased_and_the_bound_is_a_bound(model: LinearGaussian, knobs: dict[str, float]) -> None:
    batch = Batch(model.sample(4))
    log_p, vae = model.log_prob(batch.x), hamiltonian(model, inflate=1.4, shift=0.4, **knobs)
    estimate = log_prob(vae, batch, 20_000)
    assert ((estimate.value - log_p).abs() < 4.5 * estimate.standard_error + 1e-6).all()
    assert (estimate.elbo < log_p).all()


def test_it_betters_a_poor_posterior(model: LinearGaussian) -> None:
    batch = Batch(model.sample(4))
    with torch.no_grad():
        poor = model.vae(inflate=2.0, shift=2.0)(batch, 4000).log_weight(batch).mean(0)
        bettered = hamiltonian(model, inflate=2.0, shift=2.0, steps=5, step_size=0.1, tempering=0.6)(batch, 4000).log_weight(batch).mean(0)
    assert (bettered > poor + 0.5).all()
    assert (bettered < model.log_prob(batch.x)).all()


@knobs_of
def test_gradient_is_the_bounds(model: LinearGaussian, knobs: dict[str, float]) -> None:
    """Of every parameter, step sizes and temperature among them, against finite differences."""
    vae, batch = hamiltonian(model, inflate=1.3, shift=0.4, **knobs), Batch(model.sample(4))
    assert directional_error(vae, ELBO(samples=2), batch, step=1e-5) < 1e-6
    ELBO()(vae(batch), batch).value.backward()
    for name, parameter in vae.latents.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).all(), name


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_every_mode_gives_the_same(model: LinearGaussian, mode: type[torch.no_grad]) -> None:
    observed = torch.tensor([True, False, True, True]).expand(3, 4)
    batch, vae = Batch(model.sample(3).masked_fill(~observed, torch.nan), observed), hamiltonian(model)
    torch.manual_seed(2)
    expected = vae(batch, 2).log_weight(batch).detach()
    torch.manual_seed(2)
    with mode():
        batch = Batch(batch.x.clone(), observed.clone())  # made in that mode
        trace = vae(batch, 2)
        torch.testing.assert_close(trace.log_weight(batch), expected)
        again = trace.latents[0].q.rsample((2,))
        assert trace.latents[0].q.log_prob(again).requires_grad == (mode is torch.enable_grad)
        means = vae.latents.means(vae, batch)
        assert torch.equal(means, vae.latents.means(vae, batch))
        assert means.shape == (3, 2)
        assert vae.generate(3).mean.shape == (3, 4)


def test_what_is_missing_changes_nothing(model: LinearGaussian) -> None:
    vae, x, observed = hamiltonian(model), model.sample(3), torch.rand(3, 4) < 0.5
    gradients = []
    for filling in (torch.nan, 7.0):
        batch = Batch(x.masked_fill(~observed, filling), observed)
        torch.manual_seed(1)
        loss = ELBO()(vae(batch), batch).value
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(vae.parameters()))]))
    assert gradients[0].isfinite().all()
    assert torch.equal(*gradients)


def test_means_climb_towards_the_posteriors(model: LinearGaussian) -> None:
    """At rest from a mean that is off, the path ends nearer to the exact posterior's."""
    batch, vae = Batch(model.sample(6)), hamiltonian(model, shift=2.0, steps=5, step_size=0.1)
    exact, _ = model.posterior(batch.x)
    with torch.no_grad():
        start, end = vae.encoder(batch.x).mean, vae.latents.means(vae, batch)
    assert ((end - exact).norm(dim=-1) < 0.8 * (start - exact).norm(dim=-1)).all()


def test_a_density_elsewhere_is_refused(model: LinearGaussian) -> None:
    (latent,) = hamiltonian(model)(Batch(model.sample(2)), 2).latents
    with pytest.raises(NotImplementedError, match="last drawn"):
        latent.q.log_prob(latent.z.clone())
    with pytest.raises(NotImplementedError, match="held fixed"):
        detached(latent.q)
    p = latent.p
    value = p.sample((3,))
    torch.testing.assert_close(p.log_prob(value), Normal(0.0, 1.0).log_prob(value).sum(-1))
    assert (p.mean == 0).all()


@pytest.mark.parametrize("name", ["von-mises-fisher", "wrapped-normal"])
def test_curved_posteriors_are_refused(name: str) -> None:
    posterior, likelihood = POSTERIORS[name](2), BernoulliLikelihood((1, 2, 2), 2)
    encoder = Encoder(MLP((1, 2, 2), posterior.parameter_shape, hidden=()), posterior)
    decoder = Decoder(MLP((2,), likelihood.parameter_shape, hidden=()), likelihood)
    vae = VAE(encoder, decoder, StandardNormalPrior(2), latents=HamiltonianLatents(2))
    with pytest.raises(ValueError, match="curved"):
        vae(Batch(torch.ones(1, 1, 2, 2)))


def test_quick_convolutions_differentiate_twice() -> None:
    """The quick forms of float32 against torch's own in float64, through a gradient of a gradient; a flow as the first posterior."""
    torch.manual_seed(0)
    likelihood, posterior = BernoulliLikelihood((1, 9, 7), 2), IAFPosterior(2, hidden=(4,), context=2)
    encoder = Encoder(ConvEncoder((1, 9, 7), posterior.parameter_shape, channels=(3,)), posterior)
    decoder = Decoder(ConvDecoder((2,), likelihood.parameter_shape, channels=(3, 4), last="transposed"), likelihood)
    vae = VAE(encoder, decoder, StandardNormalPrior(2), latents=HamiltonianLatents(2, step_size=0.3))
    batch = Batch((torch.rand(2, 1, 9, 7) < 0.5).float())
    gradients = []
    for dtype in (torch.float32, torch.float64):
        vae = vae.to(dtype)
        x = Batch(batch.x.to(dtype))
        latents = vae.latents
        assert isinstance(latents, HamiltonianLatents)
        start = torch.linspace(-1, 1, 12, dtype=dtype).view(3, 2, 2).requires_grad_()
        z, r = latents.path(vae, x).follow(start, start.flip(0))
        loss = (z * r).sum() - vae.decoder(z).log_prob(x.x).sum()
        wanted = [start, *vae.decoder.parameters(), *latents.parameters()]
        gradients.append(torch.cat([g.flatten().double() for g in torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)]))
    torch.testing.assert_close(*gradients, atol=2e-3, rtol=2e-3)
    loss = ELBO()(vae.float()(batch, 2), batch).value
    loss.backward()
    assert loss.isfinite()


def test_it_is_on_the_axis() -> None:
    assert LATENTS["hamiltonian"] is HamiltonianLatents
    held = HamiltonianLatents(3, learned=False, tempering=0.5)
    assert not any(parameter.requires_grad for parameter in held.parameters())
    torch.testing.assert_close(held.temperatures(), torch.tensor([2.0, 1 + 8 / 9, 1 + 5 / 9, 1.0]))
    torch.testing.assert_close(held.log_step, torch.full((3,), math.log(0.05)))
    assert isinstance(DiagonalNormalPosterior(3), POSTERIORS["diagonal"])
