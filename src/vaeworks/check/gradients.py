"""Reparameterised gradients, against finite differences of the loss under the same noise."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from vaeworks.check.result import CheckResult, Setting, compare
from vaeworks.likelihoods import GaussianLikelihood
from vaeworks.model import VAE, Decoder, Encoder
from vaeworks.networks import MLP
from vaeworks.objectives import ELBO, Autoencoder, Objective
from vaeworks.posteriors import POSTERIORS, Posterior
from vaeworks.priors import StandardNormalPrior
from vaeworks.trace import Batch

__all__ = ["check_gradients", "directional_error"]

X, LATENT, ITEMS, DIRECTIONS = 5, 3, 6, 8


def check_gradients(setting: Setting) -> Iterator[CheckResult]:
    """One result per posterior: a small VAE's gradient along random directions of parameter space."""
    batch = Batch(torch.randn(ITEMS, X).to(setting.device, setting.dtype))
    for name, family in POSTERIORS.items():
        posterior = family(LATENT)
        vae = _small_vae(posterior).to(setting.device, setting.dtype)
        objective = ELBO(samples=2, analytic=False) if _has_density(posterior) else Autoencoder()
        yield compare(
            f"gradients: {name}",
            "gradient of the loss through the sampled z, against central differences under the same noise: greatest relative error",
            directional_error(vae, objective, batch, step=setting.rounding(1e-5, 1e-2)),
            0.0,
            setting.rounding(1e-6, 2e-2),
        )


def _has_density(posterior: Posterior) -> bool:
    """Whether q(z | x) has a density; a point mass has none."""
    q = posterior(torch.zeros(1, *posterior.parameter_shape))
    try:
        q.log_prob(q.rsample())
    except NotImplementedError:
        return False
    return True


def _small_vae(posterior: Posterior) -> VAE:
    """tanh networks of one hidden layer."""
    likelihood = GaussianLikelihood((X,), 0, scale=1.0)
    encoder = Encoder(MLP((X,), posterior.parameter_shape, hidden=(8,), activation="tanh"), posterior)
    decoder = Decoder(MLP((LATENT,), likelihood.parameter_shape, hidden=(8,), activation="tanh"), likelihood)
    return VAE(encoder, decoder, StandardNormalPrior(LATENT))


def directional_error(vae: VAE, objective: Objective, batch: Batch, *, step: float) -> float:
    """The greatest |derivative by autograd - by central difference| over random directions of unit length, relative to the length of the gradient."""
    parameters = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    start = parameters_to_vector(parameters).detach()
    directions, seed = torch.randn(DIRECTIONS, len(start)).to(start), int(torch.randint(2**31, ()))

    def loss(at: Tensor) -> Tensor:
        vector_to_parameters(at, parameters)
        torch.manual_seed(seed)
        return objective(vae(batch, objective.samples), batch).value

    gradient = parameters_to_vector(torch.autograd.grad(loss(start), parameters, materialize_grads=True))
    length = float(gradient.norm())
    worst = 0.0 if length > 0 else math.inf
    for unit in directions / directions.norm(dim=1, keepdim=True):  # gradients stay on: some losses are made of them
        difference = (loss(start + step * unit).detach() - loss(start - step * unit).detach()) / (2 * step)
        worst = max(worst, abs(float(difference - gradient @ unit)) / length)
    vector_to_parameters(start, parameters)
    return worst
