"""Multi-scale structural similarity as a penalty."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from vaeworks.objectives.base import Loss, Objective, bound_terms, kl_of, side_by_side
from vaeworks.objectives.schedules import Schedule
from vaeworks.trace import Batch, Trace

__all__ = ["MSSSIM", "ms_ssim"]

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, the finest first (Wang et al. 2003)."""
WINDOW, WIDTH = 11, 1.5
"""Side of the Gaussian window and its standard deviation, in pixels."""
STABLE = (0.01**2, 0.03**2)


def _window(side: int, like: Tensor) -> Tensor:
    """(side,), summing to one."""
    place = torch.arange(side, dtype=like.dtype, device=like.device) - (side - 1) / 2
    weights = torch.exp(-place.square() / (2 * WIDTH**2))
    return weights / weights.sum()


def _blurred(x: Tensor, window: Tensor) -> Tensor:
    """(N, C, H, W) seen through the window wherever it fits."""
    channels = x.shape[1]
    x = F.conv2d(x, window.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(x, window.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Multi-scale structural similarity of images (N, C, H, W) with values in [0, 1], (N,), at most 1 (Wang, Simoncelli & Bovik 2003).

    Each scale halves the image. There are five, or as many as leave a side of 11; in an image smaller than that the window shrinks. A scale whose mean contrast term
    is negative counts as 1e-4, as powers of it would not be real.
    """
    smallest = min(x.shape[-2:])
    side = min(WINDOW, smallest - (smallest + 1) % 2)
    scales = next(n for n in range(len(WEIGHTS), 0, -1) if n == 1 or smallest >> (n - 1) >= side)
    window = _window(side, x)
    log_similarity = torch.zeros(x.shape[:2], dtype=x.dtype, device=x.device)
    for scale, weight in enumerate(WEIGHTS[:scales]):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        mean_x, mean_y = _blurred(x, window), _blurred(y, window)
        variances = _blurred(x.square(), window) - mean_x.square() + _blurred(y.square(), window) - mean_y.square()
        term = (2 * (_blurred(x * y, window) - mean_x * mean_y) + STABLE[1]) / (variances + STABLE[1])
        if scale == scales - 1:
            term = term * (2 * mean_x * mean_y + STABLE[0]) / (mean_x.square() + mean_y.square() + STABLE[0])
        log_similarity = log_similarity + weight / sum(WEIGHTS[:scales]) * term.mean((-2, -1)).clamp_min(1e-4).log()
    return log_similarity.exp().mean(1)


class MSSSIM(Objective):
    """beta KL - likelihood E_q[log p(x | z)] + strength (1 - MS-SSIM(x, E[x | z])): reconstructions that look alike (after Snell et al. 2017, arXiv:1511.06409).

    strength: nats per unit of dissimilarity. likelihood: weight of log p(x | z); 0 leaves the reconstruction to the similarity alone. beta: weight of the KL; the schedule
    multiplies it.

    Images only. Missing pixels count as reconstructed. ``terms["dissimilarity"]`` is 1 - MS-SSIM: a penalty, no density.
    """

    def __init__(
        self,
        *,
        strength: Annotated[float, Field(ge=0)] = 100.0,
        likelihood: Annotated[float, Field(ge=0)] = 1.0,
        beta: Annotated[float, Field(ge=0)] = 1.0,
        analytic: bool = True,
        samples: Annotated[int, Field(gt=0)] = 1,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.strength, self.likelihood, self.beta, self.analytic = strength, likelihood, beta, analytic

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        if batch.x.dim() != 4:
            raise ValueError(f"ms-ssim compares images, and an item is of shape {tuple(batch.x.shape[1:])}: use another objective, such as 'elbo'")
        log_likelihood, kl = trace.log_likelihood(batch), kl_of(trace, analytic=self.analytic)
        x, mean = side_by_side(trace, batch)
        distance = 1 - ms_ssim(x.flatten(0, 1), mean.flatten(0, 1)).unflatten(0, mean.shape[:2])
        value = self.beta * weight * kl.mean() - self.likelihood * log_likelihood.mean() + self.strength * distance.mean()
        return Loss(value, bound_terms(log_likelihood, kl) | {"dissimilarity": distance.detach()})
