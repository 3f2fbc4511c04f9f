"""The mixture-of-Gaussians prior."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from vaeworks.distributions.mixture import Mixture
from vaeworks.priors.base import Prior
from vaeworks.trace import given

__all__ = ["MixturePrior"]


class MixturePrior(Prior):
    """p(z) = sum_k w_k N(z; m_k, diag(s_k^2)), weights, means and scales learned (Dilokthanakul et al. 2016, arXiv:1611.02648).

    components: K. The mixture starts near N(0, I), its means apart from each other; log scales are bent into (-3, 3).
    A context moves weights, means and log scales by a linear map that starts at zero.

    A temperature scales a code's deviation from the mean of its own component, so that at 0 codes are these means: scaled about the mean of all, they would meet between the modes.
    """

    def __init__(self, latent_size: int, context_size: int = 0, *, components: Annotated[int, Field(gt=0)] = 10):
        super().__init__(latent_size, context_size)
        self.components = components
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(0.5 * torch.randn(components, latent_size))
        self.log_scales = nn.Parameter(torch.full((components, latent_size), 0.75).log() / 2)
        self.shift = nn.Linear(context_size, components * (1 + 2 * latent_size), bias=False) if context_size else None
        if self.shift is not None:
            nn.init.zeros_(self.shift.weight)

    def forward(self, context: Tensor | None = None) -> Mixture:
        logits, means, log_scales = self.logits, self.means, self.log_scales
        if self.shift is not None:
            shift = self.shift(given(context, self.context_size)).unflatten(-1, (self.components, -1))  # (B, K, 1 + 2 D)
            logits = logits + shift[..., 0]
            means, log_scales = (a + b for a, b in zip((means, log_scales), shift[..., 1:].chunk(2, -1), strict=True))
        scales = torch.exp(3 * torch.tanh(log_scales / 3))
        normal = Normal(means.reshape(-1, self.latent_size), scales.reshape(-1, self.latent_size), validate_args=False)
        return Mixture(logits, Independent(normal, 1, validate_args=False))

    @torch.no_grad()
    def fit(self, z: Tensor, *, seed: int = 0) -> None:
        """Weights, means and scales by expectation maximisation on codes (N, D), with the context left out."""
        from sklearn.mixture import GaussianMixture

        found = GaussianMixture(self.components, covariance_type="diag", random_state=seed, reg_covar=1e-4).fit(z.cpu().double().numpy())
        log_scales = torch.from_numpy(found.covariances_).log() / 2
        for parameter, value in (
            (self.logits, torch.from_numpy(found.weights_).log()),
            (self.means, torch.from_numpy(found.means_)),
            (self.log_scales, 3 * torch.atanh((log_scales / 3).clamp(-0.99, 0.99))),
        ):
            parameter.copy_(value)
