"""Every objective on a linear-Gaussian model, where its value is known in closed form.

Truth: for q = N(m, diag s^2), E_q[log p(x | z)], the KL and log p(x) are polynomials and determinants: vaeworks.check.linear_gaussian,
itself held to scipy below.
"""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Laplace, Normal

from vaeworks.check.closed_forms import (
    Case,
    Expected,
    Truth,
    correlated_by_a_line,
    deceived_by_a_line,
    decorrelated,
    discrepancy,
    floored,
    importance_weighted,
    seen_by_a_line,
    similar,
    smooth,
    taken_apart,
    weighted,
)
from vaeworks.check.gradients import directional_error
from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.model import VAE
from vaeworks.objectives import OBJECTIVES, MissingProcess, NotMIWAE, Objective
from vaeworks.trace import Batch, Latent, Trace


def sounding(strength: float, beta: float) -> Expected:
    """The spectral distance of one channel of six samples, in windows of four at a hop of one, written out in numpy and averaged over q by quadrature."""

    def magnitudes(sound: np.ndarray) -> np.ndarray:
        padded = np.pad(sound, [(0, 0)] * (sound.ndim - 1) + [(1, 2)])
        frames = np.stack([padded[..., i : i + 4] * [0, 0.5, 1, 0.5] for i in range(6)], -2)
        return np.abs(frames @ np.exp(-2j * np.pi / 4 * np.outer(np.arange(4), np.arange(3))))

    def expected(_: Objective, t: Truth) -> Tensor:
        z, weight = t.over(40)
        x, y = magnitudes(t.x.numpy()), magnitudes(z @ t.model.weight.numpy().T + t.model.bias.numpy())
        convergence = (np.sqrt(((x - y) ** 2).sum((-2, -1)) + 1e-8) - 1e-4) / np.sqrt((x**2).sum((-2, -1)) + 1e-8)
        logs = np.abs(np.log(np.maximum(x, 1e-4)) - np.log(np.maximum(y, 1e-4))).mean((-2, -1))
        return beta * t.kl.sum(-1).mean() + t.distortion + strength * float((weight @ (convergence + logs)).mean())

    return expected


def seen(bound: Expected, kind: str) -> Expected:
    """``bound`` and, where everything is seen, -log of the probability of that, by numpy, a coordinate at a time."""

    def expected(objective: Objective, t: Truth) -> Tensor | float:
        process = objective.process
        assert isinstance(process, MissingProcess)
        weight, bias, x = process.weight.detach().numpy(), process.bias.detach().numpy(), t.x.numpy()
        logits = (x @ weight.T if kind == "linear" else x * weight) + bias
        return bound(objective, t) + float(np.log1p(np.exp(-logits)).sum(-1).mean())

    return expected


