"""log p(x) by importance sampling, with the errors that belong to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeworks.model import VAE
from vaeworks.objectives import analytic_kl
from vaeworks.trace import Batch, Latent, Trace

__all__ = ["LogProb", "log_prob"]

ROWS = 2048
"""Decoder rows (samples x items) per pass: enough to fill the matrix units, few enough that activations stay in the cache."""


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


@torch.inference_mode()
def log_prob(vae: VAE, batches: Batch | Iterable[Batch], samples: int = 1000, *, progress: Callable[[int], None] | None = None) -> LogProb:
    """log p(x) for every item, from ``samples`` draws of q(z | x): log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x).

    Exact as K grows for any q that covers the posterior. A label that is not told is summed out, its C classes sharing the K samples evenly. Memory is bounded whatever K and the
    number of items. ``progress`` is called with the number of items done. Draws come from torch's global generator, so ``torch.manual_seed`` makes them repeatable.

    Raises ValueError for less than one sample, NotImplementedError where the posterior has no density (a plain autoencoder).
    """
    if samples < 1:
        raise ValueError(f"samples={samples}: at least one importance sample is needed")
    training = vae.training
    vae.eval()
    try:
        parts = [
            _batch(vae, piece, samples, progress)
            for batch in ([batches] if isinstance(batches, Batch) else batches)
            for piece in _pieces(batch, samples)
        ]
    finally:
        vae.train(training)
    value, error, effective, elbo, likelihood = (torch.cat(column) for column in zip(*parts, strict=True))
    return LogProb(value, error, effective, elbo, likelihood, samples)


def _pieces(batch: Batch, samples: int) -> Iterable[Batch]:
    """The batch cut so that a piece times its samples fills a pass when samples are few, and a piece is small when they are many."""
    size = max(1, ROWS // samples) if samples < ROWS else 1
    size = max(size, min(len(batch), 16))
    for start in range(0, len(batch), size):
        cut = slice(start, start + size)
        yield Batch(*(None if t is None else t[cut] for t in (batch.x, batch.observed, batch.context)))  # type: ignore[arg-type]


def _batch(vae: VAE, batch: Batch, samples: int, progress: Callable[[int], None] | None) -> tuple[Tensor, ...]:
    """The columns of LogProb. What the batch leaves open is summed out: each of A ways in which it may be told has its share of the samples, and p(x) is the sum of p(x, way)."""
    found = vae.latents.alternatives(vae, batch)
    if found is None:
        columns = _drawn(vae, batch, samples)
    else:
        told, log_q = found[0], found[1].double()
        ways, each = len(log_q), math.ceil(samples / len(log_q))
        value, error, ess, elbo, likelihood = (column.unflatten(0, (ways, -1)) for column in _drawn(vae, told, each))
        value, q = value.masked_fill(log_q == -math.inf, -math.inf), log_q.exp()
        part = value.softmax(0)  # p(way | x)
        spread = torch.where(part > 0, part * error, 0).square().sum(0).sqrt()
        q_mean = (torch.where(q > 0, q * of, 0).sum(0) for of in (elbo - log_q, likelihood))
        columns = value.logsumexp(0), spread, (part.square() / ess).sum(0).reciprocal(), *q_mean
    if progress is not None:
        progress(len(batch))
    return columns


def _drawn(vae: VAE, batch: Batch, samples: int) -> tuple[Tensor, ...]:
    """The columns of LogProb from ``samples`` draws of q."""
    log_sum, log_sum_of_squares = None, None
    likelihood = torch.zeros(len(batch), dtype=torch.float64, device=batch.x.device)
    sampled_kl = torch.zeros_like(likelihood)
    kl: Tensor | None = None
    step = max(1, ROWS // len(batch))
    trace: Trace | None = None
    for start in range(0, samples, step):
        k = min(step, samples - start)
        trace = vae(batch, k) if trace is None else _again(vae, trace.latents, batch, k)
        log_likelihood, log_ratio = trace.log_likelihood(batch).double(), trace.log_ratio().double()
        log_w = log_likelihood + log_ratio
        first, second = log_w.logsumexp(0), (2 * log_w).logsumexp(0)
        log_sum = first if log_sum is None else torch.logaddexp(log_sum, first)
        log_sum_of_squares = second if log_sum_of_squares is None else torch.logaddexp(log_sum_of_squares, second)
        likelihood += log_likelihood.sum(0)
        sampled_kl -= log_ratio.sum(0)
        if kl is None:
            kl = _closed_kl(trace.latents)
    assert log_sum is not None
    assert log_sum_of_squares is not None
    ess = torch.exp(2 * log_sum - log_sum_of_squares)
    relative_variance = (samples / ess - 1).clamp_min(0) / max(samples - 1, 1)
    error = relative_variance.sqrt() if samples > 1 else torch.full_like(ess, math.inf)
    likelihood /= samples
    elbo = likelihood - (sampled_kl / samples if kl is None else kl)
    return log_sum - math.log(samples), error, ess, elbo, likelihood


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
