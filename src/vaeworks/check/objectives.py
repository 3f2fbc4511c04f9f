"""The value of each objective on a linear-Gaussian model, against its closed form, and the order of the bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final

import torch

from vaeworks.check.closed_forms import (
    Case,
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
from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.model import VAE
from vaeworks.objectives import CIWAE, ELBO, IWAE, OBJECTIVES, Objective
from vaeworks.trace import Batch

__all__ = ["TRUTHS", "check_objectives"]

TRUTHS: Final[dict[str, tuple[str, Case]]] = {
    "ELBO": ("elbo", Case(weighted(1.0))),
    "beta-VAE": ("elbo", Case(weighted(4.0), {"beta": 4.0})),
    "free bits": ("elbo", Case(floored(0.6), {"free_bits": 0.6})),
    "STL": ("elbo", Case(weighted(1.0), {"gradient": "stl"})),
    "autoencoder": ("autoencoder", Case(weighted(0.0))),
    "IWAE": ("iwae", Case(importance_weighted(), {"samples": 2}, "items")),
    "DReG": ("iwae", Case(importance_weighted(), {"samples": 2, "gradient": "dreg"}, "items")),
    "MIWAE": ("miwae", Case(importance_weighted(), {"samples": 2, "groups": 3}, "items")),
    "PIWAE": ("piwae", Case(importance_weighted(), {"samples": 1, "groups": 2}, "items")),
    "CIWAE": ("ciwae", Case(importance_weighted(share=0.3), {"samples": 2, "share": 0.3}, "items")),
    "capacity": ("capacity", Case(lambda _, t: 3 * (20 - t.kl.sum(-1).mean()) + t.distortion, {"capacity": 20.0, "gamma": 3.0})),
    "GECO": ("geco", Case(lambda _, t: t.loss - 7, {"target": 7.0})),
    "beta-TCVAE": ("beta-tc", Case(taken_apart(0.5, 4, 2), {"alpha": 0.5, "beta": 4.0, "gamma": 2.0})),
    "FactorVAE": ("factor", Case(correlated_by_a_line, {"hidden": (), "gamma": 3.0})),
    "DIP-VAE": ("dip", Case(decorrelated("II", 2.0, 3.0), {"variant": "II", "off_diagonal": 2.0, "diagonal": 3.0})),
    "InfoVAE": ("info", Case(lambda _, t: t.loss + 30 * discrepancy(t, "gaussian"), {"mmd_weight": 30.0}, "neither")),
    "WAE": ("wae", Case(lambda _, t: t.distortion + 30 * discrepancy(t, "inverse-multiquadratic"), {"mmd_weight": 30.0}, "neither")),
    "adversarial": ("adversarial", Case(deceived_by_a_line, {"hidden": (), "strength": 3.0})),
    "VAE-GAN": ("vae-gan", Case(seen_by_a_line, {"hidden": (), "features": 3, "similarity": 2.0, "strength": 3.0, "likelihood": 0.5})),
    "regularised": ("regularised", Case(smooth(0.3, 0.7), {"code": 0.3, "gradient": 0.7})),
    "MS-SSIM": ("ms-ssim", Case(similar(20.0, 0.5, 2.0), {"strength": 20.0, "likelihood": 0.5, "beta": 2.0}, event=(1, 4, 4))),
}
"""Name -> the objective's recipe name, and a case whose value is known. The law tests hold every objective, and its gradient, to more of them."""

ITEMS, REPEATS, TOGETHER = 5, 60, 32
"""Evaluations averaged, and how many samples or items there are in each where they may be repeated."""


def check_objectives(setting: Setting) -> Iterator[CheckResult]:
    """Values under a q that is too wide and off centre; then bounds of more and more samples."""
    for name, (kind, case) in TRUTHS.items():
        yield _value(name, kind, case, setting)
    yield _order(setting)


def _value(name: str, kind: str, case: Case, setting: Setting) -> CheckResult:
    vae, batch, truth = _setting(case, setting)
    objective = OBJECTIVES[kind](**case.knobs)
    objective.settle(vae(batch), len(batch))
    objective.to(setting.device, setting.dtype).eval()
    samples = objective.samples * (TOGETHER if case.averages != "items" else 1)
    many = Batch(batch.x.repeat(TOGETHER, *(1 for _ in case.event))) if case.averages == "items" else batch
    values = torch.stack([objective(vae(many, samples), many).value.detach() for _ in range(REPEATS)]).double()
    expected = float(case.expected(objective, truth))
    margin = 4.5 * float(values.std()) / math.sqrt(REPEATS) + setting.rounding(1e-9, 1e-4) * (1 + abs(expected))
    return compare(
        f"objectives: {name}", "mean loss on a linear-Gaussian model, against closed form or quadrature", float(values.mean()), expected, margin
    )


def _setting(case: Case, setting: Setting) -> tuple[VAE, Batch, Truth]:
    model = LinearGaussian.random(math.prod(case.event), 2, dtype=setting.dtype, device=setting.device)
    vae, x = model.vae(inflate=1.4, shift=0.5, event=case.event), model.sample(ITEMS)
    batch = Batch(x.unflatten(1, case.event))
    with torch.no_grad():
        q = vae.encoder(batch.x)
    exact = replace(model, weight=model.weight.cpu().double(), bias=model.bias.cpu().double())
    return vae, batch, Truth(exact, *(t.cpu().double() for t in (x, q.mean, q.stddev)))


@torch.no_grad()
def _order(setting: Setting) -> CheckResult:
    """ELBO < the blend with IWAE_2 < IWAE_2 < IWAE_8 < log p(x)."""
    model = LinearGaussian.random(4, 2, dtype=setting.dtype, device=setting.device)
    vae, x = model.vae(inflate=1.6, shift=0.6), model.sample(ITEMS)
    many = Batch(x.repeat(4000, 1))
    chain: list[Objective] = [ELBO(analytic=False), CIWAE(samples=2, share=0.5), IWAE(samples=2), IWAE(samples=8)]
    bounds = [-float(objective(vae(many, objective.samples), many).value) for objective in chain] + [float(model.log_prob(x).mean())]
    rising = sum(low < high for low, high in pairwise(bounds))
    return compare("objectives: order", "steps at which ELBO, CIWAE, IWAE of 2 and of 8 samples and log p(x) rise", rising, len(bounds) - 1, 0)
