"""DIP-VAE: codes without correlation."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution, Independent, LowRankMultivariateNormal, MultivariateNormal

from vaeworks.objectives.base import Loss, Objective, bound_terms, kl_of
from vaeworks.objectives.schedules import Schedule
from vaeworks.posteriors import Known
from vaeworks.trace import Batch, Trace

__all__ = ["DIP", "aggregate_covariance"]


def _own_covariance(q: Distribution, like: Tensor) -> Tensor:
    """Mean over items of the covariance of q(z | x), (D, D)."""
    if isinstance(q, MultivariateNormal | LowRankMultivariateNormal):
        covariance: Tensor = q.covariance_matrix
        return covariance.flatten(0, -3).mean(0)
    if isinstance(q, Independent):
        return q.variance.expand_as(like).flatten(0, 1).flatten(1).mean(0).diag()
    raise ValueError(
        f"DIP-VAE II needs the covariance of each posterior, and a {type(q).__name__} does not tell it: use variant = 'I', or posterior.kind = 'diagonal'"
    )


def aggregate_covariance(trace: Trace, variant: Literal["I", "II"]) -> Tensor:
    """Over the batch, of all levels side by side, (D, D): Cov[E[z | x]], and for ``II`` E[Cov[z | x]] beside it, which makes it the covariance of q(z)."""
    means = torch.cat([latent.q.mean.expand_as(latent.z).flatten(2) for latent in trace.latents], -1).flatten(0, 1)
    centred = means - means.mean(0)
    covariance = centred.T @ centred / len(means)
    if variant == "I":
        return covariance
    own: Tensor = torch.block_diag(*(_own_covariance(latent.q, latent.z) for latent in trace.latents))
    return covariance + own


class DIP(Objective):
    """-ELBO + off_diagonal sum_{i != j} C_ij^2 + diagonal sum_i (C_ii - 1)^2 (Kumar et al. 2018, arXiv:1711.00848).

    variant: C is the covariance over the batch of the posterior means (``I``) or of the codes (``II``).
    off_diagonal, diagonal: lambda_od and lambda_d of the paper; the schedule multiplies both.

    ``terms["covariance_penalty"]`` is the weighted sum of squares: no density.
    """

    needs = Known.MOMENTS

    def __init__(
        self,
        *,
        variant: Literal["I", "II"] = "II",
        off_diagonal: Annotated[float, Field(ge=0)] = 10.0,
        diagonal: Annotated[float, Field(ge=0)] = 10.0,
        analytic: bool = True,
        samples: Annotated[int, Field(gt=0)] = 1,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.variant, self.off_diagonal, self.diagonal, self.analytic = variant, off_diagonal, diagonal, analytic

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        log_likelihood, kl = trace.log_likelihood(batch), kl_of(trace, analytic=self.analytic)
        covariance = aggregate_covariance(trace, self.variant)
        variances = covariance.diagonal()
        correlated = covariance.square().sum() - variances.square().sum()
        penalty = self.off_diagonal * correlated + self.diagonal * (variances - 1).square().sum()
        terms = bound_terms(log_likelihood, kl) | {"covariance_penalty": penalty.detach().expand(len(batch))}
        return Loss(kl.mean() - log_likelihood.mean() + weight * penalty, terms)
