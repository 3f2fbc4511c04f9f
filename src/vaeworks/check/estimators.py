"""The gradients that leave out a score: unbiased, and of the variance that theory promises."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.model import VAE, Encoder
from vaeworks.objectives import ELBO, IWAE, Objective
from vaeworks.trace import Batch, Latent

__all__ = ["bound_of_two", "check_estimators", "gradients"]

REPEATS = 20_000
FEW, MANY = 16, 64
"""Values of K between which the variance falls."""


def check_estimators(setting: Setting) -> Iterator[CheckResult]:
    """Gradients by the mean and log scale of q for one item, each from fresh noise, on a linear-Gaussian model of one latent dimension.

    Sticking the landing has none at the exact posterior, where autograd's own has standard deviation 1 / scale by the mean: the score's (Roeder et al. 2017, arXiv:1703.09194). With K
    samples the variance of the doubly reparameterised gradient falls as 1 / K^3, that of autograd's own as 1 / K (Tucker et al. 2019, arXiv:1810.04152; Rainforth et al. 2018,
    arXiv:1802.04537).
    """
    model = LinearGaussian.random(3, 1, scale=0.8, dtype=setting.dtype, device=setting.device)
    vae, x = model.vae(inflate=1.3, shift=0.5), model.sample(1)
    start = _features(vae, x)
    exact = _differences(model, x, start)
    for name, objective in (("STL", ELBO(analytic=False, gradient="stl")), ("DReG", IWAE(samples=2, gradient="dreg"))):
        drawn = gradients(vae, x, start, objective, REPEATS)
        truth = exact[objective.samples]
        error = float(((drawn.mean(0) - truth).abs() / (drawn.std(0) / math.sqrt(REPEATS))).max())
        about = f"mean of {REPEATS} gradients, against central differences of the bound by quadrature: greatest difference in standard errors"
        yield compare(f"gradient estimators: {name}, mean", about, error, 0.0, 4.5)
    yield from _at_the_exact_posterior(model, x, setting)
    yield from _orders(model, x)


def _at_the_exact_posterior(model: LinearGaussian, x: Tensor, setting: Setting) -> Iterator[CheckResult]:
    vae = model.vae()
    start = _features(vae, x)
    plain = gradients(vae, x, start, ELBO(analytic=False), REPEATS)[:, 0]
    deviation = float(plain.std())
    about = "standard deviation of autograd's gradient by the mean of q at the exact posterior, against 1 / scale of q"
    scale = float(vae.encoder(x).stddev.detach())
    yield compare("gradient estimators: plain, exact posterior", about, deviation, 1 / scale, 4.5 * deviation / math.sqrt(2 * REPEATS))
    for name, objective in (("STL", ELBO(gradient="stl")), ("DReG", IWAE(samples=FEW, gradient="dreg"))):
        largest = float(gradients(vae, x, start, objective, 100).abs().max())
        about = "greatest gradient by mean and scale of q at the exact posterior, where there is nothing to learn, to the rounding of the model's own scale"
        yield compare(f"gradient estimators: {name}, exact posterior", about, largest, 0.0, setting.rounding(1e-5, 1e-3))


def _orders(model: LinearGaussian, x: Tensor) -> Iterator[CheckResult]:
    vae = model.vae(inflate=1.2, shift=0.2)
    start = _features(vae, x)
    for name, order in (("plain", -1.0), ("dreg", -3.0)):
        few, many = (
            float(gradients(vae, x, start, IWAE(samples=k, gradient="dreg" if name == "dreg" else "plain"), 4000).var(0).sum()) for k in (FEW, MANY)
        )
        about = f"slope of the log variance of the {name} gradient of q against log K, from {FEW} to {MANY} samples, against the order by theory"
        yield compare(f"gradient estimators: {name}, order", about, math.log(many / few) / math.log(MANY / FEW), order, 0.3)


def gradients(vae: VAE, x: Tensor, features: Tensor, objective: Objective, repeats: int) -> Tensor:
    """(repeats, 2): gradients of the loss of one item x (1, X) by the features (1, 2) that q is made of, each from noise of its own."""
    assert isinstance(vae.encoder, Encoder)
    leaf = features.repeat(repeats, 1).requires_grad_()
    q = vae.encoder.posterior(leaf)
    batch = Batch(x.expand(repeats, -1))
    trace = vae.complete((Latent(q.rsample(torch.Size((objective.samples,))), q, vae.prior()),), batch)
    (gradient,) = torch.autograd.grad(objective(trace, batch).value * repeats, leaf)
    return gradient.double().cpu()


def _features(vae: VAE, x: Tensor) -> Tensor:
    assert isinstance(vae.encoder, Encoder)
    return vae.encoder.features(x).detach()


def bound_of_two(model: LinearGaussian, x: Tensor, features: Tensor) -> tuple[float, float]:
    """The ELBO and the bound of two samples, in nats, for q = N(m, s^2) of features m and s (s bent as the diagonal posterior bends it): Gauss-Hermite quadrature in numpy."""
    node, weight = np.polynomial.hermite_e.hermegauss(64)
    weight = weight / weight.sum()
    mean, bent = features[0, 0].item(), features[0, 1].item()
    scale = math.exp(7 * math.tanh(bent / 7))
    z = mean + scale * node
    error = x[0].cpu().double().numpy() - z[:, None] * model.weight[:, 0].cpu().double().numpy() - model.bias.cpu().double().numpy()
    log_x = (-0.5 * (error / model.scale) ** 2 - math.log(model.scale * math.sqrt(2 * math.pi))).sum(-1)
    log_w = log_x - 0.5 * z**2 + 0.5 * node**2 + math.log(scale)
    pairs = np.logaddexp(log_w[:, None], log_w) - math.log(2)
    return float(weight @ log_w), float(weight @ pairs @ weight)


def _differences(model: LinearGaussian, x: Tensor, features: Tensor, step: float = 1e-5) -> dict[int, Tensor]:
    """K -> the gradient (2,) of minus the K-sample bound by the features, K = 1 and 2, by central differences."""
    start, rows = features.cpu().double(), []
    for unit in torch.eye(2, dtype=torch.float64):
        ahead, behind = (bound_of_two(model, x, start + sign * step * unit) for sign in (1, -1))
        rows.append([(b - a) / (2 * step) for a, b in zip(ahead, behind, strict=True)])
    one, two = torch.tensor(rows, dtype=torch.float64).T
    return {1: one, 2: two}
