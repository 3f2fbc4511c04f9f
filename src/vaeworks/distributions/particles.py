"""Strings with gaps, whatever writes them: draws of what stands in the gaps, and the probability of what does not, by sequential importance sampling with resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeworks.distributions.tokens import END, PAD, TokenSequence, through_end, without_padding

__all__ = ["Particles", "fill_in"]


@dataclass(frozen=True)
class Particles:
    """K weighted strings for each of B items, all of them as observed where that is so."""

    x: Tensor
    """(K, B, L) tokens."""
    log_weight: Tensor
    """(K, B) log weights, normalised."""
    origin: Tensor
    """(K, B), the number of the distribution that each was written by."""
    log_prob: Tensor
    """(B,) log of an unbiased estimate of the weighted sum over distributions of p(observed), in nats."""

    @property
    def effective_sample_size(self) -> Tensor:
        """(B,) of the distributions behind the strings, 1 / sum of their squared shares: resampling copies strings, and copies are no new draws."""
        share = torch.zeros_like(self.log_weight).scatter_add_(0, self.origin, self.log_weight.exp())
        return share.square().sum(0).reciprocal()


@torch.no_grad()
def fill_in(p: TokenSequence, x: Tensor, observed: Tensor, log_weight: Tensor) -> Particles:
    """What may stand in the gaps of tokens x (B, L) where ``observed`` (B, L) is False, under the K weighted distributions of each item: p of batch shape (K, B).

    Each particle is written token by token: in a gap drawn from p(x_t | x_<t), without the END where something of the string is observed later, and where a token is observed it is
    taken and weighed by its probability. Particles are drawn anew, systematically, whenever their effective sample size falls below a half (Gordon et al. 1993; Doucet & Johansen 2011,
    a tutorial on particle filtering). The mean weight has the mean p(observed), summed over the gaps, whatever K.
    log_weight (K, B): log p(z) less what z was drawn from, a constant apart that ``log_prob`` then has.

    Beyond the observed END nothing is written. ValueError for an item whose observed part no string has, or that shows padding and no END.
    """
    k, count = log_weight.shape
    length, device = p.length, x.device
    x, observed = x[:, :length], through_end(x, observed)[:, :length]
    _possible(x, observed, length)
    if x.shape[1] < length:  # trimmed: nothing is known of what would follow
        more = (0, length - x.shape[1])
        x, observed = torch.nn.functional.pad(x, more), torch.nn.functional.pad(observed, more)
    later = observed.flip(1).cummax(1).values.flip(1)  # something from here on is observed
    decoding = p.decoding
    state = decoding.start()
    logits = decoding.step(state, None, 0)
    written = torch.full((k, count, length), PAD, device=device)
    running = torch.ones(k, count, dtype=torch.bool, device=device)
    log_w, total = log_weight.double().clone(), torch.zeros(count, dtype=torch.float64, device=device)
    origin = torch.arange(k, device=device)[:, None].repeat(1, count)
    for t in range(length):
        if t > 0:
            log_w, total, parent = _resampled(log_w, total)
            if parent is not None:
                flat = (parent * count + torch.arange(count, device=device)).flatten()
                decoding = decoding.rows(flat)
                state[:] = [tensor[flat] for tensor in state]
                written, running, origin = (tensor.flatten(0, 1)[flat].view_as(tensor) for tensor in (written, running, origin))
            if not running.any():
                break
            if t < length - 1:
                logits = decoding.step(state, written[..., t - 1].flatten(), t)
        log_p = without_padding(logits).log_softmax(-1).double().view(k, count, -1)
        if t == length - 1:  # END is certain here
            log_p = torch.where(torch.arange(log_p.shape[-1], device=device) == END, 0.0, -math.inf).expand_as(log_p)
        known, must = observed[:, t], later[:, t] & ~observed[:, t]
        told = log_p.gather(-1, x[:, t].clamp_min(END).expand(k, -1)[..., None]).squeeze(-1)
        free = log_p.clone()
        free[..., END] = torch.where(must, -math.inf, free[..., END])
        room = free.logsumexp(-1)  # the probability that the gap goes on, where it must
        drawn = _draw(free)
        token = torch.where(known, x[:, t], drawn)
        log_w = log_w + torch.where(running, torch.where(known, told, room), 0)
        written[..., t] = torch.where(running, token, PAD)
        running = running & (written[..., t] != END)
    norm = log_w.logsumexp(0)
    return Particles(written, log_w - norm, origin, total + norm - math.log(k))


def _possible(x: Tensor, observed: Tensor, length: int) -> None:
    """ValueError where no string is as observed, or an end is told by what follows it."""
    wrong = observed & (x == PAD)
    if x.shape[1] == length:
        wrong[:, -1] |= observed[:, -1] & (x[:, -1] != END)
    if wrong.any():
        item, place = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"item {item}: token {int(x[item, place])} is observed at place {place} of {length}, before any observed END: the last place is END's, and PAD follows it alone"
        )


def _draw(log_p: Tensor) -> Tensor:
    """One token for each row of log_p (..., V); any where all are impossible, whose weight is zero."""
    p = log_p.softmax(-1).nan_to_num(1.0)
    return p.flatten(0, -2).multinomial(1).view(p.shape[:-1])


def _resampled(log_w: Tensor, total: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Weights, log of the mean weight so far and the parent (K, B) of each particle, anew for the items whose effective sample size is below K / 2; None where none is."""
    k = len(log_w)
    norm = log_w.logsumexp(0)
    share = (log_w - norm).exp()
    poor = share.square().sum(0).reciprocal() < k / 2
    poor &= norm > -math.inf
    if not poor.any():
        return log_w, total, None
    place = (torch.rand(log_w.shape[1], dtype=share.dtype, device=share.device) + torch.arange(k, device=share.device)[:, None]) / k
    chosen = torch.searchsorted(share.cumsum(0).T.contiguous(), place.T.contiguous()).T.clamp_max(k - 1)
    parent = torch.where(poor, chosen, torch.arange(k, device=share.device)[:, None])
    return torch.where(poor, 0.0, log_w), total + torch.where(poor, norm - math.log(k), 0), parent
