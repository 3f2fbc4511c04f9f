"""Sounds of any length up to the event's: how long, then what is heard until then."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaeworks.distributions.observable import Observable

__all__ = ["Sound"]


class Sound(Observable):
    """p(x) = p(length) times the product of p_i(x_i) over the coordinates until the end; time is the last axis, all rows end together, and NaN stands where the sound has ended.

    ``base`` has batch shape (..., *event) and scalar events. ``logits`` (..., ceil(T / step)): of a length of 1, 2 ... steps of ``step`` places in time. A sound that ends
    within a step is one that ends with the step, the rest of it unobserved.

    ``observed`` (B, *event): the end is where it is last True; what it hides before that is integrated out. An item of which nothing is observed has probability one, its
    length unknown. Without ``observed`` the end is told by the NaN.
    """

    has_rsample = False

    def __init__(self, base: Distribution, logits: Tensor, step: int, observed: Tensor | None = None):
        self.base, self.logits, self.step, self.observed = base, logits, step, observed
        split = logits.dim() - 1
        super().__init__(base.batch_shape[:split], base.batch_shape[split:], validate_args=False)

    def marginal(self, observed: Tensor | None) -> Sound:
        return Sound(self.base, self.logits, self.step, observed)

    def rest(self, value: Tensor, observed: Tensor) -> Sound:
        """Of the same length: what is heard at one time tells nothing of another."""
        return Sound(self.base, self.logits, self.step, observed)

    def _until(self, known: Tensor) -> Tensor:
        """Places in time up to the last that is known in any row: (..., *event) bool -> (...), 0 where nothing is."""
        heard = known.flatten(known.dim() - len(self.event_shape), -2).any(-2)
        place = torch.arange(1, heard.shape[-1] + 1, device=heard.device)
        return (place * heard).amax(-1)

    def _ending(self, x: Tensor, end: Tensor) -> Tensor:
        """x (..., *event), NaN from place ``end`` (...) on."""
        place = torch.arange(self.event_shape[-1], device=x.device)
        return torch.where(place < end.view(*end.shape, *(1 for _ in self.event_shape)), x, torch.nan)

    def log_prob(self, value: Tensor) -> Tensor:
        terms, log_length, _ = self._parts(value)
        return terms.flatten(terms.dim() - len(self.event_shape)).sum(-1) + log_length

    def terms(self, value: Tensor) -> Tensor:
        """The length's term is shared by the rows of the last place before the end."""
        terms, log_length, end = self._parts(value)
        place = torch.arange(self.event_shape[-1], device=value.device)
        ones = (1,) * len(self.event_shape)
        last = (place == (end - 1).view(*end.shape, *ones)) / self.event_shape[:-1].numel()
        return terms + last.to(terms) * log_length.view(*log_length.shape, *ones)

    def _parts(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log p of every coordinate (..., *event), zero where it is hidden; log p(length) (...); and where each sound ends."""
        if self.observed is None:
            end = self._until(~value.isnan())
            place = torch.arange(self.event_shape[-1], device=value.device)
            hidden = (place >= end.clamp_min(1).view(*end.shape, *(1 for _ in self.event_shape))).expand_as(value)
        else:
            end, hidden = self._until(self.observed), ~self.observed
        # zero lies in every support, so that what is missing (NaN, even) meets neither value nor gradient
        terms = self.base.log_prob(value.masked_fill(hidden, 0)).masked_fill(hidden, 0)
        length = ((end - 1) // self.step).clamp_min(0)
        log_p = self.logits.log_softmax(-1)
        log_length = log_p.expand(*torch.broadcast_shapes(length.shape, self.batch_shape), -1).gather(-1, self._index(length)).squeeze(-1)
        return terms, log_length.masked_fill(end == 0, 0), end

    def _index(self, length: Tensor) -> Tensor:
        return length.expand(torch.broadcast_shapes(length.shape, self.batch_shape)).unsqueeze(-1)

    def _end(self) -> Tensor:
        """Where the sound ends: with what was observed, or at the median length, which is less often far off than the most probable one."""
        if self.observed is not None:
            return self._until(self.observed)
        median = (self.logits.softmax(-1).cumsum(-1) < 0.5).sum(-1) + 1
        return median.clamp_max(self.logits.shape[-1]) * self.step

    @property
    def mean(self) -> Tensor:
        """The mean of each coordinate; NaN beyond the end that was observed, else beyond the median one."""
        return self._ending(self.base.mean, self._end())

    @property
    def mode(self) -> Tensor:
        """The most probable sound of the length that ``mean`` has."""
        return self._ending(self.base.mode, self._end())

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        """Sounds that end where the observed one does, where there is one."""
        shape = torch.Size(sample_shape)
        if self.observed is not None:
            return self._ending(self.base.sample(shape), self._end())
        length = torch.distributions.Categorical(logits=self.logits, validate_args=False).sample(shape)
        return self._ending(self.base.sample(shape), (length + 1) * self.step)
