"""Values that hide themselves: the bound and its gradients against integrals, and a mean that is recovered where it is biased otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from torch import Tensor, nn

from vaeworks.check.linear_gaussian import LinearGaussian, linear_vae
from vaeworks.likelihoods import BernoulliLikelihood
from vaeworks.model import VAE, Decoder, Encoder
from vaeworks.networks import MLP
from vaeworks.objectives import MIWAE, MissingProcess, NotMIWAE, Objective
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import StandardNormalPrior
from vaeworks.trace import Batch


def settled(objective: NotMIWAE, vae: VAE, batch: Batch) -> MissingProcess:
    objective.settle(vae(batch), len(batch))
    assert objective.process is not None
    with torch.no_grad():
        for i, p in enumerate(objective.process.parameters()):
            p.copy_(0.1 * torch.arange(p.numel()).view(p.shape).add(i + 1).cos())
    return objective.process


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("kind", ["self-masking", "linear"])
def test_the_bound_tends_to_the_joint_probability_of_values_and_mask(kind: str) -> None:
    """log p(x_seen, s), the missing value integrated out by scipy's quadrature over its normal given the others."""
    model = LinearGaussian.random(3, 2)
    x, seen = model.sample(4), torch.tensor([[True, False, True]]).repeat(4, 1)
    batch, vae = Batch(x.masked_fill(~seen, torch.nan), seen), model.vae(inflate=1.3)
    objective = NotMIWAE(process=kind)  # type: ignore[arg-type]
    process = settled(objective, vae, batch)
    a, b = process.weight.detach().numpy(), process.bias.detach().numpy()
    w, mean = model.weight.numpy(), model.bias.numpy()
    covariance = w @ w.T + model.scale**2 * np.eye(3)
    gain = covariance[1, [0, 2]] @ np.linalg.inv(covariance[np.ix_([0, 2], [0, 2])])
    spread = math.sqrt(covariance[1, 1] - gain @ covariance[[0, 2], 1])
    with torch.no_grad():
        found = objective(vae(batch, 30_000), batch).terms["not-miwae"]
    for i in range(4):
        own = x[i].numpy()
        middle = mean[1] + gain @ (own[[0, 2]] - mean[[0, 2]])
        log_p = scipy.stats.multivariate_normal(mean[[0, 2]], covariance[np.ix_([0, 2], [0, 2])]).logpdf(own[[0, 2]])

        def integrand(value: float, own: np.ndarray = own, middle: float = middle) -> float:
            whole = np.array([own[0], value, own[2]])
            logits = (a @ whole if kind == "linear" else a * whole) + b
            return float(scipy.stats.norm(middle, spread).pdf(value) * scipy.special.expit(logits * [1, -1, 1]).prod())

        mass, _ = scipy.integrate.quad(integrand, middle - 9 * spread, middle + 9 * spread)
        assert float(found[i]) == pytest.approx(log_p + math.log(mass), abs=0.05)


@pytest.mark.usefixtures("exact")
def test_gradients_through_values_that_have_none_are_those_of_the_sum_over_them() -> None:
    """Two bits, one of them missing: the gradient of log p(x_seen, s) by quadrature over z and a sum over the bit, for the decoder and for the process."""
    posterior, likelihood = DiagonalNormalPosterior(1), BernoulliLikelihood((2, 1, 1), levels=2)
    vae = VAE(
        Encoder(MLP((2, 1, 1), posterior.parameter_shape, hidden=()), posterior),
        Decoder(MLP((1,), likelihood.parameter_shape, hidden=()), likelihood),
        StandardNormalPrior(1),
    )
    with torch.no_grad():  # q is the prior, so that weights are bounded
        for p in vae.encoder.parameters():
            p.zero_()
    batch = Batch(torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), torch.tensor([True, False]).view(1, 2, 1, 1))
    objective = NotMIWAE()
    process = settled(objective, vae, batch)
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    z, mass = torch.tensor(node)[:, None], torch.tensor(weight / weight.sum())
    logits = vae.decoder.network(z).flatten(1)  # type: ignore[operator]
    total = torch.zeros(())
    for bit in (0.0, 1.0):
        x = torch.tensor([1.0, bit])
        p = (x * logits - nn.functional.softplus(logits)).sum(-1).exp()
        total = total + (mass * p).sum() * process(x[None, None], torch.tensor([[True, False]])).exp().sum()
    parameters = [*vae.decoder.parameters(), *process.parameters()]
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(-total.log(), parameters)])
    found = []
    for _ in range(30):
        loss = objective(vae(batch, 4000), batch)
        assert loss.opponent is not None
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss.value + loss.opponent, parameters)]))
    stacked = torch.stack(found)
    error = 4.5 * stacked.std(0) / 30**0.5 + 2e-3
    assert ((stacked.mean(0) - expected).abs() < error).all()


def censored(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """x (N, 4) of one code, its true mean, and what is seen: the first two coordinates hide what is above about their mean."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(n, 1, generator=generator)
    mean = torch.tensor([1.0, -0.5, 0.3, 0.0])
    x = mean + z @ torch.tensor([[1.0, 0.8, -0.9, 1.0]]) + 0.7 * torch.randn(n, 4, generator=generator)
    chance = torch.sigmoid(-4 * (x - mean))
    seen = torch.rand(n, 4, generator=generator) < chance
    seen[:, 2:] = True
    return x, mean, seen


def learned_mean(objective: Objective, steps: int = 300) -> Tensor:
    """The mean of p(x) after learning from censored items."""
    x, mean, seen = censored(3000)
    torch.manual_seed(0)
    vae = linear_vae(4, 1, scale=0.7)
    objective.settle(vae(Batch(x[:2], seen[:2])), len(x))
    optimizer = torch.optim.Adam([*vae.parameters(), *objective.parameters()], lr=0.02)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * min(1.0, 2 * (1 - step / steps))
        index = torch.randint(len(x), (250,))
        batch = Batch(x[index].masked_fill(~seen[index], torch.nan), seen[index])
        loss = objective(vae(batch, objective.samples), batch)
        optimizer.zero_grad()
        (loss.value if loss.opponent is None else loss.value + loss.opponent).backward()
        optimizer.step()
    with torch.no_grad():
        return vae.decode(torch.zeros(1, 1)).mean[0] - mean


def test_the_mean_of_values_that_hide_themselves_is_recovered() -> None:
    """High values are missing: without the process the means of the two come out by a quarter of a unit or more too low, with it within 0.15, and what hides them is found."""
    objective = NotMIWAE(samples=8)
    blind, seeing = learned_mean(MIWAE(samples=8, groups=1)), learned_mean(objective)
    assert (blind[:2] < -0.25).all(), blind
    assert (seeing[:2].abs() < 0.15).all(), seeing
    assert (seeing[2:].abs() < 0.1).all()
    assert objective.process is not None
    weight = objective.process.weight.detach()
    assert (weight[:2] < -2).all(), weight  # -4 in truth
    assert (objective.process.bias.detach()[2:] > 2).all()  # always seen


def test_what_it_cannot_weigh_is_told() -> None:
    vae = linear_vae(3, 1)
    batch = Batch(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="call settle"):
        NotMIWAE()(vae(batch), batch)
    objective = NotMIWAE()
    objective.settle(vae(batch), 2)
    with pytest.raises(ValueError, match="what is missing of text has no value"):
        objective(vae(batch), Batch(torch.zeros(2, 3, dtype=torch.int64)))
    wide = linear_vae(5000, 1)
    with pytest.raises(ValueError, match="use process = 'self-masking'"):
        NotMIWAE(process="linear").settle(wide(Batch(torch.zeros(2, 5000))), 2)
