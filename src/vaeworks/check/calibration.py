"""Simulation-based calibration, on a model whose exact posterior is known: what it accepts, and how it sees one that is too narrow."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.evaluation import calibration

__all__ = ["check_calibration", "rank_variance"]

ITEMS, DRAWS, PROPOSALS = 1000, 99, 1000
NARROW, WIDE = 0.7, 1.5


def rank_variance(inflate: float, draws: int) -> float:
    """Of a rank among ``draws`` draws of a normal posterior ``inflate`` times as wide as the exact one.

    u = Phi(t / inflate), t ~ N(0, 1), is the share of q below the code; E[u^2] = 1/4 + asin(1 / (1 + inflate^2)) / 2 pi is an orthant probability (Sheppard 1899), and the rank given u
    is binomial. With 1 it is that of a uniform rank, L (L + 2) / 12.
    """
    variance = math.asin(1 / (1 + inflate**2)) / (2 * math.pi)
    return draws * (0.25 - variance) + draws**2 * variance


def check_calibration(setting: Setting) -> Iterator[CheckResult]:
    """Spread of the ranks against closed forms, and the verdicts that follow from it."""
    model = LinearGaussian.random(6, 2, dtype=setting.dtype, device=setting.device)
    about = f"variance of the ranks of {ITEMS} codes among {DRAWS} draws"
    exact = calibration(model.vae(), ITEMS, draws=DRAWS)
    yield _spread("exact posterior", f"{about} of the exact posterior, against that of uniform ranks", exact.ranks, 1.0)
    yield compare("calibration: accepts the exact posterior", "p-value of uniform ranks; anything above 0.001 will do", exact.p_value, 1.0, 0.999)
    narrow = calibration(model.vae(inflate=NARROW), ITEMS, draws=DRAWS)
    yield _spread("too narrow", f"{about} of a posterior {NARROW} times as wide as the exact one, against the closed form", narrow.ranks, NARROW)
    yield compare("calibration: rejects a narrow posterior", "p-value of uniform ranks, which are none", narrow.p_value, 0.0, 1e-6)
    resampled = calibration(model.vae(inflate=WIDE), ITEMS, draws=DRAWS, proposals=PROPOSALS)
    yield _spread("resampled", f"{about} resampled from {PROPOSALS} of a wide posterior, against that of uniform ranks", resampled.ranks, 1.0)


def _spread(name: str, about: str, ranks: Tensor, inflate: float) -> CheckResult:
    """The mean square about the middle rank, within 4.5 standard errors."""
    squares = (ranks.double() - DRAWS / 2).square().flatten()
    return compare(
        f"calibration: {name}", about, float(squares.mean()), rank_variance(inflate, DRAWS), 4.5 * float(squares.std()) / len(squares) ** 0.5
    )
