"""log p(x) by importance sampling, with the errors that belong to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal
from torch.nn import functional as F

from vaeworks.distributions import Observable
from vaeworks.model import VAE
from vaeworks.objectives import analytic_kl
from vaeworks.trace import Batch, Latent, Trace

__all__ = ["LogProb", "log_prob"]

ROWS = 2048
"""Decoder rows (samples x items) per pass: enough to fill the matrix units, few enough that activations stay in the cache."""
SIDE_BY_SIDE = 16
"""Items that pass together even where samples are many."""
NEVER = -1e30
"""log 0 among numbers that are multiplied by weights of 0."""


@dataclass(frozen=True)
class LogProb:
    """Estimates for N items, in nats, from K importance samples each."""

    value: Tensor
    """(N,) log of the mean importance weight: in expectation a lower bound on log p(x), tight as K grows (Burda et al. 2016, arXiv:1509.00519)."""
    standard_error: Tensor
    """(N,) Monte Carlo standard error of ``value`` by the delta method; infinite for K = 1."""
    effective_sample_size: Tensor
    """(N,) (sum w)^2 / sum w^2, between 1 and K: where it is a few, the proposal q misses mass and ``value`` may be far too low."""
    elbo: Tensor
    """(N,) the evidence lower bound from the same samples, KL in closed form where torch knows it."""
    log_likelihood: Tensor
    """(N,) E_q[log p(x | z)]."""
    samples: int
    """K."""
    terms: Tensor | None = None
    """(N, *event) E[log p(x_i | z)] of each coordinate under p(z | x), by the importance weights, zero where nothing is observed; None where it was not asked for."""


@torch.inference_mode()
def log_prob(
    vae: VAE,
    batches: Batch | Iterable[Batch],
    samples: int = 1000,
    *,
    seeds: Sequence[int] | None = None,
    terms: bool = False,
    progress: Callable[[int], None] | None = None,
) -> LogProb:
    """log p(x) for every item, from ``samples`` draws of q(z | x): log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x).

    Exact as K grows for any q that covers the posterior. A label that is not told is summed out, its C classes sharing the K samples evenly. Memory is bounded whatever K and the
    number of items. ``progress`` is called with the number of items done. Draws come from torch's global generator, so ``torch.manual_seed`` makes them repeatable; or, with
    ``seeds``, one for each item, from a stream of the item's own, and its figures do not depend on the other items. ``terms``: what each coordinate adds to log p(x | z), too.

    Raises ValueError for less than one sample, NotImplementedError where the posterior has no density (a plain autoencoder), or where terms are asked for and there are none.
    """
    if samples < 1:
        raise ValueError(f"samples={samples}: at least one importance sample is needed")
    training = vae.training
    vae.eval()
    try:
        parts = [
            _batch(vae, piece, samples, terms, progress)
            for batch, own in _with_seeds([batches] if isinstance(batches, Batch) else batches, seeds)
            for piece in _pieces(vae, batch, samples, own)
        ]
    finally:
        vae.train(training)
    value, error, effective, elbo, likelihood = (torch.cat([part.columns[i] for part in parts]) for i in range(5))
    return LogProb(value, error, effective, elbo, likelihood, samples, _stacked([part.terms for part in parts if part.terms is not None]))


@dataclass(frozen=True)
class _Piece:
    """Items that pass through the decoder side by side, and their streams where they have any."""

    batch: Batch
    streams: tuple[torch.Generator, ...] | None = None


@dataclass(frozen=True)
class _Estimates:
    """The columns of LogProb (value, standard error, effective sample size, ELBO, log-likelihood), and the terms."""

    columns: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
    terms: Tensor | None


def _with_seeds(batches: Iterable[Batch], seeds: Sequence[int] | None) -> Iterator[tuple[Batch, Sequence[int] | None]]:
    """Each batch with the seeds of its items."""
    start = 0
    for batch in batches:
        yield batch, None if seeds is None else seeds[start : start + len(batch)]
        start += len(batch)


def _pieces(vae: VAE, batch: Batch, samples: int, seeds: Sequence[int] | None) -> Iterator[_Piece]:
    """The batch cut so that a piece times its samples fills a pass when samples are few, and a piece is small when they are many.

    Where items have streams and q is no diagonal normal, whose noise can be handed to it, each passes alone, and the global generator is its stream.
    """
    alone = seeds is not None and not _steerable(vae, batch)
    size = max(1, ROWS // samples) if samples < ROWS else 1
    size = 1 if alone else max(size, min(len(batch), SIDE_BY_SIDE))
    for start in range(0, len(batch), size):
        cut = slice(start, start + size)
        piece = Batch(*(None if t is None else t[cut] for t in (batch.x, batch.observed, batch.context)))  # type: ignore[arg-type]
        if alone and seeds is not None:
            torch.manual_seed(seeds[start])
        yield _Piece(piece, None if alone or seeds is None else tuple(torch.Generator().manual_seed(seed) for seed in seeds[cut]))


def _steerable(vae: VAE, batch: Batch) -> bool:
    """Whether codes are q's mean and q's scale times normal noise."""
    if len(batch) == 0 or vae.latents.alternatives(vae, batch) is not None:
        return False
    latents = vae.latents.infer(vae, batch, 1)
    return len(latents) == 1 and _normal(latents[0].q) is not None


def _normal(q: Distribution) -> Normal | None:
    """The normals that q is made of, one for each dimension; None where it is no diagonal normal."""
    base = q.base_dist if isinstance(q, Independent) else None
    return base if isinstance(base, Normal) and base.loc.dim() == 2 else None


def _stacked(parts: list[Tensor]) -> Tensor | None:
    """Parts (B, *event), of events that may end earlier in one than in another, as one, zero beyond their ends; None where there are none."""
    if not parts:
        return None
    longest = max(part.shape[-1] for part in parts)
    return torch.cat([F.pad(part, (0, longest - part.shape[-1])) for part in parts])


def _batch(vae: VAE, piece: _Piece, samples: int, terms: bool, progress: Callable[[int], None] | None) -> _Estimates:
    """The estimates of a piece. What it leaves open is summed out: each of A ways in which it may be told has its share of the samples, and p(x) is the sum of p(x, way)."""
    found = vae.latents.alternatives(vae, piece.batch)
    if found is None:
        estimates = _drawn(vae, piece, samples, terms)
    else:
        told, log_q = found[0], found[1].double()
        ways, each = len(log_q), math.ceil(samples / len(log_q))
        drawn = _drawn(vae, _Piece(told), each, terms)
        value, error, ess, elbo, likelihood = (column.unflatten(0, (ways, -1)) for column in drawn.columns)
        value, q = value.masked_fill(log_q == -math.inf, -math.inf), log_q.exp()
        part = value.softmax(0)  # p(way | x)
        spread = torch.where(part > 0, part * error, 0).square().sum(0).sqrt()
        q_elbo, q_likelihood = (torch.where(q > 0, q * of, 0).sum(0) for of in (elbo - log_q, likelihood))
        columns = value.logsumexp(0), spread, (part.square() / ess).sum(0).reciprocal(), q_elbo, q_likelihood
        estimates = _Estimates(columns, None if drawn.terms is None else _weighted(part, drawn.terms.unflatten(0, (ways, -1))))
    if progress is not None:
        progress(len(piece.batch))
    return estimates


def _drawn(vae: VAE, piece: _Piece, samples: int, with_terms: bool) -> _Estimates:
    """The estimates from ``samples`` draws of q."""
    batch = piece.batch
    log_sum: Tensor | None = None
    log_sum_of_squares: Tensor | None = None
    likelihood = torch.zeros(len(batch), dtype=torch.float64, device=batch.x.device)
    sampled_kl = torch.zeros_like(likelihood)
    kl: Tensor | None = None
    mean_terms: Tensor | None = None
    for trace in _traces(vae, piece, samples):
        terms = trace.x.terms(batch.x) if with_terms and isinstance(trace.x, Observable) else None
        told = trace.log_likelihood(batch) if terms is None else terms.flatten(2).sum(-1)
        log_likelihood, log_ratio = told.double(), trace.log_ratio().double()
        log_w = log_likelihood + log_ratio
        first, second = log_w.logsumexp(0), (2 * log_w).logsumexp(0)
        before: Tensor | None = log_sum
        log_sum = first if log_sum is None else torch.logaddexp(log_sum, first)
        log_sum_of_squares = second if log_sum_of_squares is None else torch.logaddexp(log_sum_of_squares, second)
        likelihood += log_likelihood.sum(0)
        sampled_kl -= log_ratio.sum(0)
        if kl is None:
            kl = _closed_kl(trace.latents)
        if terms is not None:
            here = _weighted((log_w - log_sum).exp(), terms)
            mean_terms = here if mean_terms is None or before is None else here + _weighted((before - log_sum).exp()[None], mean_terms[None])
    assert log_sum is not None
    assert log_sum_of_squares is not None
    ess = torch.exp(2 * log_sum - log_sum_of_squares)
    relative_variance = (samples / ess - 1).clamp_min(0) / max(samples - 1, 1)
    error = relative_variance.sqrt() if samples > 1 else torch.full_like(ess, math.inf)
    likelihood /= samples
    elbo = likelihood - (sampled_kl / samples if kl is None else kl)
    return _Estimates((log_sum - math.log(samples), error, ess, elbo, likelihood), mean_terms)


def _weighted(weights: Tensor, terms: Tensor) -> Tensor:
    """sum over k of weights (K, B) times terms (K, B, *event); a weight that is 0/0 counts nothing, and log 0 is a very large negative number."""
    found: Tensor = torch.einsum("kb,kbe->be", weights.nan_to_num(0.0).to(terms), terms.flatten(2).clamp_min(NEVER))
    return found.view(terms.shape[1:])


def _traces(vae: VAE, piece: _Piece, samples: int) -> Iterator[Trace]:
    """Traces of ``samples`` draws in all, as many at a time as fill a pass; with streams so many that it does not matter who else is in the piece."""
    batch = piece.batch
    step = max(1, ROWS // (len(batch) if piece.streams is None else SIDE_BY_SIDE))
    latents: tuple[Latent, ...] | None = None
    for start in range(0, samples, step):
        k = min(step, samples - start)
        if piece.streams is not None:
            trace = vae.complete(_steered(vae.latents.infer(vae, batch, 1) if latents is None else latents, piece.streams, k), batch)
        else:
            trace = vae(batch, k) if latents is None else _again(vae, latents, batch, k)
        latents = trace.latents
        yield trace


def _steered(latents: tuple[Latent, ...], streams: tuple[torch.Generator, ...], k: int) -> tuple[Latent, ...]:
    """k codes of a diagonal normal, each item's noise from its own stream."""
    (latent,) = latents
    normal = _normal(latent.q)
    assert normal is not None
    noise = torch.stack([torch.randn(k, normal.loc.shape[1], generator=stream, dtype=normal.loc.dtype) for stream in streams], 1)
    return (Latent(torch.addcmul(normal.loc, normal.scale, noise.to(normal.loc.device)), latent.q, latent.p),)


def _closed_kl(latents: tuple[Latent, ...]) -> Tensor | None:
    """The KL of one flat level in closed form, (B,); None where it must be sampled."""
    if len(latents) != 1:
        return None
    kl = analytic_kl(latents[0])
    return None if kl is None else kl.double()


def _again(vae: VAE, latents: tuple[Latent, ...], batch: Batch, k: int) -> Trace:
    """Fresh samples from the same posterior; a flat one need not be encoded again."""
    if len(latents) != 1:
        return vae(batch, k)
    latent = latents[0]
    return vae.complete((Latent(latent.q.rsample((k,)), latent.q, latent.p),), batch)
