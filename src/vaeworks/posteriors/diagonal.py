"""The diagonal normal posterior."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from vaeworks.posteriors.base import Known, Posterior, scale_of

__all__ = ["DiagonalNormalPosterior"]


class DiagonalNormalPosterior(Posterior):
    """q(z | x) = N(mean, diag(scale^2)), mean and log scale from one linear layer of their own columns (Kingma & Welling 2014, arXiv:1312.6114).

    The log scale is bent into (-7, 7), which no useful posterior reaches and which keeps a bad step from making NaN.
    """

    known = Known.FACTORS

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return (2 * self.latent_size,)

    def forward(self, features: Tensor) -> Distribution:
        mean, log_scale = features.chunk(2, -1)
        return Independent(Normal(mean, scale_of(log_scale), validate_args=False), 1, validate_args=False)
