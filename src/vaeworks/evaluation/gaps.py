"""Where a bound loses its nats: to the family of q, or to the encoder that has to find q for every item at once."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeworks.distributions import detached
from vaeworks.latents import FlatLatents
from vaeworks.model import VAE, Encoder
from vaeworks.trace import Batch, Latent

__all__ = ["Gaps", "gaps", "optimised_features"]

ROWS = 2048
"""Decoder rows (samples x items) per pass."""


@dataclass(frozen=True)
class Gaps:
    """Figures of N items, in nats; each (N,). What is estimated by sampling may come out below zero by its error."""

    log_prob: Tensor
    """log p(x) by importance sampling from q*, whose bound is the tightest of its family; in expectation a lower bound."""
    elbo: Tensor
    """The bound with the encoder's q."""
    optimal_elbo: Tensor
    """The bound with q*: the best found of the same family, for this item alone."""
    elbo_error: Tensor
    """Monte Carlo standard error of ``elbo``."""
    optimal_error: Tensor
    """Monte Carlo standard error of ``optimal_elbo``."""
    log_prob_error: Tensor
    """Monte Carlo standard error of ``log_prob`` by the delta method."""
    samples: int
    steps: int

    @property
    def approximation(self) -> Tensor:
        """log p(x) - ELBO(q*) = KL(q* || p(z | x)): what the family of q costs. Too small where importance sampling falls short; annealed importance sampling can tell."""
        return self.log_prob - self.optimal_elbo

    @property
    def amortisation(self) -> Tensor:
        """ELBO(q*) - ELBO(q): what it costs that one encoder serves all items. Too small where the optimisation fell short."""
        return self.optimal_elbo - self.elbo

    @property
    def inference(self) -> Tensor:
        """log p(x) - ELBO(q) = KL(q || p(z | x)): the sum of the two."""
        return self.log_prob - self.elbo


def gaps(
    vae: VAE,
    batch: Batch,
    *,
    samples: int = 1000,
    steps: int = 500,
    learning_rate: float = 0.05,
    draws: int = 8,
    progress: Callable[[int], None] | None = None,
) -> Gaps:
    """The inference gap of every item and its two parts (Cremer et al. 2018, arXiv:1801.03558).

    q* is found by Adam on the features from which the posterior makes q, for each item apart, from the encoder's output on: ``steps`` steps of ``draws`` samples with a rate that
    falls to zero. The networks stay as they are, parameters that a posterior keeps for all items (a flow's) among them. ELBOs and log p(x) take ``samples`` samples.
    An encoder that is far off, as an untrained one is, wants more steps. ``progress`` is called with 1 for every step and pass done. Draws come from torch's global generator.

    Raises NotImplementedError for hierarchies and for encoders that are not of a network and a posterior, ValueError for less than two samples.
    """
    if samples < 2:
        raise ValueError(f"samples={samples}: at least two are needed, for their errors")
    training = vae.training
    vae.eval()
    try:
        start = _features(vae, batch)
        best = optimised_features(vae, batch, start, steps=steps, learning_rate=learning_rate, draws=draws, progress=progress)
        first = _log_weights(vae, batch, start, samples, progress)
        second = _log_weights(vae, batch, best, samples, progress)
    finally:
        vae.train(training)
    value = second.logsumexp(0) - math.log(samples)
    error = (second - value).exp().std(0) / math.sqrt(samples)
    return Gaps(
        log_prob=value,
        elbo=first.mean(0),
        optimal_elbo=second.mean(0),
        elbo_error=first.std(0) / math.sqrt(samples),
        optimal_error=second.std(0) / math.sqrt(samples),
        log_prob_error=error,
        samples=samples,
        steps=steps,
    )


def optimised_features(
    vae: VAE,
    batch: Batch,
    start: Tensor,
    *,
    steps: int = 500,
    learning_rate: float = 0.05,
    draws: int = 8,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Features (B, *posterior.parameter_shape) whose posterior has the highest ELBO for each item, found by Adam from ``start`` on.

    Its gradients go by way of the samples alone (Roeder et al. 2017, arXiv:1703.09194), without noise where q is the exact posterior; where q is known only at the points that
    were drawn they are the plain ones.
    """
    features = start.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([features], lr=learning_rate, betas=(0.9, 0.99))  # soon forgets how steep it was where an encoder is far off
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    with torch.enable_grad():
        for _ in range(steps):
            latent = _latent(vae, batch, features, draws)
            with contextlib.suppress(NotImplementedError):
                latent = Latent(latent.z, detached(latent.q), latent.p)
            loss = -vae.complete((latent,), batch).log_weight(batch).mean(0).sum()
            (features.grad,) = torch.autograd.grad(loss, features)
            optimiser.step()
            schedule.step()
            if progress is not None:
                progress(1)
    return features.detach()


def _features(vae: VAE, batch: Batch) -> Tensor:
    """The encoder's features of each item."""
    if not isinstance(vae.latents, FlatLatents) or not isinstance(vae.encoder, Encoder):
        found = f"{type(vae.latents).__name__} and {type(vae.encoder).__name__}"
        raise NotImplementedError(
            f"gaps are measured for one latent vector and an encoder of a network and a posterior, not for {found}: use latents.kind = 'flat'"
        )
    with torch.no_grad():
        return vae.encoder.features(batch.x, batch.observed, batch.context)


def _latent(vae: VAE, batch: Batch, features: Tensor, k: int) -> Latent:
    """k samples of the posterior that ``features`` make."""
    assert isinstance(vae.encoder, Encoder)
    q = vae.encoder.posterior(features)
    return Latent(q.rsample(torch.Size((k,))), q, vae.prior(batch.context))


@torch.no_grad()
def _log_weights(vae: VAE, batch: Batch, features: Tensor, samples: int, progress: Callable[[int], None] | None) -> Tensor:
    """log w of fresh samples, (samples, B), in float64."""
    step = max(1, ROWS // len(batch))
    parts = []
    for done in range(0, samples, step):
        latent = _latent(vae, batch, features, min(step, samples - done))
        parts.append(vae.complete((latent,), batch).log_weight(batch).double())
        if progress is not None:
            progress(1)
    return torch.cat(parts)
