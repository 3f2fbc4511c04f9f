"""The diagonal normal posterior that is committed to a rate."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal
from torch.nn.functional import softplus

from vaeworks.posteriors.base import Known, Posterior, bent

__all__ = ["CommittedNormalPosterior"]


class CommittedNormalPosterior(Posterior):
    """q(z | x) = N(mean, diag(scale^2)) with every scale below s < 1, so that KL(q || N(0, I)) > rate whatever the features (delta-VAE: Razavi et al. 2019, arXiv:1901.03416).

    A dimension of mean 0 and scale s is -log s + (s^2 - 1) / 2 nats from N(0, 1), and further off with any other mean and any smaller scale: s is where this is ``rate`` / D.
    A decoder that ignores z pays for it all the same. With other priors than N(0, I) nothing is promised.

    rate: nats an item, of all D dimensions together.
    """

    known = Known.FACTORS

    def __init__(self, latent_size: int, *, rate: Annotated[float, Field(gt=0)] = 8.0):
        super().__init__(latent_size)
        self.log_bound = _log_scale_at(rate / latent_size)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return (2 * self.latent_size,)

    def forward(self, features: Tensor) -> Distribution:
        mean, log_scale = features.chunk(2, -1)
        scale = (self.log_bound - softplus(-bent(log_scale))).exp()
        return Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)


def _log_scale_at(rate: float) -> float:
    """log s < 0 at which KL(N(0, s^2) || N(0, 1)) is ``rate`` nats, by bisection."""
    low, high = -rate - 1, 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.expm1(2 * middle) / 2 - middle > rate else (low, middle)
    return low
