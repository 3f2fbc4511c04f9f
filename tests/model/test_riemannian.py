"""Riemannian latents: metric, force, volume, momenta and bound against loops, autograd and the linear-Gaussian model."""

import copy
import functools
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from vaeworks import VAE, Batch
from vaeworks.check.gradients import directional_error
from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.evaluation import log_prob
from vaeworks.latents import LATENTS, RiemannianLatents
from vaeworks.latents.riemannian import Metric
from vaeworks.networks import MLP
from vaeworks.objectives import ELBO

KNOBS: list[dict[str, Any]] = [
    {},
    {"steps": 1, "step_size": 0.05, "tempering": 1.0, "iterations": 20},
    {"steps": 4, "step_size": 0.03, "tempering": 0.6, "iterations": 20},
]
knobs_of = pytest.mark.parametrize("knobs", KNOBS)


@pytest.fixture
def model() -> LinearGaussian:
    torch.manual_seed(0)
    return LinearGaussian.random(4, 2)


def some_metric(n: int = 5, size: int = 2, **knobs: Any) -> Metric:
    lower = torch.randn(n, size, size, dtype=torch.float64).tril()
    return Metric(torch.randn(n, size, dtype=torch.float64), lower @ lower.mT, **{"width": 1.2, "floor": 0.05, "iterations": 20, **knobs})


def riemannian(model: LinearGaussian, *, inflate: float = 1.0, shift: float = 0.0, **knobs: Any) -> VAE:
    """With a metric that bends: it has seen items."""
    plain = model.vae(inflate=inflate, shift=shift)
    latents = RiemannianLatents(2, (4,), functools.partial(MLP, hidden=(6,)), **{"centroids": 20, **knobs}).double()
    with torch.no_grad():
        latents.log_step.add_(torch.tensor([0.0, 0.3]))  # dimensions apart
        latents.reader.body[-1].weight.mul_(2)
    vae = VAE(plain.encoder, plain.decoder, plain.prior, latents=latents)
    with torch.no_grad():
        vae(Batch(model.sample(20)))
    return vae.eval()


def test_the_metric_is_that_of_its_definition() -> None:
    torch.manual_seed(0)
    metric, z = some_metric(), torch.randn(3, 4, 2, dtype=torch.float64)
    for index in np.ndindex(3, 4):
        expected = metric.floor * np.eye(2)
        for c, m in zip(metric.centroids.numpy(), metric.products.numpy(), strict=True):
            expected = expected + m * np.exp(-((z[index].numpy() - c) ** 2).sum() / metric.width**2)
        np.testing.assert_allclose(metric.inverse(z)[index].numpy(), expected)
    r = metric.momentum(z[0, 0]).sample((40_000,))
    covariance = torch.linalg.inv(metric.inverse(z[0, 0]))
    torch.testing.assert_close(torch.cov(r.T), covariance, atol=0.02 * float(covariance.abs().max()), rtol=0)


def test_the_force_is_the_slope_of_the_kinetic_energy() -> None:
    torch.manual_seed(0)
    metric = some_metric()
    z, r = torch.randn(2, 3, 4, 2, dtype=torch.float64)
    z.requires_grad_()
    energy = -MultivariateNormal(torch.zeros(2, dtype=torch.float64), precision_matrix=metric.inverse(z)).log_prob(r).sum()
    torch.testing.assert_close(metric.force(z, r), torch.autograd.grad(energy, z)[0])


@knobs_of
def test_paths_keep_volume(model: LinearGaussian, knobs: dict[str, Any]) -> None:
    vae = riemannian(model, **knobs)
    follow = vae.latents.path(vae, Batch(model.sample(1))).follow  # type: ignore[operator,union-attr]

    def end(start: Tensor) -> Tensor:
        z, momentum = start.chunk(2)
        return torch.cat(follow(z[None, None], momentum[None, None]), -1)[0, 0]

    for start in torch.randn(2, 4, dtype=torch.float64):
        jacobian = torch.autograd.functional.jacobian(end, start)
        assert not torch.allclose(jacobian, torch.eye(4, dtype=torch.float64), atol=1e-2)
        assert float(torch.linalg.det(jacobian)) == pytest.approx(1, abs=1e-5)


def test_an_explicit_leapfrog_would_not_keep_it(model: LinearGaussian) -> None:
    """What the iterations are for: volume is lost where the equations stay unsolved, and comes back at their rate."""
    torch.manual_seed(0)
    start, losses = torch.randn(2, 2, dtype=torch.float64), []
    for iterations in (1, 3, 9):
        torch.manual_seed(1)
        metric = some_metric(iterations=iterations)

        def end(start: Tensor, metric: Metric = metric) -> Tensor:
            return torch.cat(metric.walk(*start, lambda z: z, torch.full((2,), 0.04).double(), torch.ones(3).double()))

        jacobian = torch.autograd.functional.jacobian(end, start).flatten(1)
        losses.append(abs(float(torch.linalg.det(jacobian)) - 1))
    assert losses[0] > 1e-4
    assert losses[1] < losses[0] / 3
    assert losses[2] < losses[1] / 30


