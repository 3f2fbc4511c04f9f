"""Normal posteriors whose dimensions go together: of full covariance, and of low rank."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution, Independent, LowRankMultivariateNormal, MultivariateNormal, Normal, register_kl

from vaeworks.posteriors.base import Known, Posterior, bent, scale_of

__all__ = ["FullNormalPosterior", "LowRankNormalPosterior"]


class FullNormalPosterior(Posterior):
    """q(z | x) = N(mean, L L'), L = diag(scale) (I + A), A strictly lower triangular (Kingma & Welling 2019, arXiv:1906.02691, section 2.5).

    The diagonal of L is bounded as the diagonal posterior's scale is, the entries of A within (-7, 7). D (D - 1) / 2 features more than a diagonal one needs.
    """

    known = Known.MOMENTS

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return (2 * self.latent_size + self.latent_size * (self.latent_size - 1) // 2,)

    def forward(self, features: Tensor) -> Distribution:
        size = self.latent_size
        mean, log_scale, below = features.tensor_split((size, 2 * size), -1)
        rows, columns = torch.tril_indices(size, size, -1, device=features.device)
        lower = torch.eye(size, dtype=features.dtype, device=features.device).repeat(*features.shape[:-1], 1, 1)
        lower[..., rows, columns] = bent(below)
        return MultivariateNormal(mean, scale_tril=scale_of(log_scale).unsqueeze(-1) * lower, validate_args=False)


class LowRankNormalPosterior(Posterior):
    """q(z | x) = N(mean, S (I + A A') S), S = diag(scale), A (D, rank): correlation along a few directions, at a cost linear in D (Ong et al. 2018, arXiv:1701.03208).

    rank: columns of A, whose entries are bounded within (-7, 7).
    """

    known = Known.MOMENTS

    def __init__(self, latent_size: int, *, rank: Annotated[int, Field(gt=0)] = 4):
        super().__init__(latent_size)
        self.rank = rank

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return ((2 + self.rank) * self.latent_size,)

    def forward(self, features: Tensor) -> Distribution:
        size = self.latent_size
        mean, log_scale, factor = features.tensor_split((size, 2 * size), -1)
        scale = scale_of(log_scale)
        factor = scale.unsqueeze(-1) * bent(factor.unflatten(-1, (size, self.rank)))
        return LowRankMultivariateNormal(mean, factor, scale.square(), validate_args=False)


@register_kl(MultivariateNormal, Independent)  # type: ignore[untyped-decorator]
@register_kl(LowRankMultivariateNormal, Independent)  # type: ignore[untyped-decorator]
def _kl_to_factorised(q: MultivariateNormal | LowRankMultivariateNormal, p: Independent[Distribution]) -> Tensor:
    """-H(q) - E_q[log p] for a factorised normal p, which needs of q only its mean and variances; torch knows no such pair."""
    base = p.base_dist
    if not isinstance(base, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError(f"no closed form of the KL divergence from {type(q).__name__} to {p}")
    error = (q.variance + (q.mean - base.loc).square()) / base.scale.square()
    cross_entropy = (0.5 * (error + math.log(2 * math.pi)) + base.scale.log()).sum(-1)
    entropy: Tensor = q.entropy()  # type: ignore[no-untyped-call]
    return cross_entropy - entropy