# One entry per registry line is what a new objective owes.
CASES: dict[str, list[Case]] = {
    "elbo": [
        Case(weighted(1.0)),
        Case(weighted(1.0), {"samples": 8}),
        Case(weighted(1.0), {"analytic": False}),
        Case(weighted(4.0), {"beta": 4.0}),
        Case(weighted(0.5), {"beta": 0.5, "analytic": False, "samples": 3}),
        Case(weighted(2.0), {"beta": 2.0, "gradient": "stl"}, surrogate=True),
        Case(floored(0.6), {"free_bits": 0.6}),
        Case(floored(10.0, 2.0), {"free_bits": 10.0, "beta": 2.0}),
    ],
    "autoencoder": [Case(weighted(0.0))],
    "iwae": [
        Case(importance_weighted(), {"samples": 2}, "items"),
        Case(importance_weighted(0.3), {"samples": 2, "beta": 0.3}, "items"),
        Case(importance_weighted(), {"samples": 2, "gradient": "dreg"}, "items", surrogate=True),
        Case(weighted(1.0), {"samples": 1}, "items"),
    ],
    "miwae": [Case(importance_weighted(), {"samples": 2, "groups": 3}, "items"), Case(weighted(1.0), {"samples": 1, "groups": 3}, "items")],
    "piwae": [Case(importance_weighted(0.5), {"samples": 1, "groups": 2, "beta": 0.5}, "items", surrogate=True)],
    "ciwae": [Case(importance_weighted(share=0.3), {"samples": 2, "share": 0.3}, "items"), Case(weighted(1.0), {"share": 1.0}, "items")],
    "not-miwae": [
        Case(seen(importance_weighted(), "self-masking"), {"samples": 2}, "items"),
        Case(seen(importance_weighted(0.3), "linear"), {"samples": 2, "beta": 0.3, "process": "linear"}, "items"),
    ],
    "capacity": [
        Case(lambda _, t: 3 * (20 - t.kl.sum(-1).mean()) + t.distortion, {"capacity": 20.0, "gamma": 3.0}),
        Case(lambda _, t: 3 * (t.kl.sum(-1).mean() - 0.1) + t.distortion, {"capacity": 0.1, "gamma": 3.0}),
    ],
    "geco": [
        Case(lambda _, t: t.distortion + t.kl.sum(-1).mean() - 7, {"target": 7.0}),
        Case(lambda _, t: t.kl.sum(-1).mean() + t.distortion + 3, {"constrain": "distortion", "target": -3.0}),
    ],
    "beta-tc": [
        Case(taken_apart(1, 1, 1), {"beta": 1.0}),
        Case(taken_apart(0.5, 4, 2), {"alpha": 0.5, "beta": 4.0, "gamma": 2.0}),
        Case(taken_apart(0.5, 4, 2, -math.log(5)), {"alpha": 0.5, "beta": 4.0, "gamma": 2.0, "sampling": "weighted"}, "neither"),
    ],
    "factor": [Case(correlated_by_a_line, {"hidden": (), "gamma": 3.0})],
    "dip": [Case(decorrelated(v, 2.0, 3.0), {"variant": v, "off_diagonal": 2.0, "diagonal": 3.0}) for v in ("I", "II")],
    "info": [
        Case(
            lambda _, t: 0.5 * t.kl.sum(-1).mean() + t.distortion + 30 * discrepancy(t, "gaussian"), {"kl_weight": 0.5, "mmd_weight": 30.0}, "neither"
        )
    ],
    "wae": [Case(lambda _, t: t.distortion + 30 * discrepancy(t, "inverse-multiquadratic"), {"mmd_weight": 30.0}, "neither")],
    "adversarial": [Case(deceived_by_a_line, {"hidden": (), "strength": 3.0})],
    "vae-gan": [Case(seen_by_a_line, {"hidden": (), "features": 3, "similarity": 2.0, "strength": 3.0, "likelihood": 0.5})],
    "regularised": [Case(smooth(0.3, 0.0), {"code": 0.3}), Case(smooth(0.3, 0.7), {"code": 0.3, "gradient": 0.7})],
    "ms-ssim": [Case(similar(20.0, 0.5, 2.0), {"strength": 20.0, "likelihood": 0.5, "beta": 2.0}, event=(1, 4, 4))],
    "spectral-elbo": [
        Case(sounding(20.0, 2.0), {"strength": 20.0, "beta": 2.0, "windows": (4,)}, event=(1, 6)),
        Case(weighted(1.0), {"strength": 0.0, "windows": (4, 8)}, event=(2, 3)),
    ],
    "semi-supervised": [Case(weighted(1.0)), Case(weighted(1.0), {"alpha": 3.0, "samples": 4})],
}
law = pytest.mark.parametrize(("name", "case"), [pytest.param(n, c, id=f"{n}-{i}") for n, all_ in CASES.items() for i, c in enumerate(all_)])


def setting(case: Case) -> tuple[VAE, Batch, Truth]:
    """A model, data, and a q that is too wide and off centre."""
    model = LinearGaussian.random(math.prod(case.event), 2)
    vae, x = model.vae(inflate=1.4, shift=0.5, event=case.event), model.sample(5)
    batch = Batch(x.unflatten(1, case.event))
    with torch.no_grad():
        q = vae.encoder(batch.x)
    return vae, batch, Truth(model, x, q.mean, q.stddev)


def build(name: str, case: Case, vae: VAE, batch: Batch) -> Objective:
    """The objective, having met the batch as the whole of its data, and at rest."""
    objective = OBJECTIVES[name](**case.knobs)
    objective.settle(vae(batch), len(batch))
    if isinstance(objective, NotMIWAE):  # it starts at zero, where what is missing tells nothing
        with torch.no_grad():
            for i, p in enumerate(objective.parameters()):
                p.copy_(0.05 * torch.arange(p.numel()).view(p.shape).add(i).sin())
    return objective.eval()


def parameters(vae: nn.Module, objective: nn.Module) -> Iterator[Tensor]:
    yield from vae.parameters()
    yield from objective.parameters()


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
    vae, batch, truth = setting(case)
    objective = build(name, case, vae, batch)
    samples = objective.samples * (32 if case.averages != "items" else 1)
    many = Batch(batch.x.repeat(32, *(1 for _ in case.event))) if case.averages == "items" else batch
    values = torch.stack([objective(vae(many, samples), many).value.detach() for _ in range(100)])
    assert values.isfinite().all()
    assert abs(values.mean() - case.expected(objective, truth)) < 4.5 * values.std() / 10 + 1e-9


