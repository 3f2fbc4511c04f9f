"""Simulation-based calibration: whether q(z | x) is the posterior of the model's own data, one latent dimension at a time.

Shape legend: N simulated items, L draws of the posterior for each, D latent dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeworks.model import VAE
from vaeworks.trace import Batch

__all__ = ["Calibration", "calibration"]

ROWS = 2**17
"""Draws (items x proposals) held at a time."""


@dataclass(frozen=True)
class Calibration:
    """Ranks of codes among draws of the posterior; uniform on 0 .. L where the posterior is exact."""

    ranks: Tensor
    """(N, D) how many of an item's L draws lie below the code that made it."""
    draws: int
    """L."""
    bins: int
    """Into how many equal ones the ranks are counted for the chi-squared test."""
    proposals: int
    """How many draws of q the L were resampled from by their importance weights; 0 where they are q's own."""
    chi_squared: Tensor
    """(D,) p-value of Pearson's test of uniform counts: finds scales that are off."""
    ecdf: Tensor
    """(D,) p-value of Kolmogorov and Smirnov's test of a uniform distribution function: finds means that are off."""

    @property
    def counts(self) -> Tensor:
        """(bins, D): a valley tells of a posterior that is too narrow, a hill of one too wide, a slope of one off its centre."""
        return _counts(self.ranks, self.draws, self.bins)

    @property
    def p_value(self) -> float:
        """Of both tests and all dimensions together, by Bonferroni: how surprising such ranks would be under the exact posterior."""
        each = torch.cat([self.chi_squared, self.ecdf])
        return min(1.0, len(each) * float(each.min()))


@torch.no_grad()
def calibration(
    vae: VAE,
    n: int = 1000,
    *,
    draws: int = 99,
    bins: int = 20,
    proposals: int = 0,
    context: Tensor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Calibration:
    """Ranks of codes z ~ p(z) among ``draws`` codes of q(z | x), x ~ p(x | z), and their p-values (Talts et al. 2018, arXiv:1804.06788).

    ``proposals``: where above zero, the draws are resampled, with replacement, from so many of q by their weights p(x, z) / q(z | x): the posterior itself in the limit, so that what is
    rejected then is a q that misses mass. ``context`` (n, C) is what a conditional model is given. Among equal codes the rank is drawn, so discrete codes are ranked exactly too.
    Every level of a hierarchy is ranked; ``progress`` is called with the number of items done. Draws come from torch's global generator.

    Raises ValueError where ``draws + 1`` ranks do not fall evenly into ``bins``, or ``n`` items are less than five to a bin.
    """
    if bins < 2 or draws < 1 or (draws + 1) % bins:
        raise ValueError(
            f"draws={draws} gives {draws + 1} ranks, which {bins} bins do not divide evenly: use two or more bins, and draws={bins * 5 - 1}, say"
        )
    if n < 5 * bins:
        raise ValueError(f"n={n} items are too few for {bins} bins: at least {5 * bins} are needed for the test's p-value to be right")
    if proposals and proposals < draws:
        raise ValueError(f"proposals={proposals} are too few to resample {draws} draws from: use proposals={20 * draws}, say, or 0")
    training = vae.training
    vae.eval()
    try:
        size = max(1, ROWS // max(draws, proposals))
        parts = []
        for start in range(0, n, size):
            given = None if context is None else context[start : start + size]
            parts.append(_ranks(vae, min(size, n - start), draws, proposals, given))
            if progress is not None:
                progress(len(parts[-1]))
    finally:
        vae.train(training)
    ranks = torch.cat(parts)
    return Calibration(ranks, draws, bins, proposals, _chi_squared(_counts(ranks, draws, bins)), _kolmogorov_smirnov(ranks, draws))


def _ranks(vae: VAE, n: int, draws: int, proposals: int, context: Tensor | None) -> Tensor:
    """(n, D), on the CPU."""
    truth = vae.latents.generate(vae.prior, n, context)
    p = vae.decode(truth, context)
    batch = Batch(p.sample(), context=context)
    latents = vae.latents.infer(vae, batch, proposals or draws)
    z = vae.latents.code(latents)
    if proposals:
        log_w = vae.complete(latents, batch).log_weight(batch)  # (K, n)
        chosen = torch.multinomial(log_w.T.softmax(1), draws, replacement=True).T  # (L, n)
        z = z.gather(0, chosen[..., None].expand(-1, -1, z.shape[-1]))
    ties = (z == truth).sum(0)
    return ((z < truth).sum(0) + (torch.rand_like(truth) * (ties + 1)).long()).cpu()


def _counts(ranks: Tensor, draws: int, bins: int) -> Tensor:
    cells = ranks * bins // (draws + 1)
    return torch.stack([torch.bincount(column, minlength=bins) for column in cells.T], 1)


def _chi_squared(counts: Tensor) -> Tensor:
    """Pearson's test of counts (bins, D) against equal ones, (D,)."""
    bins, expected = len(counts), counts[:, 0].sum().double() / len(counts)
    statistic = ((counts - expected).square() / expected).sum(0)
    p_value: Tensor = torch.special.gammaincc(torch.full_like(statistic, (bins - 1) / 2), statistic / 2)
    return p_value


def _kolmogorov_smirnov(ranks: Tensor, draws: int) -> Tensor:
    """Of (rank + uniform) / (L + 1), which is uniform on (0, 1) exactly where ranks are uniform, (D,)."""
    from scipy.stats import kstest

    uniform = (ranks + torch.rand(ranks.shape, dtype=torch.float64)) / (draws + 1)
    return torch.tensor([float(kstest(column, "uniform").pvalue) for column in uniform.T.numpy()], dtype=torch.float64)
