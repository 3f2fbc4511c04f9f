"""log p(x) by annealed importance sampling, and the sandwich that shows how far it can be off."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeworks.latents import FlatLatents
from vaeworks.model import VAE
from vaeworks.objectives.iwae import log_mean_exp
from vaeworks.trace import Batch

__all__ = ["Annealed", "Sandwich", "annealed_log_prob", "bidirectional", "temperatures"]

ACCEPTED = 0.65
"""The share of proposals that step sizes aim at (Neal 2010, arXiv:1206.1901)."""


@dataclass(frozen=True)
class Annealed:
    """Estimates for N items, in nats."""

    value: Tensor
    """(N,) log of the mean weight over chains: in expectation a lower bound on log p(x)."""
    standard_error: Tensor
    """(N,) Monte Carlo standard error of ``value`` by the delta method; infinite for one chain."""
    acceptance: float
    """Share of Hamiltonian proposals that were accepted."""


@dataclass(frozen=True)
class Sandwich:
    """Bounds on log p(x) of N items that the model itself drew, in nats; the truth lies between the means."""

    lower: Tensor
    """(N,) stochastic lower bound: forward chains, from the prior to the posterior."""
    upper: Tensor
    """(N,) stochastic upper bound: backward chains, from the exact posterior sample that made x."""

    @property
    def gap(self) -> float:
        """Mean distance of the bounds: no estimate made with the same settings is off by more, on average and on data like the model's own."""
        return float((self.upper - self.lower).mean())


def temperatures(count: int) -> Tensor:
    """Inverse temperatures 0 = b_0 < ... < b_count = 1 along a sigmoid, dense at both ends (Wu et al. 2017, arXiv:1611.04273)."""
    s = torch.sigmoid(torch.linspace(-4, 4, count + 1, dtype=torch.float64))
    return (s - s[0]) / (s[-1] - s[0])


def annealed_log_prob(
    vae: VAE,
    batch: Batch,
    *,
    chains: int = 16,
    steps: int = 1000,
    leapfrogs: int = 10,
    progress: Callable[[int], None] | None = None,
) -> Annealed:
    """log p(x) of every item by ``chains`` runs from the prior to the posterior over ``steps`` temperatures (Neal 2001; Wu et al. 2017, arXiv:1611.04273).

    Each temperature makes one Hamiltonian transition of ``leapfrogs`` steps. Step sizes are tuned in a pilot run and then fixed, so the estimate is a valid one. It needs no q(z | x),
    so it stays honest where importance sampling from q misses mass. Raises NotImplementedError for hierarchies and for priors that are no density on R^D.
    """
    target = _Target(vae, batch)
    sizes = _tuned(target, min(chains, 4), steps, leapfrogs)
    log_w, accepted = _anneal(target, target.prior_sample(chains), temperatures(steps), sizes, leapfrogs, progress)
    return Annealed(log_mean_exp(log_w), _standard_error(log_w), accepted)


def bidirectional(
    vae: VAE,
    n: int = 100,
    *,
    chains: int = 16,
    steps: int = 1000,
    leapfrogs: int = 10,
    context: Tensor | None = None,
    progress: Callable[[int], None] | None = None,
) -> Sandwich:
    """Bounds from both sides on log p(x) of ``n`` items drawn from the model, for which one exact posterior sample is known (Grosse et al. 2016, arXiv:1606.02275).

    ``progress`` is called 2 ``steps`` times.
    """
    with torch.no_grad():
        z = vae.latents.generate(vae.prior, n, context)
        x = vae.decode(z, context).sample()
    batch = Batch(x, context=context)
    target = _Target(vae, batch)
    sizes = _tuned(target, min(chains, 4), steps, leapfrogs)
    betas = temperatures(steps)
    forward, _ = _anneal(target, target.prior_sample(chains), betas, sizes, leapfrogs, progress)
    backward, _ = _anneal(target, z.expand(chains, *z.shape), betas.flip(0), sizes.flip(0), leapfrogs, progress)
    return Sandwich(log_mean_exp(forward), -log_mean_exp(backward))


