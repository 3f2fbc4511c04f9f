"""A linear VAE, trained, against the closed form of probabilistic PCA.

Tipping & Bishop 1999 give the maximum of log p(x) over W, b and s. A linear VAE with a diagonal posterior reaches it, with an ELBO that is
tight there, because W may turn until the exact posterior is diagonal (Lucas et al. 2019, arXiv:1911.02469).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeworks.check.linear_gaussian import LinearGaussian, linear_vae
from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.model import VAE
from vaeworks.objectives import ELBO
from vaeworks.trace import Batch

__all__ = ["PrincipalComponents", "check_probabilistic_pca", "largest_principal_angle", "train"]

ITEMS, X, LATENT, STEPS = 400, 6, 2, 1200


@dataclass(frozen=True)
class PrincipalComponents:
    """Probabilistic PCA's maximum-likelihood solution (Tipping & Bishop 1999, equations 7 and 8)."""

    subspace: Tensor
    """(X, D), orthonormal: the span of W."""
    scale: float
    """s: root of the mean of the discarded eigenvalues."""
    log_likelihood: float
    """Nats per item, the greatest that any W, b and s reach."""

    @classmethod
    def fit(cls, x: Tensor, latent_size: int) -> PrincipalComponents:
        """The solution for items x (N, X), in float64 on the CPU."""
        x = x.cpu().double()
        values, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
        kept, variance = values[-latent_size:], values[:-latent_size].mean()
        size = x.shape[1]
        log_determinant = kept.log().sum() + (size - latent_size) * variance.log()
        return cls(vectors[:, -latent_size:], float(variance.sqrt()), float(-0.5 * (size * math.log(2 * math.pi) + log_determinant + size)))


def largest_principal_angle(weight: Tensor, subspace: Tensor) -> float:
    """Degrees between the column spaces of two (X, D) matrices, the second orthonormal."""
    basis, _ = torch.linalg.qr(weight.cpu().double())
    outside = basis - subspace @ (subspace.T @ basis)
    return math.degrees(math.asin(min(1.0, float(torch.linalg.matrix_norm(outside, 2)))))


def check_probabilistic_pca(setting: Setting) -> Iterator[CheckResult]:
    """Trains with the ELBO objective and sampled z, and compares bound, subspace and noise with the closed form."""
    x = LinearGaussian.random(X, LATENT, dtype=setting.dtype, device=setting.device).sample(ITEMS)
    truth = PrincipalComponents.fit(x, LATENT)
    vae = linear_vae(X, LATENT, scale=1.0).to(x)
    train(vae, x)
    with torch.no_grad():
        bound = float(vae(Batch(x), 200).log_weight(Batch(x)).mean())  # its variance vanishes where the bound is tight
        weight = next(p for p in vae.decoder.parameters() if p.shape == (X, LATENT))
        scale = float(vae.decoder(torch.zeros(1, LATENT).to(x)).coordinates().stddev.mean())
        angle = largest_principal_angle(weight, truth.subspace)
    about = f"a linear VAE trained for {STEPS} steps"
    yield compare(
        "probabilistic PCA: bound", f"ELBO of {about}, in nats, against the greatest log p(x) in closed form", bound, truth.log_likelihood, 1e-3
    )
    yield compare("probabilistic PCA: subspace", f"degrees between the principal subspace and the decoder's columns in {about}", angle, 0.0, 1.0)
    yield compare("probabilistic PCA: noise", f"scale learned by {about}, against the closed form", scale, truth.scale, 0.01 * truth.scale)


def train(vae: VAE, x: Tensor, steps: int = STEPS) -> None:
    """Adam on the whole data set with fresh noise at every step; a learning rate that falls to zero averages the noise out."""
    objective, batch = ELBO(samples=4, analytic=False), Batch(x)
    optimizer = torch.optim.Adam(vae.parameters(), lr=0.05, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        objective(vae(batch, objective.samples), batch).value.backward()
        optimizer.step()
        schedule.step()