def test_no_path_that_lost_volume_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of paths with steps far too long: what says that it kept its volume did, by the Jacobian, and what did not says so."""
    torch.manual_seed(0)
    metric, starts = some_metric(iterations=6), torch.randn(200, 4, dtype=torch.float64, requires_grad=True)

    def ends() -> Tensor:
        return torch.cat(metric.walk(*starts.chunk(2, -1), lambda z: z, torch.full((2,), 0.12).double(), torch.ones(2).double()), -1)

    lost = ends().isnan().any(-1)
    monkeypatch.setattr("vaeworks.latents.riemannian.TOLERANCE", math.inf)
    jacobians = torch.stack([torch.autograd.grad(row.sum(), starts, retain_graph=True)[0] for row in ends().T], 1)
    errors = (torch.linalg.det(jacobians) - 1).abs()
    assert 0.1 < lost.double().mean() < 0.9
    assert errors[~lost].max() < 5e-3
    assert errors[lost].max() > 0.1


def test_a_step_learned_too_long_is_cut(model: LinearGaussian) -> None:
    batch, vae = Batch(model.sample(4)), riemannian(model, inflate=1.4, shift=0.4)
    with torch.no_grad():
        vae.latents.log_step.add_(5)  # type: ignore[operator,union-attr]
        assert vae(batch, 1000).log_weight(batch).isinf().double().mean() < 1e-3
    estimate, log_p = log_prob(vae, batch, 4000), model.log_prob(batch.x)
    assert ((estimate.value - log_p).abs() < 4.5 * estimate.standard_error + 1e-3).all()


def test_lost_paths_weigh_nothing_and_teach_nothing(model: LinearGaussian, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were steps not cut, p(x) would be underestimated, never exceeded; the bound is -inf; gradients stay finite."""
    monkeypatch.setattr(Metric, "longest", lambda *_: torch.tensor(math.inf))
    batch, vae = Batch(model.sample(4)), riemannian(model, inflate=1.4, shift=0.4, step_size=0.1)
    log_p = model.log_prob(batch.x)
    log_w = vae(batch, 2000).log_weight(batch)
    assert 0.05 < (log_w == -math.inf).double().mean() < 0.95
    assert not log_w.isnan().any()
    w = (log_w - log_p).exp().detach()
    assert (w.mean(0) < 1 + 4.5 * w.std(0) / 2000**0.5).all()
    trace = vae(batch, 50)
    value = ELBO()(trace, batch).value
    assert value == math.inf
    value.backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in vae.parameters())


def test_paths_go_back_and_keep_the_energy() -> None:
    """The generalised leapfrog undoes itself when the momentum is turned, and keeps the energy to second order of the step."""
    errors = []
    for steps, size in ((4, 0.02), (8, 0.01)):
        torch.manual_seed(0)
        metric = some_metric()
        z, r = torch.randn(2, 50, 2, dtype=torch.float64)

        def walk(z: Tensor, r: Tensor, steps: int = steps, size: float = size, metric: Metric = metric) -> tuple[Tensor, Tensor]:
            return metric.walk(z, r, lambda at: at, torch.full((2,), size).double(), torch.ones(steps).double())

        def energy(z: Tensor, r: Tensor, metric: Metric = metric) -> Tensor:
            return z.square().sum(-1) / 2 - metric.momentum(z).log_prob(r)

        z1, r1 = walk(z, r)
        back, turned = walk(z1, -r1)
        torch.testing.assert_close(back, z, atol=1e-6, rtol=0)
        torch.testing.assert_close(turned, -r, atol=1e-6, rtol=0)
        errors.append(float((energy(z1, r1) - energy(z, r)).abs().mean()))
    assert errors[1] < 0.35 * errors[0]


@knobs_of
def test_log_weight_is_that_of_its_definition(model: LinearGaussian, knobs: dict[str, Any]) -> None:
    """Joint over joint, every term by hand; the momentum's density at either end is that of the metric there."""
    batch, vae = Batch(model.sample(5)), riemannian(model, inflate=1.5, shift=0.5, **knobs)
    torch.manual_seed(1)
    trace = vae(batch, 3)
    (latent,) = trace.latents
    assert latent.z.shape == (3, 5, 4)
    torch.manual_seed(1)
    q0 = vae.encoder(batch.x)
    z0 = q0.rsample((3,))
    metric = vae.latents.geometry(vae, batch, q0)  # type: ignore[operator,union-attr]
    r0 = metric.momentum(z0).rsample()
    z, r = latent.z.chunk(2, -1)
    assert ((z - z0).abs() > 1e-4).all()

    def momentum(z: Tensor, r: Tensor) -> Tensor:
        values = [
            scipy.stats.multivariate_normal(np.zeros(2), np.linalg.inv(metric.inverse(z[i]).detach().numpy())).logpdf(r[i].detach().numpy())
            for i in np.ndindex(3, 5)
        ]
        return torch.tensor(values, dtype=torch.float64).view(3, 5)

    expected = Normal(z @ model.weight.T + model.bias, model.scale).log_prob(batch.x).sum(-1) + Normal(0.0, 1.0).log_prob(z).sum(-1) + momentum(z, r)
    torch.testing.assert_close(trace.log_weight(batch), expected - q0.log_prob(z0) - momentum(z0, r0))


