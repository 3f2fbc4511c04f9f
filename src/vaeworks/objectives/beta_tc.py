"""beta-TCVAE: the KL taken apart."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Independent

from vaeworks.objectives.base import Loss, Objective, bound_terms, kl_of
from vaeworks.objectives.schedules import Schedule
from vaeworks.posteriors import Known
from vaeworks.trace import Batch, Latent, Trace

__all__ = ["BetaTC", "Sampling", "decomposition", "log_sampling_weights"]

Sampling = Literal["stratified", "weighted"]


def log_sampling_weights(items: int, count: int, sampling: Sampling) -> Tensor:
    """log of the weights (B, B, float64) with which item i's estimate of q(z) takes q(z | x_j), from a batch of B = ``items`` out of N = ``count``.

    stratified: 1/N for the item itself, (N - 1) / (N (B - 1)) for each other: for a batch drawn without replacement the mean is q(z) = 1/N sum_n q(z | x_n) exactly (Chen et al.
    2018, appendix C.2, its last weight spread over all others). weighted: 1/(N B) for all (appendix C.1), whose log is a lower bound in the mean.
    """
    if sampling == "weighted":
        return torch.full((items, items), -math.log(count * items), dtype=torch.float64)
    if items == 1:  # no other item tells anything about q(z)
        return torch.zeros(1, 1, dtype=torch.float64)
    own, other = 1 / count, (count - 1) / (count * (items - 1))
    return torch.full((items, items), math.log(other), dtype=torch.float64).fill_diagonal_(math.log(own))


def decomposition(latent: Latent, log_weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Index-code mutual information, total correlation and dimension-wise KL of a level, sampled, each (K, B) in nats; their sum is log q(z | x) - log p(z).

    ``log_weights`` (B, B) as of ``log_sampling_weights``. q must factorise and have batch shape (B,).
    """
    q = latent.q
    if not isinstance(q, Independent):
        raise ValueError(
            f"beta-tc takes the KL apart dimension by dimension, and the posterior's {type(q).__name__} does not factorise:"
            " use posterior.kind = 'diagonal', or another objective (factor needs no density of a dimension)"
        )
    pairs = q.base_dist.log_prob(latent.z.unsqueeze(2)).flatten(3)  # (K, B of z, B of x, D)
    log_weights = log_weights.to(pairs.dtype).to(pairs.device)
    log_q_given_x: Tensor = q.log_prob(latent.z)
    log_q = (pairs.sum(-1) + log_weights).logsumexp(2)
    log_q_product = (pairs + log_weights.unsqueeze(-1)).logsumexp(2).sum(-1)
    return log_q_given_x - log_q, log_q - log_q_product, log_q_product - latent.p.log_prob(latent.z)


class BetaTC(Objective):
    """-E_q[log p(x | z)] + alpha I(x; z) + beta TC(z) + gamma sum_d KL(q(z_d) || p(z_d)); with all weights 1 it is -ELBO (Chen et al. 2018, arXiv:1802.04942).

    alpha, beta, gamma: weights of index-code mutual information, total correlation and dimension-wise KL. The schedule multiplies beta - 1 and its likes.
    sampling: how q(z), a mixture over all N training items, is estimated from a batch: ``stratified``, without bias; ``weighted``, as in the paper's experiments.

    A level whose posterior hangs on other levels has no q(z) of its own; its KL counts as it is. ``terms`` hold the three parts, (K, B), sampled: in the mean over many batches
    ``stratified`` underestimates log q, being a log of an unbiased estimate.
    """

    needs = Known.FACTORS

    def __init__(
        self,
        *,
        alpha: Annotated[float, Field(ge=0)] = 1.0,
        beta: Annotated[float, Field(ge=0)] = 6.0,
        gamma: Annotated[float, Field(ge=0)] = 1.0,
        sampling: Sampling = "stratified",
        analytic: bool = True,
        samples: Annotated[int, Field(gt=0)] = 1,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.sampling, self.analytic = sampling, analytic
        self.count = 0

    def settle(self, trace: Trace, count: int) -> None:
        self.count = count

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        if not self.count:
            raise ValueError("BetaTC does not know how many training items there are: call settle(trace, count) first, as training does")
        log_likelihood, kl = trace.log_likelihood(batch), kl_of(trace, analytic=self.analytic)
        log_weights = log_sampling_weights(len(batch), max(self.count, len(batch)), self.sampling)
        levels = [decomposition(latent, log_weights) for latent in trace.latents if len(latent.q.batch_shape) == 1]
        information, correlation, dimensions = (torch.stack(part).sum(0) for part in zip(*levels, strict=True))
        extra = (self.alpha - 1) * information + (self.beta - 1) * correlation + (self.gamma - 1) * dimensions
        value = kl.mean() + weight * extra.mean() - log_likelihood.mean()
        parts = {"mutual_information": information, "total_correlation": correlation, "dimension_kl": dimensions}
        return Loss(value, bound_terms(log_likelihood, kl) | {name: part.detach() for name, part in parts.items()})
