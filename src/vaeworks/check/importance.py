"""The importance-sampled log p(x) and its stated standard error, on a model whose log p(x) is known."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.evaluation import log_prob
from vaeworks.trace import Batch

__all__ = ["check_importance"]

ITEMS, SAMPLES = 1000, 1000


@torch.no_grad()
def check_importance(setting: Setting) -> Iterator[CheckResult]:
    """Standardised errors (estimate - exact) / standard error of many items: their mean, spread and coverage are those of N(0, 1).

    The proposal is wider than the posterior and off its centre, so that the weights vary. The estimate's bias, of the order of half a
    squared standard error, is far below the tolerances.
    """
    model = LinearGaussian.random(6, 2, dtype=setting.dtype, device=setting.device)
    x = model.sample(ITEMS)
    estimate = log_prob(model.vae(inflate=1.3, shift=0.3), Batch(x), samples=SAMPLES)
    exact = model.log_prob(x)
    error = (estimate.value.cpu() - exact) / estimate.standard_error.cpu()
    about = f"log p(x) of {ITEMS} items from {SAMPLES} samples each, against the closed form"
    root_mean_square, margin = error.square().mean().sqrt().item(), 4.5 / (2 * ITEMS) ** 0.5
    yield compare("importance sampling: value", f"{about}: mean in nats", estimate.value.mean().item(), exact.mean().item(), 0.01)
    yield compare("importance sampling: bias", f"{about}: mean error in standard errors", error.mean().item(), 0.0, 4.5 / ITEMS**0.5)
    yield compare("importance sampling: spread", f"{about}: root mean square error in standard errors", root_mean_square, 1.0, margin)
    coverage = (error.abs() < 1.96).double().mean().item()
    yield compare("importance sampling: coverage", f"{about}: share within 1.96 standard errors", coverage, 0.95, 4.5 * (0.95 * 0.05 / ITEMS) ** 0.5)
