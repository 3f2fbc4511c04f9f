"""The model about which everything is known: p(z) = N(0, I), p(x | z) = N(x; W z + b, s^2 I)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from vaeworks.likelihoods import GaussianLikelihood
from vaeworks.model import VAE, Decoder, Encoder
from vaeworks.networks import MLP
from vaeworks.posteriors import DiagonalNormalPosterior
from vaeworks.priors import StandardNormalPrior

__all__ = ["LinearGaussian", "linear_vae"]


def linear_vae(x_size: int, latent_size: int, *, scale: float = 0.3, event: tuple[int, ...] | None = None) -> VAE:
    """A VAE of this system's parts whose networks are single linear layers; its items are of shape ``event`` where that is given, of ``x_size`` numbers in all."""
    event = (x_size,) if event is None else event
    posterior, likelihood = DiagonalNormalPosterior(latent_size), GaussianLikelihood(event, 0, scale=scale)
    encoder = Encoder(MLP(event, posterior.parameter_shape, hidden=()), posterior)
    decoder = Decoder(MLP((latent_size,), likelihood.parameter_shape, hidden=()), likelihood)
    return VAE(encoder, decoder, StandardNormalPrior(latent_size))


@dataclass(frozen=True)
class LinearGaussian:
    """Exact answers in closed form, for X observed and D latent dimensions.

    The columns of W are orthogonal, so that the exact posterior is diagonal.
    """

    weight: Tensor
    """W, (X, D)."""
    bias: Tensor
    """b, (X,)."""
    scale: float
    """s, in units of x."""

    @classmethod
    def random(
        cls, x_size: int, latent_size: int, *, scale: float = 0.5, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> LinearGaussian:
        """Orthogonal columns of lengths from 0.5 to 1.5."""
        columns, _ = torch.linalg.qr(torch.randn(x_size, latent_size, dtype=torch.float64))
        weight = columns * torch.linspace(0.5, 1.5, latent_size, dtype=torch.float64)
        return cls(weight.to(device, dtype), torch.randn(x_size, dtype=torch.float64).to(device, dtype), scale)

    def sample(self, n: int) -> Tensor:
        """n items, (n, X)."""
        z = torch.randn(n, self.weight.shape[1]).to(self.weight)
        return z @ self.weight.T + self.bias + self.scale * torch.randn(n, self.weight.shape[0]).to(self.weight)

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """log N(x; b, W W' + s^2 I) in nats, (B,), in float64 on the CPU; where ``observed`` (X,) is given, of those coordinates."""
        weight, bias, x = self.weight.cpu().double(), self.bias.cpu().double(), x.cpu().double()
        if observed is not None:
            weight, bias, x = weight[observed], bias[observed], x[:, observed]
        covariance = weight @ weight.T + self.scale**2 * torch.eye(len(bias), dtype=torch.float64)
        log_p: Tensor = MultivariateNormal(bias, covariance).log_prob(x)
        return log_p

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, D) and scale (D,) of p(z | x), whose precision is I + W'W / s^2."""
        variance = 1 / (1 + self.weight.square().sum(0) / self.scale**2)
        return (x - self.bias) @ self.weight / self.scale**2 * variance, variance.sqrt()

    def log_likelihood(self, x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """E_q[log p(x | z)] in nats, (B,), for q = N(mean (B, D), diag(scale^2))."""
        error = (x - mean @ self.weight.T - self.bias).square().sum(-1) + (scale.square() * self.weight.square().sum(0)).sum(-1)
        return -0.5 * (error / self.scale**2 + x.shape[1] * math.log(2 * math.pi * self.scale**2))

    @staticmethod
    def kl(mean: Tensor, scale: Tensor) -> Tensor:
        """KL(N(mean, diag(scale^2)) || N(0, I)) in nats for each dimension, (B, D)."""
        return 0.5 * (mean.square() + scale.square() - 1) - scale.log()

    def elbo(self, x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """The evidence lower bound in nats, (B,), for q = N(mean, diag(scale^2))."""
        return self.log_likelihood(x, mean, scale) - self.kl(mean, scale).sum(-1)

    def vae(self, *, inflate: float = 1.0, shift: float = 0.0, event: tuple[int, ...] | None = None) -> VAE:
        """This model as a VAE, its encoder the exact posterior with the scale times ``inflate`` and the mean moved by ``shift`` posterior scales.

        ``event``: the shape of its items, where they are no vectors.
        """
        vae = linear_vae(*self.weight.shape, scale=self.scale, event=event).to(self.weight)
        _, scale = self.posterior(self.bias[None])
        to_mean = self.weight.T * (scale.square() / self.scale**2)[:, None]
        log_scale = 7 * torch.atanh((scale * inflate).log() / 7)  # undoes the bend of DiagonalNormalPosterior
        _fill(vae.encoder, torch.cat([to_mean, torch.zeros_like(to_mean)]), torch.cat([shift * scale - to_mean @ self.bias, log_scale]))
        _fill(vae.decoder, self.weight, self.bias)
        return vae


def _fill(half: nn.Module, weight: Tensor, bias: Tensor) -> None:
    """Sets the one linear layer of an encoder or decoder."""
    (layer,) = (module for module in half.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
