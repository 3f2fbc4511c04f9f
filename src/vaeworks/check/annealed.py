"""Annealed importance sampling and its sandwich, on a model whose log p(x) is known and with an encoder that is of no use."""

from __future__ import annotations

from collections.abc import Iterator

from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.evaluation import annealed_log_prob, bidirectional
from vaeworks.trace import Batch

__all__ = ["check_annealed"]

ITEMS, CHAINS, STEPS, LEAPFROGS = 40, 32, 100, 4


def check_annealed(setting: Setting) -> Iterator[CheckResult]:
    """The estimate against the closed form, in standard errors; then the two bounds on items that the model drew, which must close on each other."""
    model = LinearGaussian.random(6, 2, dtype=setting.dtype, device=setting.device)
    x = model.sample(ITEMS)
    estimate = annealed_log_prob(model.vae(inflate=0.01, shift=30.0), Batch(x), chains=CHAINS, steps=STEPS, leapfrogs=LEAPFROGS)
    error = (estimate.value.cpu() - model.log_prob(x)) / estimate.standard_error.cpu()
    about = f"log p(x) of {ITEMS} items from {CHAINS} chains over {STEPS} temperatures, against the closed form"
    yield compare("annealed importance sampling: value", f"{about}: mean error in standard errors", error.mean().item(), 0.0, 4.5 / ITEMS**0.5 + 0.3)
    sandwich = bidirectional(model.vae(), ITEMS, chains=CHAINS, steps=STEPS, leapfrogs=LEAPFROGS)
    yield compare(
        "annealed importance sampling: sandwich", "mean distance of the upper from the lower bound, in nats, against none", sandwich.gap, 0.0, 0.1
    )
