"""Anomalies: how strange items are, with p-values that hold for any model, however poor.

Shape legend: n held-out items that the model has not learned from, N items to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from vaeworks.errors import VaeworksError

__all__ = ["STATISTICS", "Reference", "Statistic", "benjamini_hochberg", "conformal_p_values", "typicality_p_values"]

Statistic = Literal["log-px", "standardised", "typicality", "ratio"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
"""log p(x), low is strange; that of a row with its numbers as normal scores, low is strange (see ``log_measure``); the distance of log p(x) from the mean of held-out items, large is
strange (Nalisnick et al. 2019, arXiv:1906.02994); log p(x) less that of a background model, low is strange (Ren et al. 2019, arXiv:1906.02845; Serra et al. 2020,
arXiv:1909.11480)."""
HUGE = 1e30
"""Stands for infinity where a mean is taken."""


def conformal_p_values(strangeness: Tensor, held_out: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """p = (1 + #{held-out items at least as strange}) / (n + 1) for each of N items, (N,) float64: split conformal (Vovk et al. 2005; Bates et al. 2023, arXiv:2104.08279).

    Where an item is drawn as the n were, P(p <= t) <= t for every t, whatever the score. ``strangeness`` (N,) and ``held_out`` (n,) grow with strangeness, NaN being strangest.
    With a ``generator`` ties are broken at random, and p is uniform: (#{stranger} + U (1 + #{as strange})) / (n + 1).
    """
    held, own = (t.double().cpu().nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf) for t in (held_out, strangeness))
    held = held.sort().values
    n = len(held)
    above = n - torch.searchsorted(held, own, right=True)  # strictly stranger
    at_least = n - torch.searchsorted(held, own)
    return _p_values(above, at_least, n, generator)


def typicality_p_values(log_px: Tensor, held_out: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """The same for how far log p(x) lies from the mean, on either side. The mean is that of the n held-out items and the item itself, so that all n + 1 are treated alike and p is exact."""
    held, own = (t.double().cpu().nan_to_num(nan=-HUGE).clamp(-HUGE, HUGE) for t in (held_out, log_px))
    held, n = held.sort().values, len(held)
    centre = (held.sum() + own) / (n + 1)
    distance = (own - centre).abs()
    slack = 1e-12 * held.abs().max().clamp_min(1.0)  # a value that equals the item's own lies as far from the mean as it

    def within(reach: Tensor) -> Tensor:
        """How many held-out items lie less than ``reach`` from the centre."""
        return (torch.searchsorted(held, centre + reach) - torch.searchsorted(held, centre - reach, right=True)).clamp_min(0)

    return _p_values(n - within(distance + slack), n - within(distance - slack), n, generator)


def _p_values(above: Tensor, at_least: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        return (1 + at_least).double() / (n + 1)
    u = 1 - torch.rand(len(above), generator=generator, dtype=torch.float64)  # in (0, 1]: no p-value is 0
    return (above + u * (1 + at_least - above)) / (n + 1)


def benjamini_hochberg(p_values: Tensor, rate: float) -> Tensor:
    """Which of N hypotheses to reject so that at most a share ``rate`` of the rejected are true, in the mean: (N,) bool (Benjamini & Hochberg 1995).

    All p at most the largest p_(k) with p_(k) <= k rate / N. Holds for conformal p-values too, which depend on each other through the held-out items (Bates et al. 2023).
    """
    if not 0 < rate < 1:
        raise VaeworksError(f"a false discovery rate of {rate} is none: give one between 0 and 1, such as 0.05")
    n = len(p_values)
    ordered = p_values.double().sort().values
    below = ordered * n <= rate * torch.arange(1, n + 1, dtype=torch.float64, device=ordered.device)
    if not below.any():
        return torch.zeros(n, dtype=torch.bool, device=p_values.device)
    return p_values.double() <= ordered[below.nonzero().amax()]


@dataclass(frozen=True)
class Reference:
    """What held-out items score: what a new item is compared with."""

    log_px: Tensor
    """(n,) log p(x) in nats."""
    samples: int
    """Importance samples of each; items to judge need as many, for the bound moves with them."""
    background: Tensor | None = None
    """(n,) log p(x) of a background model; None where there is none."""
    measure: Tensor | None = None
    """(n,) the log measure of the numbers of rows; None where items are no rows."""
    mean_terms: Tensor | None = None
    """(*event) the mean over those items of what each coordinate adds to log p(x); None where items differ in length."""

    def __len__(self) -> int:
        return len(self.log_px)

    def statistic(self, name: Statistic, log_px: Tensor, beside: Tensor | None = None) -> Tensor:
        """The statistic of N items with ``log_px`` (N,); ``beside`` (N,) is their log p(x) under the background model for the ratio, their log measure for standardised."""
        if name == "log-px":
            return log_px
        if name == "typicality":
            return (log_px - self.log_px.to(log_px).mean()).abs()
        if beside is None:
            raise ValueError(f"{name} is log p(x) less that of a background model, or less a measure: give it")
        return log_px - beside.to(log_px)

    def p_values(self, name: Statistic, log_px: Tensor, beside: Tensor | None = None, *, generator: torch.Generator | None = None) -> Tensor:
        """The p-values (N,) of N items, all alike in what is strange: see ``conformal_p_values``."""
        if name == "typicality":
            return typicality_p_values(log_px, self.log_px, generator=generator)
        return conformal_p_values(
            -self.statistic(name, log_px.double().cpu(), beside),
            -self.statistic(name, self.log_px, self.measure if name == "standardised" else self.background),
            generator=generator,
        )