class _Target:
    """log p(z) and log p(x | z) of a batch at z (S, B, D), with the gradient of log p(z) + beta log p(x | z)."""

    def __init__(self, vae: VAE, batch: Batch):
        if not isinstance(vae.latents, FlatLatents):
            raise NotImplementedError(f"annealed importance sampling is written for one latent vector, not for {type(vae.latents).__name__}")
        self.vae, self.batch = vae, batch
        if vae.prior.space != "flat":
            raise NotImplementedError(f"{type(vae.prior).__name__} does not live on all of R^D, where Hamiltonian chains move")
        with torch.no_grad():
            self.prior = vae.prior(batch.context)

    def prior_sample(self, chains: int) -> Tensor:
        """(chains, B, D)."""
        with torch.no_grad():
            size = (chains,) if self.prior.batch_shape else (chains, len(self.batch))
            z: Tensor = self.prior.sample(size)
        return z

    def log_likelihood(self, z: Tensor) -> Tensor:
        """log p(x | z), (S, B)."""
        p = self.vae.decode(z, self.batch.context)
        if self.batch.observed is not None:
            p = p.marginal(self.batch.observed)
        value: Tensor = p.log_prob(self.batch.x)
        return value

    def __call__(self, z: Tensor, beta: float) -> tuple[Tensor, Tensor, Tensor]:
        """log p(z) + beta log p(x | z), log p(x | z), each (S, B), and the gradient of the first, (S, B, D)."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            likelihood = self.log_likelihood(z)
            joint = self.prior.log_prob(z) + beta * likelihood
            (gradient,) = torch.autograd.grad(joint.sum(), z)
        return joint.detach(), likelihood.detach(), gradient


def _transition(target: _Target, z: Tensor, beta: float, size: Tensor, leapfrogs: int) -> tuple[Tensor, Tensor, Tensor]:
    """One Hamiltonian transition that leaves p(z) p(x | z)^beta as it is: z, log p(x | z) there, and which chains moved. ``size`` (B,) are step sizes."""
    size = size[:, None]
    momentum = torch.randn_like(z)
    joint, likelihood, gradient = target(z, beta)
    start = joint - momentum.square().sum(-1) / 2
    new, momentum = z, momentum + size / 2 * gradient
    for i in range(leapfrogs):
        new = new + size * momentum
        joint, moved_likelihood, gradient = target(new, beta)
        momentum = momentum + (size if i < leapfrogs - 1 else size / 2) * gradient
    end = joint - momentum.square().sum(-1) / 2
    accepted = torch.log(torch.rand_like(end)) < end - start  # False where the end is NaN
    return torch.where(accepted[..., None], new, z), torch.where(accepted, moved_likelihood, likelihood), accepted


@torch.no_grad()
def _anneal(
    target: _Target, z: Tensor, betas: Tensor, sizes: Tensor, leapfrogs: int, progress: Callable[[int], None] | None = None
) -> tuple[Tensor, float]:
    """log weights (S, B) of chains along ``betas``, rising from the prior or falling from the posterior; ``sizes`` (T, B) belong to b_1 .. b_T, in that order of time."""
    rising = bool(betas[-1] > betas[0])
    likelihood = target.log_likelihood(z)
    log_w, moved = torch.zeros_like(likelihood, dtype=torch.float64), 0.0
    for t in range(len(betas) - 1):
        change, beta = float(betas[t + 1] - betas[t]), float(betas[t + 1] if rising else betas[t])
        if rising:  # weigh, then move at the new temperature; falling is the same backwards
            log_w += change * likelihood
        z, likelihood, accepted = _transition(target, z, beta, sizes[t], leapfrogs)
        if not rising:
            log_w += change * likelihood
        moved += float(accepted.double().mean())
        if progress is not None:
            progress(1)
    return log_w, moved / (len(betas) - 1)


@torch.no_grad()
def _tuned(target: _Target, chains: int, steps: int, leapfrogs: int) -> Tensor:
    """Step sizes (steps, B), one for each temperature and item, from a pilot run that follows the share of accepted proposals."""
    z = target.prior_sample(chains)
    size = torch.full((z.shape[1],), 0.1, dtype=z.dtype, device=z.device)
    found = []
    for beta in temperatures(steps)[1:]:
        z, _, accepted = _transition(target, z, float(beta), size, leapfrogs)
        share = accepted.to(z.dtype).mean(0)
        size = (size * torch.exp(0.1 * (share - ACCEPTED))).clamp(1e-4, 2.0)
        found.append(size)
    return torch.stack(found)


def _standard_error(log_w: Tensor) -> Tensor:
    count = len(log_w)
    if count == 1:
        return torch.full_like(log_w[0], math.inf)
    weights = log_w.softmax(0) * count
    return weights.std(0) / math.sqrt(count)