@law
def test_loss_is_a_scalar_and_its_terms_are_per_item(name: str, case: Case) -> None:
    vae, batch, _ = setting(case)
    objective = build(name, case, vae, batch)
    loss = objective(vae(batch, objective.samples), batch)
    assert loss.value.shape == ()
    assert loss.value.requires_grad
    assert loss.terms
    for term in loss.terms.values():
        assert not term.requires_grad
        assert term.shape in {(5,), (objective.samples, 5)}


@law
def test_reported_elbo_is_the_bound_whatever_the_knobs(name: str, case: Case) -> None:
    vae, batch, truth = setting(case)
    objective = build(name, case, vae, batch)
    with torch.no_grad():
        terms = [objective(vae(batch, 40), batch, weight=0.3).terms for _ in range(30)]
    if "elbo" not in terms[0]:
        pytest.skip("no bound is reported")
    elbo = torch.cat([term["elbo"] for term in terms])
    error = 4.5 * elbo.std(0) / len(elbo) ** 0.5
    assert ((elbo.mean(0) - truth.model.elbo(truth.x, truth.mean, truth.scale)).abs() < error).all()


@law
def test_gradient_agrees_with_finite_differences(name: str, case: Case) -> None:
    vae, batch, _ = setting(case)
    if case.surrogate:
        pytest.skip("held to the exact gradient elsewhere")
    assert directional_error(vae, build(name, case, vae, batch), batch, step=1e-5) < 1e-6


@law
def test_items_are_averaged_and_samples_are_averaged(name: str, case: Case) -> None:
    """Twice the same items, or samples: the same loss, so no step size hangs on the batch size."""
    if case.averages == "neither":
        pytest.skip("pairs of items count, and an item beside itself is no pair")
    vae, batch, _ = setting(case)
    doubled = Batch(torch.cat([batch.x, batch.x]))
    objective = build(name, case, vae, batch)
    again = OBJECTIVES[name](**case.knobs).eval()
    again.settle(vae(batch), 10)
    again.load_state_dict(objective.state_dict())
    samples = (100, 50) if case.averages == "samples" else (objective.samples, objective.samples)
    with torch.no_grad():
        once = torch.stack([objective(vae(batch, samples[0]), batch).value for _ in range(30)])
        twice = torch.stack([again(vae(doubled, samples[1]), doubled).value for _ in range(30)])
    assert abs(once.mean() - twice.mean()) < 4.5 * ((once.var() + twice.var()) / 30).sqrt() + 1e-9


@law
def test_what_is_missing_changes_nothing(name: str, case: Case) -> None:
    vae, batch, _ = setting(case)
    objective = build(name, case, vae, batch)
    observed = torch.rand(batch.x.shape) < 0.6
    losses = []
    for filling in (torch.nan, 1e3):
        torch.manual_seed(3)
        missing = Batch(batch.x.masked_fill(~observed, filling), observed)
        loss = objective(vae(missing, objective.samples), missing)
        whole = loss.value if loss.opponent is None else loss.value + loss.opponent
        gradients = torch.autograd.grad(whole, list(parameters(vae, objective)), allow_unused=True, materialize_grads=True)
        losses.append(torch.cat([whole[None], *(gradient.flatten() for gradient in gradients)]))
    assert losses[0].isfinite().all()
    torch.testing.assert_close(losses[0], losses[1], atol=0, rtol=0)


@law
@pytest.mark.parametrize(("samples", "items"), [(1, 1), (3, 1), (1, 2), (4, 5)])
def test_any_number_of_samples_and_items_will_do(name: str, case: Case, samples: int, items: int) -> None:
    """Validation takes one sample, and the last of its batches may hold one item."""
    vae, batch, _ = setting(case)
    objective, part = build(name, case, vae, batch), Batch(batch.x[:items])
    for loss in (objective.train()(vae(part, samples), part), objective.eval()(vae(part, samples), part)):
        gradients = torch.autograd.grad(loss.value, list(vae.parameters()), allow_unused=True, materialize_grads=True)
        assert all(value.isfinite().all() for value in (loss.value, *loss.terms.values(), *gradients))
    with torch.no_grad():
        assert objective(vae(part, samples), part).value.isfinite()


