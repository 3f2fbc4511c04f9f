"""Analytic KL divergences, against their formula and against Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.objectives import analytic_kl
from vaeworks.posteriors import POSTERIORS, DiagonalNormalPosterior
from vaeworks.priors import PRIORS, StandardNormalPrior, VampPrior
from vaeworks.trace import Latent

__all__ = ["check_divergences"]

LATENT, ITEMS, SAMPLES = 3, 8, 20_000


@torch.no_grad()
def check_divergences(setting: Setting) -> Iterator[CheckResult]:
    """The normal's KL in closed form; then every pair of posterior and prior whose KL is known, against the mean of log q - log p over samples."""
    features = torch.randn(ITEMS, 2 * LATENT).to(setting.device, setting.dtype)
    q, p = DiagonalNormalPosterior(LATENT)(features), StandardNormalPrior(LATENT).to(setting.device, setting.dtype)()
    latent = Latent(q.rsample((1,)), q, p)
    closed = analytic_kl(latent)
    measured = math.nan if closed is None else float(closed.mean())
    expected = float(LinearGaussian.kl(q.mean, q.stddev).sum(-1).mean())
    tolerance = setting.rounding(1e-10, 1e-4)
    yield compare("divergences: formula", "KL(q || N(0, I)) of a diagonal normal, against its closed form", measured, expected, tolerance)
    for posterior_name, posterior_family in POSTERIORS.items():
        for prior_name, prior_family in PRIORS.items():
            if posterior_family.space != prior_family.space or prior_family is VampPrior:  # a prior made of an encoder has no closed form
                continue
            posterior = posterior_family(LATENT).to(setting.device, setting.dtype)
            prior = prior_family(LATENT).to(setting.device, setting.dtype)
            q = posterior(torch.randn(ITEMS, *posterior.parameter_shape).to(setting.device, setting.dtype))
            p = prior()
            closed = analytic_kl(Latent(q.rsample((1,)), q, p))
            if closed is None:
                continue
            latent = Latent(q.rsample((SAMPLES,)), q, p)
            sampled = (q.log_prob(latent.z) - latent.p.log_prob(latent.z)).mean(1)
            yield compare(
                f"divergences: {posterior_name} to {prior_name}",
                f"analytic KL(q || p), against the mean of log q(z) - log p(z) over {SAMPLES * ITEMS:,} samples",
                float(closed.mean()),
                float(sampled.mean()),
                4.5 * float(sampled.std()) / SAMPLES**0.5,
            )
