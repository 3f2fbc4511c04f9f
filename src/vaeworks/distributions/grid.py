"""Distributions on a grid of L levels in [0, 1]: 0, 1/(L-1), ..., 1. Probability masses, so bits per dimension are comparable across papers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

from vaeworks.distributions.observable import Observable

__all__ = ["DiscretisedLogistic", "DiscretisedLogisticMixture", "GridCategorical", "discretised_logistic_log_prob"]


def discretised_logistic_log_prob(x: Tensor, loc: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """log of the logistic's mass in the bin around x, the outermost bins reaching to infinity.

    With a and b the standardised upper and lower edge, sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)): no difference of nearly equal numbers, so
    the logarithm is exact in float32 far into the tails.
    """
    half = 0.5 / (levels - 1)
    inverse_scale = torch.exp(-log_scale)
    below = x < half  # the lowest level
    above = x > 1 - half
    centred = x - loc
    upper = F.logsigmoid((centred + half) * inverse_scale).masked_fill(above, 0)
    lower = F.logsigmoid((half - centred) * inverse_scale).masked_fill(below, 0)
    width = torch.log(-torch.expm1(-2 * half * inverse_scale))
    return upper + lower + torch.where(below | above, 0, width)


def _logistic(loc: Tensor, log_scale: Tensor, shape: torch.Size, levels: int) -> Tensor:
    """Logistic noise around loc, rounded to the grid."""
    u = torch.rand(shape, dtype=loc.dtype, device=loc.device).clamp(1e-6, 1 - 1e-6)
    x = loc + log_scale.exp() * (u.log() - torch.log1p(-u))
    return (x.clamp(0, 1) * (levels - 1)).round() / (levels - 1)


class DiscretisedLogistic(Distribution):
    """A logistic distribution rounded to the grid, its tails gathered in the outermost levels (Kingma et al. 2016, arXiv:1606.04934)."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = False

    def __init__(self, loc: Tensor, log_scale: Tensor, levels: int):
        self.loc, self.log_scale, self.levels = loc, log_scale, levels
        super().__init__(loc.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The mean over the grid: 1 minus the average of the distribution function at the bins' upper edges."""
        edges = (torch.arange(self.levels - 1, dtype=self.loc.dtype, device=self.loc.device) + 0.5) / (self.levels - 1)
        total = torch.zeros_like(self.loc)
        for edge in edges:
            total += torch.sigmoid((edge - self.loc) * torch.exp(-self.log_scale))
        return 1 - total / (self.levels - 1)

    @property
    def mode(self) -> Tensor:
        """The grid level nearest to the location."""
        return (self.loc.clamp(0, 1) * (self.levels - 1)).round() / (self.levels - 1)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        with torch.no_grad():
            return _logistic(self.loc, self.log_scale, torch.Size(sample_shape) + self.batch_shape, self.levels)

    def log_prob(self, value: Tensor) -> Tensor:
        return discretised_logistic_log_prob(value, self.loc, self.log_scale, self.levels)


class DiscretisedLogisticMixture(Observable):
    """A mixture of M discretised logistics per pixel; the channels of a pixel share its component, which carries their correlation (after Salimans et al. 2017, arXiv:1701.05517).

    log p(x) = sum over pixels of log sum_m pi_m prod over observed channels c of p(x_c | m). Channels are independent given the component, so leaving one out is exactly
    its marginal.

    ``logits`` (..., M, H, W); ``loc`` and ``log_scale`` (..., M, C, H, W).
    """

    has_rsample = False

    def __init__(self, logits: Tensor, loc: Tensor, log_scale: Tensor, levels: int, observed: Tensor | None = None):
        self.logits, self.loc, self.log_scale, self.levels, self.observed = logits, loc, log_scale, levels, observed
        super().__init__(loc.shape[:-4], loc.shape[-3:], validate_args=False)

    def marginal(self, observed: Tensor | None) -> DiscretisedLogisticMixture:
        return DiscretisedLogisticMixture(self.logits, self.loc, self.log_scale, self.levels, observed)

    def log_prob(self, value: Tensor) -> Tensor:
        return self._pixels(value).sum((-2, -1))

    def terms(self, value: Tensor) -> Tensor:
        """A pixel's term is shared by its observed channels, which do not add up by themselves."""
        here = torch.ones(self.event_shape, device=value.device) if self.observed is None else self.observed
        share = here / here.sum(-3, keepdim=True).clamp_min(1)
        return self._pixels(value).unsqueeze(-3) * share.to(value)

    def _pixels(self, value: Tensor) -> Tensor:
        """log p of the observed channels of every pixel, (..., H, W)."""
        if self.observed is not None:
            value = value.masked_fill(~self.observed, 0)
        return (self._of_components(value, self.observed) + F.log_softmax(self.logits, -3)).logsumexp(-3)

    def rest(self, value: Tensor, observed: Tensor) -> DiscretisedLogisticMixture:
        """The channels of a pixel that are known tell of its component, and so of the others."""
        told = self._of_components(value.masked_fill(~observed, 0), observed)
        return DiscretisedLogisticMixture(F.log_softmax(self.logits, -3) + told, self.loc, self.log_scale, self.levels)

    def _of_components(self, value: Tensor, observed: Tensor | None) -> Tensor:
        """log p of the observed channels of each pixel under each component, (..., M, H, W)."""
        terms = discretised_logistic_log_prob(value.unsqueeze(-4), self.loc, self.log_scale, self.levels)
        return (terms if observed is None else terms.masked_fill(~observed.unsqueeze(-4), 0)).sum(-3)

    @property
    def mean(self) -> Tensor:
        components = DiscretisedLogistic(self.loc, self.log_scale, self.levels).mean
        return (self.logits.softmax(-3).unsqueeze(-3) * components).sum(-4)

    @property
    def mode(self) -> Tensor:
        """The location of each pixel's heaviest component: a mode of the mixture when its components are well apart."""
        return self._pick(self.logits.argmax(-3), DiscretisedLogistic(self.loc, self.log_scale, self.levels).mode)

    def _pick(self, component: Tensor, values: Tensor) -> Tensor:
        """values (..., M, C, H, W) at component (..., H, W) -> (..., C, H, W)."""
        index = component[..., None, None, :, :].expand(*component.shape[:-2], 1, *values.shape[-3:])
        return values.expand(*component.shape[:-2], *values.shape[-4:]).gather(-4, index).squeeze(-4)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        with torch.no_grad():
            logits = self.logits.expand(torch.Size(sample_shape) + self.logits.shape)
            uniform = torch.rand_like(logits).clamp(1e-7, 1 - 1e-7)
            component = (logits - torch.log(-torch.log(uniform))).argmax(-3)
            return _logistic(
                self._pick(component, self.loc), self._pick(component, self.log_scale), component.shape[:-2] + self.event_shape, self.levels
            )


class GridCategorical(Distribution):
    """A free probability for every level: ``logits`` (..., L), the level last."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_rsample = False

    def __init__(self, logits: Tensor):
        self.logits, self.levels = logits, logits.shape[-1]
        super().__init__(logits.shape[:-1], validate_args=False)

    @property
    def mean(self) -> Tensor:
        grid = torch.linspace(0, 1, self.levels, dtype=self.logits.dtype, device=self.logits.device)
        return self.logits.softmax(-1) @ grid

    @property
    def mode(self) -> Tensor:
        return self.logits.argmax(-1).to(self.logits) / (self.levels - 1)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        level = torch.distributions.Categorical(logits=self.logits, validate_args=False).sample(torch.Size(sample_shape))
        x: Tensor = level.to(self.logits) / (self.levels - 1)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        level = (value * (self.levels - 1)).round().long().clamp(0, self.levels - 1)
        shape = torch.broadcast_shapes(level.shape, self.batch_shape)
        log_p = self.logits.log_softmax(-1).expand(*shape, self.levels)
        return log_p.gather(-1, level.expand(shape).unsqueeze(-1)).squeeze(-1)
