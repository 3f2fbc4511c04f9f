"""Mixtures of importance-weighted bounds: tighter ones teach the decoder, looser ones the encoder (Rainforth et al. 2018, arXiv:1802.04537)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from vaeworks.objectives.base import Loss, Objective, surrogate
from vaeworks.objectives.iwae import Weights, log_mean_exp
from vaeworks.objectives.paths import by_way_of_z
from vaeworks.objectives.schedules import Schedule
from vaeworks.trace import Batch, Trace

__all__ = ["CIWAE", "MIWAE", "PIWAE"]


def _grouped(log_w: Tensor, groups: int) -> Tensor:
    """(M, K, B) from (M K, B); M is the greatest number of equal groups that divides both ``groups`` and the number of samples."""
    grouped: Tensor = log_w.unflatten(0, (math.gcd(groups, len(log_w)), -1))
    return grouped


class MIWAE(Objective):
    """The mean of M importance-weighted bounds of K samples each: 1/M sum_m log 1/K sum_k w_mk.

    samples: K. groups: M; M K samples are drawn per item.
    beta: weight of log p(z) - log q(z | x) in log w; 1 is the bound. The schedule multiplies it.

    ``terms["miwae"]`` is that bound, unweighted, ``terms["iwae"]`` the one of all M K samples.
    """

    def __init__(
        self,
        *,
        samples: Annotated[int, Field(gt=0)] = 8,
        groups: Annotated[int, Field(gt=0)] = 8,
        beta: Annotated[float, Field(ge=0)] = 1.0,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples * groups, schedule)
        self.groups, self.beta = groups, beta

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        parts = Weights(trace, batch, self.beta * weight)
        return Loss(-self._bound(parts.log_w).mean(), self._terms(parts))

    def _bound(self, log_w: Tensor) -> Tensor:
        """The mean over groups of their bounds, (B,)."""
        return log_mean_exp(_grouped(log_w, self.groups), 1).mean(0)

    def _terms(self, parts: Weights) -> dict[str, Tensor]:
        terms = parts.terms()
        return terms | {"miwae": self._bound(terms["elbo"])}


class PIWAE(MIWAE):
    """Decoder and prior maximise the bound of all M K samples; the encoder that of M groups of K, whose gradient is less noisy.

    samples: K. groups: M; M K samples are drawn per item.
    beta: weight of log p(z) - log q(z | x) in log w; 1 is the bound. The schedule multiplies it.

    ``value`` is the decoder's. ``terms["miwae"]`` and ``terms["iwae"]`` are the two bounds, unweighted.
    """

    compilable = False

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        beta = self.beta * weight
        parts = Weights(trace, batch, beta)
        value = -log_mean_exp(parts.log_w).mean()
        if torch.is_grad_enabled():
            value = surrogate(value, self._two_gradients(trace, parts, beta))
        return Loss(value, self._terms(parts))

    def _two_gradients(self, trace: Trace, parts: Weights, beta: Tensor | float) -> Tensor:
        """A scalar to minimise: what enters through p(x, z) is weighed as in the bound of M K samples, what enters through z and q(z | x) as in that of M groups."""
        log_w = parts.log_w.detach()
        groups = _grouped(log_w, self.groups)
        decoder, encoder = log_w.softmax(0), (groups.softmax(1) / len(groups)).flatten(0, 1)
        direct = (decoder * parts.log_joint - encoder * beta * parts.log_q).sum(0).mean()
        return -direct - by_way_of_z(((encoder - decoder) * parts.log_joint).sum(0).mean(), trace.latents)


class CIWAE(Objective):
    """share * ELBO + (1 - share) * the importance-weighted bound of K samples.

    samples: K.
    share: of the ELBO, beta in the paper.
    beta: weight of log p(z) - log q(z | x) in log w; 1 gives bounds. The schedule multiplies it.

    ``terms["ciwae"]`` is that bound, unweighted.
    """

    def __init__(
        self,
        *,
        samples: Annotated[int, Field(gt=0)] = 8,
        share: Annotated[float, Field(ge=0, le=1)] = 0.5,
        beta: Annotated[float, Field(ge=0)] = 1.0,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.share, self.beta = share, beta

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        parts = Weights(trace, batch, self.beta * weight)
        terms = parts.terms()
        terms["ciwae"] = self._mix(terms["elbo"])
        return Loss(-self._mix(parts.log_w).mean(), terms)

    def _mix(self, log_w: Tensor) -> Tensor:
        return self.share * log_w.mean(0) + (1 - self.share) * log_mean_exp(log_w)