@law
def test_model_and_opponent_each_learn_from_their_own_loss(name: str, case: Case) -> None:
    vae, batch, _ = setting(case)
    objective = build(name, case, vae, batch)
    own = list(objective.parameters())
    loss = objective(vae(batch, objective.samples), batch)
    assert (loss.opponent is not None) == bool(own)
    if loss.opponent is None:
        return
    assert all(g is None for g in torch.autograd.grad(loss.value, own, allow_unused=True, retain_graph=True))
    assert not any(p.grad_fn for p in own)
    (loss.value + loss.opponent).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in own)
    together = [p.grad for p in vae.parameters()]
    vae.zero_grad()
    torch.manual_seed(9)
    opponent = objective(vae(batch, objective.samples), batch).opponent
    assert opponent is not None
    assert all(g is None for g in torch.autograd.grad(opponent, list(vae.parameters()), allow_unused=True))
    assert any(g is not None and g.abs().sum() > 0 for g in together)


@law
def test_evaluation_leaves_the_objective_as_it_was_and_its_state_round_trips(name: str, case: Case) -> None:
    vae, batch, _ = setting(case)
    objective, other = build(name, case, vae, batch), build(name, case, vae, batch)
    objective.train()(vae(batch, objective.samples), batch)
    objective.eval()
    before = {key: value.clone() for key, value in objective.state_dict().items()}
    objective(vae(batch, objective.samples), batch)
    assert all(torch.equal(before[key], value) for key, value in objective.state_dict().items())
    other.load_state_dict(before)
    values = []
    for each in (objective, other):
        torch.manual_seed(4)
        values.append(each(vae(batch, objective.samples), batch).value)
    torch.testing.assert_close(values[0], values[1], atol=0, rtol=0)


def levels(features: Tensor, samples: int, event: tuple[int, ...], *, laplace: bool = False) -> tuple[Trace, Batch]:
    """Two levels of two dimensions, the second's q and p moved by the first, from features (B, 4); with Laplace posteriors no KL is known in closed form."""
    family = Laplace if laplace else Normal
    q1 = Independent(family(features[:, :2], torch.full_like(features[:, :2], 0.7)), 1)
    z1 = q1.rsample((samples,))
    q2 = Independent(family(features[:, 2:] + 0.5 * z1, torch.full_like(z1, 0.6)), 1)
    z2 = q2.rsample()
    priors = Independent(Normal(torch.zeros(2), torch.ones(2)), 1), Independent(Normal(torch.tanh(z1), torch.ones(2)), 1)
    size = math.prod(event)
    mean = (z2 @ torch.linspace(-1, 1, 2 * size).view(2, size)).unflatten(-1, event)
    x = Independent(Normal(mean, 0.5), len(event))
    batch = Batch(torch.linspace(0, 1, len(features) * size).view(-1, *event))
    return Trace(x, (Latent(z1, q1, priors[0]), Latent(z2, q2, priors[1]))), batch


@law
@pytest.mark.parametrize("laplace", [False, True])
def test_hierarchies_and_posteriors_without_closed_forms_are_served(name: str, case: Case, laplace: bool) -> None:
    if laplace and case.knobs.get("gradient") in {"stl", "dreg"}:
        pytest.skip("a Laplace distribution cannot be held fixed")
    features = torch.linspace(-1, 1, 20).view(5, 4).sin().requires_grad_()
    objective = OBJECTIVES[name](**case.knobs)
    objective.settle(levels(features, 1, case.event)[0], 5)
    trace, batch = levels(features, 40, case.event, laplace=laplace)
    loss = objective(trace, batch)
    (gradient,) = torch.autograd.grad(loss.value, features)
    assert gradient.isfinite().all()
    assert (gradient[:, :2] != 0).any()
    assert (gradient[:, 2:] != 0).any()
    if "elbo" in loss.terms:
        difference = (loss.terms["elbo"] - trace.log_weight(batch)).mean(1)
        assert abs(difference.mean()) < 4.5 * difference.std() / 40**0.5 + 1e-9


@law
def test_penalties_of_the_trace_are_added(name: str, case: Case) -> None:
    vae, batch, _ = setting(case)
    objective = build(name, case, vae, batch)
    penalties = {"commitment": torch.arange(5.0), "distance": torch.tensor(3.0)}
    losses = []
    for extra in ({}, penalties):
        torch.manual_seed(5)
        trace = vae(batch, objective.samples)
        losses.append(objective(Trace(trace.x, trace.latents, extra), batch))
    torch.testing.assert_close(losses[1].value, losses[0].value + 5)
    torch.testing.assert_close(losses[1].terms["commitment"], penalties["commitment"])
    torch.testing.assert_close(losses[1].terms["distance"], torch.full((5,), 3.0))
    assert losses[1].terms.keys() == losses[0].terms.keys() | penalties.keys()
