"""Every objective on a linear-Gaussian model, where its value is known in closed form.

Truth: for q = N(m, diag s^2), E_q[log p(x | z)], the KL and log p(x) are polynomials and determinants: vaeworks.check.linear_gaussian,
itself held to scipy below.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor

from vaeworks.check.gradients import directional_error
from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.objectives import OBJECTIVES, Objective
from vaeworks.trace import Batch

# (model, x, mean, scale of q) -> the expected value of the loss
Expected = Callable[[LinearGaussian, Tensor, Tensor, Tensor], Tensor]


def weighted(beta: float) -> Expected:
    return lambda model, x, m, s: (beta * model.kl(m, s).sum(-1) - model.log_likelihood(x, m, s)).mean()


def floored(floor: float, beta: float = 1.0) -> Expected:
    return lambda model, x, m, s: beta * model.kl(m, s).mean(0).clamp_min(floor).sum() - model.log_likelihood(x, m, s).mean()


@dataclass(frozen=True)
class Case:
    expected: Expected
    knobs: dict[str, Any] = field(default_factory=dict)


# One entry per registry line is what a new objective owes.
CASES: dict[str, list[Case]] = {
    "elbo": [
        Case(weighted(1.0)),
        Case(weighted(1.0), {"samples": 8}),
        Case(weighted(1.0), {"analytic": False}),
        Case(weighted(4.0), {"beta": 4.0}),
        Case(weighted(0.5), {"beta": 0.5, "analytic": False, "samples": 3}),
        Case(floored(0.6), {"free_bits": 0.6}),
        Case(floored(10.0, 2.0), {"free_bits": 10.0, "beta": 2.0}),
    ],
    "autoencoder": [Case(weighted(0.0))],
}
law = pytest.mark.parametrize(("name", "case"), [pytest.param(n, c, id=f"{n}-{i}") for n, all_ in CASES.items() for i, c in enumerate(all_)])


def setting() -> tuple[LinearGaussian, Batch, Tensor, Tensor]:
    """A model, data, and a q that is too wide and off centre."""
    model = LinearGaussian.random(4, 2)
    x = model.sample(5)
    with torch.no_grad():
        q = model.vae(inflate=1.4, shift=0.5).encoder(x)
    return model, Batch(x), q.mean, q.stddev


def build(name: str, case: Case) -> Objective:
    return OBJECTIVES[name](**case.knobs)


def test_every_objective_is_under_law() -> None:
    assert set(CASES) == set(OBJECTIVES)


def test_the_truth_is_true() -> None:
    """log p(x) by scipy's multivariate normal; the ELBO of one dimension by quadrature over z."""
    model = LinearGaussian.random(4, 2)
    x = model.sample(3)
    covariance = (model.weight @ model.weight.T + model.scale**2 * torch.eye(4)).numpy()
    np.testing.assert_allclose(model.log_prob(x).numpy(), scipy.stats.multivariate_normal(model.bias.numpy(), covariance).logpdf(x.numpy()))
    exact_mean, exact_scale = model.posterior(x)
    torch.testing.assert_close(model.elbo(x, exact_mean, exact_scale), model.log_prob(x))

    line = LinearGaussian.random(3, 1)
    x, m, s = line.sample(1), torch.tensor([[0.3]]), torch.tensor([0.8])
    q, p = scipy.stats.norm(0.3, 0.8), scipy.stats.norm(0, 1)

    def integrand(z: float) -> float:
        log_likelihood = scipy.stats.norm(z * line.weight[:, 0].numpy() + line.bias.numpy(), line.scale).logpdf(x[0].numpy()).sum()
        return float(q.pdf(z) * (log_likelihood + p.logpdf(z) - q.logpdf(z)))

    assert line.elbo(x, m, s).item() == pytest.approx(scipy.integrate.quad(integrand, -8, 8)[0], rel=1e-7)


@law
def test_expected_value_is_the_closed_form(name: str, case: Case) -> None:
    model, batch, mean, scale = setting()
    vae, objective = model.vae(inflate=1.4, shift=0.5), build(name, case)
    with torch.no_grad():
        values = torch.stack([objective(vae(batch, 32 * objective.samples), batch).value for _ in range(100)])
    assert abs(values.mean() - case.expected(model, batch.x, mean, scale)) < 4.5 * values.std() / 10


@law
def test_loss_is_a_scalar_and_its_terms_are_per_item(name: str, case: Case) -> None:
    model, batch, _, _ = setting()
    vae, objective = model.vae(inflate=1.4, shift=0.5), build(name, case)
    loss = objective(vae(batch, objective.samples), batch)
    assert loss.value.shape == ()
    assert loss.value.requires_grad
    assert loss.terms
    for term in loss.terms.values():
        assert not term.requires_grad
        assert term.shape in {(5,), (objective.samples, 5)}


@law
def test_reported_elbo_is_the_bound_whatever_the_knobs(name: str, case: Case) -> None:
    model, batch, mean, scale = setting()
    vae, objective = model.vae(inflate=1.4, shift=0.5), build(name, case)
    with torch.no_grad():
        terms = objective(vae(batch, 4000), batch, weight=0.3).terms
    if "elbo" not in terms:
        pytest.skip("no bound is reported")
    error = 4.5 * terms["elbo"].std(0) / 4000**0.5
    assert ((terms["elbo"].mean(0) - model.elbo(batch.x, mean, scale)).abs() < error).all()


@law
def test_gradient_agrees_with_finite_differences(name: str, case: Case) -> None:
    model, batch, _, _ = setting()
    assert directional_error(model.vae(inflate=1.4, shift=0.5), build(name, case), batch, step=1e-5) < 1e-6


@law
def test_items_are_averaged_and_samples_are_averaged(name: str, case: Case) -> None:
    """Twice the same items, or samples: the same loss, so no step size hangs on the batch size."""
    model, batch, _, _ = setting()
    vae, objective = model.vae(), build(name, case)
    with torch.no_grad():
        once = torch.stack([objective(vae(batch, 200), batch).value for _ in range(20)])
        doubled = Batch(batch.x.repeat(2, 1))
        twice = torch.stack([objective(vae(doubled, 100), doubled).value for _ in range(20)])
    assert abs(once.mean() - twice.mean()) < 4.5 * ((once.var() + twice.var()) / 20).sqrt() + 1e-9


@law
def test_what_is_missing_changes_nothing(name: str, case: Case) -> None:
    model, batch, _, _ = setting()
    vae, objective = model.vae(), build(name, case)
    observed = torch.rand(5, 4) < 0.6
    losses = []
    for filling in (torch.nan, 1e3):
        torch.manual_seed(3)
        missing = Batch(batch.x.masked_fill(~observed, filling), observed)
        loss = objective(vae(missing, objective.samples), missing).value
        gradients = torch.autograd.grad(loss, list(vae.parameters()), allow_unused=True, materialize_grads=True)
        losses.append(torch.cat([loss[None], *(gradient.flatten() for gradient in gradients)]))
    assert losses[0].isfinite().all()
    torch.testing.assert_close(losses[0], losses[1], atol=0, rtol=0)
