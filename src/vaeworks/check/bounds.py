"""The K-sample bound: the ELBO at K = 1, rising with K, and log p(x) in the limit (Burda et al. 2016, arXiv:1509.00519)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.evaluation import log_prob
from vaeworks.model import VAE
from vaeworks.objectives import ELBO
from vaeworks.trace import Batch

__all__ = ["check_bounds"]

ITEMS, DRAWS = 4, 16384
STEPS = (1, 4, 16, 1024)
"""The values of K; K times the repetitions of an item is DRAWS."""


@torch.no_grad()
def check_bounds(setting: Setting) -> Iterator[CheckResult]:
    """A proposal that is too wide and off centre, on a linear-Gaussian model: every bound's place is known."""
    model = LinearGaussian.random(5, 2, dtype=setting.dtype, device=setting.device)
    vae, x = model.vae(inflate=1.5, shift=0.7), model.sample(ITEMS)
    mean, scale = _proposal(vae, x)
    closed = float(model.elbo(x, mean, scale).mean())
    exact = float(model.log_prob(x).mean())

    elbo = ELBO(samples=DRAWS)
    terms = elbo(vae(Batch(x), DRAWS), Batch(x)).terms["elbo"].mean(1)
    yield compare("bounds: ELBO", "mean of the ELBO over samples, in nats, against its closed form", float(terms.mean()), closed, _margin(terms))

    bounds = [_bound(vae, x, k) for k in STEPS]
    means = [float(bound.mean()) for bound in bounds]
    yield compare("bounds: K = 1", "the 1-sample bound in nats, against the closed form of the ELBO", means[0], closed, _margin(bounds[0]))
    rising = sum(low < high for low, high in pairwise(means))
    yield compare("bounds: rising", f"steps of K in {STEPS} at which the bound rises", rising, len(STEPS) - 1, 0)
    yield compare(f"bounds: K = {STEPS[-1]}", f"the {STEPS[-1]}-sample bound in nats, against log p(x) in closed form", means[-1], exact, 0.02)


def _proposal(vae: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (B, D) and scale (B, D) of q(z | x)."""
    q = vae.encoder(x)
    return q.mean, q.stddev


def _bound(vae: VAE, x: Tensor, k: int) -> Tensor:
    """The k-sample bound averaged over items, (R,): one entry per repetition."""
    repeats = DRAWS // k
    return log_prob(vae, Batch(x.repeat(repeats, 1)), samples=k).value.reshape(repeats, ITEMS).mean(1)


def _margin(repetitions: Tensor) -> float:
    """4.5 standard errors of a mean."""
    return 4.5 * float(repetitions.std()) / math.sqrt(len(repetitions))
