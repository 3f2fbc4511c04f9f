"""Maximum mean discrepancy between codes and samples of the prior: InfoVAE and the Wasserstein autoencoder."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from vaeworks.objectives.base import Loss, Objective, bound_terms, kl_of, reconstruction_terms
from vaeworks.objectives.opponents import beside_the_prior
from vaeworks.objectives.schedules import Schedule
from vaeworks.posteriors import Known
from vaeworks.trace import Batch, Trace

__all__ = ["WAE", "Info", "Kernel", "kernel_of", "mmd"]

Kernel = Literal["inverse-multiquadratic", "gaussian"]
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def kernel_of(square: Tensor, size: int, kernel: Kernel) -> Tensor:
    """k(a, b) in (0, 1] of |a - b|^2, in D = ``size`` dimensions: the mean over scales s of c / (c + |a - b|^2) or exp(-|a - b|^2 / c), c = 2 D s.

    2 D is the expected square distance of two samples of N(0, I) (Tolstikhin et al. 2018, arXiv:1711.01558).
    """
    widths = [2 * size * scale for scale in SCALES]
    values = [torch.exp(-square / c) if kernel == "gaussian" else c / (c + square) for c in widths]
    return torch.stack(values).mean(0)


def mmd(first: Tensor, second: Tensor, kernel: Kernel) -> Tensor:
    """MMD^2 of two samples (K, B, D), without bias, by pairs of different items (Gretton et al. 2012, JMLR 13, equation 4); negative at times. Zero where there are no two items.

    Samples of the same item are no independent draws of q(z), so their pairs do not count.
    """
    k, n, size = first.shape
    apart = (~torch.eye(n, dtype=torch.bool, device=first.device)).repeat(k, k)

    def mean(a: Tensor, b: Tensor) -> Tensor:
        a, b = a.flatten(0, 1), b.flatten(0, 1)
        square = (a.square().sum(-1, keepdim=True) + b.square().sum(-1) - 2 * a @ b.T).clamp_min(0)
        return (kernel_of(square, size, kernel) * apart).sum() / max(1, k * k * n * (n - 1))

    return mean(first, first) + mean(second, second) - 2 * mean(first, second)


def _discrepancy(trace: Trace, kernel: Kernel) -> Tensor:
    """MMD^2 between q(z) and p(z), summed over levels given the levels above."""
    return torch.stack([mmd(z, prior, kernel) for z, prior in beside_the_prior(trace)]).sum()


class Info(Objective):
    """-E_q[log p(x | z)] + kl_weight KL(q(z | x) || p(z)) + mmd_weight MMD^2(q(z), p(z)) (Zhao et al. 2017, arXiv:1706.02262).

    kl_weight: 1 - alpha in the paper; mmd_weight: alpha + lambda - 1. The schedule multiplies both.
    kernel: of the discrepancy, averaged over widths; it lies in [0, 1], so the discrepancy is no number of nats.
    """

    def __init__(
        self,
        *,
        kl_weight: Annotated[float, Field(ge=0)] = 1.0,
        mmd_weight: Annotated[float, Field(ge=0)] = 1000.0,
        kernel: Kernel = "gaussian",
        analytic: bool = True,
        samples: Annotated[int, Field(gt=0)] = 1,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.kl_weight, self.mmd_weight, self.kernel, self.analytic = kl_weight, mmd_weight, kernel, analytic

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        log_likelihood, kl, discrepancy = trace.log_likelihood(batch), kl_of(trace, analytic=self.analytic), _discrepancy(trace, self.kernel)
        value = weight * (self.kl_weight * kl.mean() + self.mmd_weight * discrepancy) - log_likelihood.mean()
        return Loss(value, bound_terms(log_likelihood, kl) | {"mmd": discrepancy.detach().expand(len(batch))})


class WAE(Objective):
    """-E_q[log p(x | z)] + mmd_weight MMD^2(q(z), p(z)): all codes together follow the prior, no single one has to (Tolstikhin et al. 2018, arXiv:1711.01558).

    mmd_weight: lambda; the schedule multiplies it. kernel: of the discrepancy, averaged over widths; it lies in [0, 1].

    The cost is -log p(x | z): a squared error where the likelihood is a Gaussian of fixed scale. Needs no density: a point mass is the paper's own posterior.
    """

    needs = Known.NOTHING

    def __init__(
        self,
        *,
        mmd_weight: Annotated[float, Field(ge=0)] = 1000.0,
        kernel: Kernel = "inverse-multiquadratic",
        samples: Annotated[int, Field(gt=0)] = 1,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.mmd_weight, self.kernel = mmd_weight, kernel

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        log_likelihood, discrepancy = trace.log_likelihood(batch), _discrepancy(trace, self.kernel)
        terms = reconstruction_terms(trace, log_likelihood) | {"mmd": discrepancy.detach().expand(len(batch))}
        return Loss(self.mmd_weight * weight * discrepancy - log_likelihood.mean(), terms)
