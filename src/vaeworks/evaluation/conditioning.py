"""Draws of what is not known of an item given what is: codes by importance resampling, then p(x | z) of the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeworks.distributions import Observable, TokenSequence, fill_in
from vaeworks.latents.labelled import LabelledLatents
from vaeworks.model import VAE
from vaeworks.objectives.iwae import log_mean_exp
from vaeworks.trace import Batch, Latent

__all__ = ["FEW", "Evidence", "Filled", "Proposals", "fill", "propose"]

ROWS = 2048
"""Decoder rows (proposals x items) per pass."""
DEFENCE = 0.25
"""Share of the proposals that come from the prior: where q misses what the evidence allows, weights stay below 1 / DEFENCE times p(evidence | z)."""
FEW = 10
"""Effective sample size below which draws are too much alike to be trusted."""


@dataclass(frozen=True)
class Evidence:
    """What is known of B items: their values where ``batch.observed``, and that they lie between ``low`` and ``high`` where ``within``."""

    batch: Batch
    within: Tensor | None = None
    """(B, *event) bool, True where a range is known; never where the value is."""
    low: Tensor | None = None
    high: Tensor | None = None
    """(B, *event) in x, both ends included; looked at where ``within`` alone."""

    @property
    def observed(self) -> Tensor:
        return torch.ones_like(self.batch.x, dtype=torch.bool) if self.batch.observed is None else self.batch.observed

    def log_prob(self, p: Observable) -> Tensor:
        """log p(evidence | z) in nats, (K, B)."""
        log_p: Tensor = p.marginal(self.observed).log_prob(self.batch.x)
        if self.within is None:
            return log_p
        columns, (low, high) = p.coordinates(), self._ends()
        inside: Tensor = columns.log_interval(low, high).masked_fill(~self.within, 0)  # type: ignore[attr-defined]
        return log_p + inside.flatten(2).sum(-1)

    def complete(self, p: Observable) -> Tensor:
        """A draw from p(x | z, evidence), (K, B, *event)."""
        x = self.keep(p.rest(self.batch.x, self.observed).sample())
        if self.within is None:
            return x
        return torch.where(self.within, p.coordinates().sample_interval(*self._ends()), x)  # type: ignore[attr-defined]

    def keep(self, x: Tensor) -> Tensor:
        """x (..., B, *event) with what is observed as it is."""
        return torch.where(self.observed, self.batch.x.to(x.dtype), x)

    def _ends(self) -> tuple[Tensor, Tensor]:
        """The ranges; where none is known, one point."""
        assert self.within is not None
        assert self.low is not None
        assert self.high is not None
        return self.low.masked_fill(~self.within, 0), self.high.masked_fill(~self.within, 0)


@dataclass(frozen=True)
class Proposals:
    """K weighted codes for each of B items, which stand for p(z | evidence)."""

    code: Tensor
    """(K, B, D), what the decoder reads."""
    log_weight: Tensor
    """(K, B) log of p(evidence | z) p(z) over what z was drawn from."""

    @property
    def effective_sample_size(self) -> Tensor:
        """(B,) (sum w)^2 / sum w^2."""
        return torch.exp(2 * self.log_weight.logsumexp(0) - (2 * self.log_weight).logsumexp(0)).nan_to_num(0.0)

    @property
    def log_prob(self) -> Tensor:
        """(B,) log of the mean weight, in nats: an unbiased estimate of p(evidence) under the logarithm."""
        return log_mean_exp(self.log_weight)

    @property
    def share(self) -> Tensor:
        """(K, B) weights that sum to one; all alike for an item none of whose proposals allows the evidence."""
        return self.log_weight.softmax(0).nan_to_num(1 / len(self.log_weight))

    def draw(self, m: int) -> Tensor:
        """m codes (m, B, D) drawn with their weights as probabilities, with replacement."""
        index = self.share.T.multinomial(m, replacement=True).T
        return self.code.gather(0, index[..., None].expand(-1, -1, self.code.shape[-1]))


@dataclass(frozen=True)
class Filled:
    """Whole items that agree with the evidence."""

    x: Tensor
    """(M, B, *event): M draws of each; or (1, B, *event), its best values."""
    effective_sample_size: Tensor
    """(B,) of the weighted codes they were made from: where it is a few, draws are too much alike."""
    log_prob: Tensor
    """(B,) log p(evidence) as estimated on the way, in nats."""
    samples: int
    """K, proposals of each item."""


@torch.inference_mode()
def propose(vae: VAE, evidence: Evidence, samples: int = 1000, *, least: float = 0.0, most: int = 0) -> Proposals:
    """Codes for p(z | evidence): from q(z | what is observed), and ``DEFENCE`` of them from p(z), each weighed by p(evidence | z) p(z) over the density of that mixture (Owen & Zhou 2000).

    More are drawn, ``samples`` at a time and up to ``most`` in all, until the effective sample size of every item is ``least``. Draws come from torch's global generator.
    Where q has no density away from its own draws, draws of q and of p keep weights of their own, which are right for any mean but may vary more.
    """
    parts: list[tuple[Tensor, Tensor]] = []
    step = max(1, min(samples, ROWS // len(evidence.batch)))
    while True:
        for start in range(0, samples, step):
            code, log_ratio = _proposed(vae, evidence.batch, min(step, samples - start))
            p = vae.decode(code, evidence.batch.context)
            parts.append((code, log_ratio.double() + evidence.log_prob(p).double()))
        found = Proposals(*(torch.cat(column) for column in zip(*parts, strict=True)))
        if len(found.code) + samples > most or bool((found.effective_sample_size >= least).all()):
            return found


@torch.inference_mode()
def fill(
    vae: VAE,
    evidence: Evidence,
    *,
    draws: int = 1,
    samples: int = 1000,
    least: float = 0.0,
    most: int = 0,
    best: Callable[[Observable, Proposals], Tensor] | None = None,
) -> Filled:
    """``draws`` items for each that evidence is of, from p(x | evidence): codes drawn anew with their weights, then the rest given each (Mattei & Frellsen 2019, arXiv:1812.02633).

    draws = 0: one of best values: the mean of p(x | evidence) by self-normalised importance sampling, of text the most probable filling among those drawn; or what ``best`` makes of
    p(x | z), batch shape (K, B), and the weighted codes.
    """
    context = evidence.batch.context
    if isinstance(vae.decode(_proposed(vae, evidence.batch, 1)[0], context), TokenSequence):
        return _fill_text(vae, evidence.batch, draws, samples)
    found = propose(vae, evidence, samples, least=least, most=most)
    if draws:
        x = evidence.complete(vae.decode(found.draw(draws), context))
    elif best is not None:
        x = evidence.keep(best(vae.decode(found.code, context), found)[None])
    else:
        x = evidence.keep(_mean(vae, evidence, found)[None])
    return Filled(x, found.effective_sample_size, found.log_prob, len(found.code))


def _proposed(vae: VAE, batch: Batch, k: int) -> tuple[Tensor, Tensor]:
    """k codes (k, B, D) for each item, and the log of p(z) over the density that they were drawn from, (k, B)."""
    few = 0 if isinstance(vae.latents, LabelledLatents) else round(DEFENCE * k)  # there a label has a probability too, and the prior draws it
    latents = vae.latents.infer(vae, batch, k - few)
    if few and len(latents) == 1:
        q, p = latents[0].q, latents[0].p
        try:
            z = torch.cat([latents[0].z, p.sample((few,) if p.batch_shape else (few, len(batch)))])
            log_q, log_p = q.log_prob(z), p.log_prob(z)
        except NotImplementedError:
            pass
        else:
            mixture = torch.logaddexp(log_q + math.log(1 - few / k), log_p + math.log(few / k))
            return vae.latents.code((Latent(z, q, p),)), log_p - mixture
    code, log_ratio = vae.latents.code(latents), sum((latent.log_ratio() for latent in latents[1:]), start=latents[0].log_ratio())
    if few:
        context = None if batch.context is None else batch.context.expand(len(batch), -1).repeat(few, 1)
        other = vae.latents.generate(vae.prior, few * len(batch), context).view(few, len(batch), -1)
        code, log_ratio = torch.cat([code, other]), torch.cat([log_ratio, log_ratio.new_zeros(few, len(batch))])
    return code, log_ratio


def _mean(vae: VAE, evidence: Evidence, found: Proposals) -> Tensor:
    """The mean of p(x | evidence), (B, *event); NaN beyond the end of a sound."""
    total, step = 0.0, max(1, ROWS // len(evidence.batch))
    event = evidence.batch.x.dim() - 1
    for code, share in zip(found.code.split(step), found.share.split(step), strict=True):
        p = vae.decode(code, evidence.batch.context).rest(evidence.batch.x, evidence.observed)
        total = total + (share.view(*share.shape, *(1,) * event) * p.mean).sum(0)
    assert isinstance(total, Tensor)
    return total.to(evidence.batch.x.dtype)


def _fill_text(vae: VAE, batch: Batch, draws: int, samples: int) -> Filled:
    """Gaps of text by particles, ROWS of them at a time."""
    step = max(1, ROWS // samples)
    columns: list[tuple[Tensor, ...]] = []
    for start in range(0, len(batch), step):
        piece = Batch(*(None if t is None else t[start : start + step] for t in (batch.x, batch.observed, batch.context)))  # type: ignore[arg-type]
        code, log_ratio = _proposed(vae, piece, samples)
        p = vae.decode(code, piece.context)
        assert isinstance(p, TokenSequence)
        found = fill_in(p, piece.x, torch.ones_like(piece.x, dtype=torch.bool) if piece.observed is None else piece.observed, log_ratio)
        share = found.log_weight.exp()
        if draws:
            chosen = share.T.multinomial(draws, replacement=True).T
        else:  # the string with the most weight, all of its copies together
            same = (found.x[:, None] == found.x[None]).all(-1).double()
            chosen = torch.einsum("klb,lb->kb", same, share).argmax(0, keepdim=True)
        x = found.x.gather(0, chosen[..., None].expand(-1, -1, p.length))
        columns.append((x.transpose(0, 1), found.effective_sample_size, found.log_prob))
    x, effective, log_p = (torch.cat(column) for column in zip(*columns, strict=True))
    return Filled(x.transpose(0, 1), effective, log_p, samples)