@knobs_of
def test_weights_are_unbiased_and_the_bound_is_a_bound(model: LinearGaussian, knobs: dict[str, Any]) -> None:
    batch = Batch(model.sample(4))
    log_p, vae = model.log_prob(batch.x), riemannian(model, inflate=1.4, shift=0.4, **knobs)
    estimate = log_prob(vae, batch, 4000)
    assert ((estimate.value - log_p).abs() < 4.5 * estimate.standard_error + 1e-5).all()
    assert (estimate.standard_error < 0.1).all()
    assert (estimate.elbo < log_p).all()


def test_it_betters_a_poor_posterior(model: LinearGaussian) -> None:
    batch = Batch(model.sample(4))
    with torch.no_grad():
        poor = model.vae(inflate=2.0, shift=2.0)(batch, 2000).log_weight(batch).mean(0)
        bettered = (
            riemannian(model, inflate=2.0, shift=2.0, steps=10, step_size=0.04, tempering=0.6, iterations=25)(batch, 1000).log_weight(batch).mean(0)
        )
    assert (bettered > poor + 0.2).all()
    assert (bettered < model.log_prob(batch.x)).all()


def test_gradient_is_the_bounds(model: LinearGaussian) -> None:
    """Of every parameter, the metric's network among them, against finite differences, while the batch makes the metric."""
    vae, batch = riemannian(model, inflate=1.3, shift=0.4).train(), Batch(model.sample(4))
    assert directional_error(vae, ELBO(samples=2), batch, step=1e-5) < 1e-6
    ELBO()(vae(batch), batch).value.backward()
    for name, parameter in vae.latents.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_every_mode_gives_the_same(model: LinearGaussian, mode: type[torch.no_grad]) -> None:
    observed = torch.tensor([True, False, True, True]).expand(3, 4)
    batch, vae = Batch(model.sample(3).masked_fill(~observed, torch.nan), observed), riemannian(model)
    torch.manual_seed(2)
    expected = vae(batch, 2).log_weight(batch).detach()
    torch.manual_seed(2)
    with mode():
        batch = Batch(batch.x.clone(), observed.clone())  # made in that mode
        trace = vae(batch, 2)
        torch.testing.assert_close(trace.log_weight(batch), expected)
        means = vae.latents.means(vae, batch)
        assert torch.equal(means, vae.latents.means(vae, batch))
        assert vae.generate(3).mean.shape == (3, 4)
    for filling in (0.0, 7.0):  # what is missing reaches nothing, while training too
        other = Batch(batch.x.clone().masked_fill(~observed, filling), observed)
        vae.train()
        gradients = torch.autograd.grad(ELBO()(vae(other), other).value, list(vae.parameters()), allow_unused=True, materialize_grads=True)
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_the_metric_keeps_the_newest_items_and_belongs_to_the_state(model: LinearGaussian) -> None:
    vae = riemannian(model, centroids=6)
    latents = vae.latents
    assert isinstance(latents, RiemannianLatents)
    x = model.sample(8)
    vae.train()
    with torch.no_grad():
        for part in x.split(4):
            vae(Batch(part))
        expected = vae.encoder(x).mean
        kept = latents.centroids
        assert all(((kept - code).abs().max(1).values < 1e-12).any() for code in expected[-6:])
        vae.eval()
        before = latents.centroids.clone()
        together, alone = vae.latents.means(vae, Batch(x)), vae.latents.means(vae, Batch(x[2:3]))
    assert torch.equal(before, latents.centroids)
    torch.testing.assert_close(together[2:3], alone)  # evaluated, an item does not depend on its neighbours
    twin, other = copy.deepcopy(vae), riemannian(model, centroids=6)
    other.load_state_dict(vae.state_dict())
    for copied in (twin, other):
        torch.testing.assert_close(copied.latents.means(copied, Batch(x)), together, atol=0, rtol=0)


def test_it_is_on_the_axis_and_starts_before_it_has_seen_anything() -> None:
    assert LATENTS["riemannian"] is RiemannianLatents
    plain = LinearGaussian.random(4, 2).vae()
    vae = VAE(plain.encoder, plain.decoder, plain.prior, latents=RiemannianLatents(2, (4,)).double()).eval()
    batch = Batch(torch.randn(3, 4, dtype=torch.float64))
    assert vae(batch, 2).log_weight(batch).isfinite().all()
