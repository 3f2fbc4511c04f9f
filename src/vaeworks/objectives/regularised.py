"""The regularised autoencoder."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from vaeworks.objectives.base import Loss, Objective, reconstruction_terms
from vaeworks.objectives.opponents import codes
from vaeworks.objectives.schedules import Schedule
from vaeworks.posteriors import Known
from vaeworks.trace import Batch, Trace

__all__ = ["Regularised", "squared_jacobian"]


def squared_jacobian(trace: Trace) -> Tensor:
    """An unbiased estimate of the squared Frobenius norm of d E[x | z] / dz, (K, B): |J' v|^2 with v ~ N(0, I) (Hutchinson 1990)."""
    mean = trace.x.mean
    levels = [latent.z for latent in trace.latents]
    slopes = torch.autograd.grad((mean * torch.randn_like(mean)).sum(), levels, create_graph=True, allow_unused=True, materialize_grads=True)
    return torch.stack([slope.flatten(2).square().sum(-1) for slope in slopes]).sum(0)


class Regularised(Objective):
    """-E_q[log p(x | z)] + code |z|^2 / 2 + gradient |d E[x | z] / dz|^2: a deterministic autoencoder with smooth codes (Ghosh et al. 2020, arXiv:1903.12436).

    code: keeps codes near the origin. gradient: weight of the decoder's squared Jacobian (RAE-GP), which costs two more passes of the decoder; 0 leaves it out. The schedule
    multiplies both. The paper's L2 penalty of the decoder is ``training.weight_decay``.

    Needs no density. ``terms["code_penalty"]`` and ``terms["gradient_penalty"]`` are unweighted and no densities; the latter is known only while training.
    """

    needs = Known.NOTHING

    def __init__(
        self,
        *,
        code: Annotated[float, Field(ge=0)] = 0.1,
        gradient: Annotated[float, Field(ge=0)] = 0.0,
        samples: Annotated[int, Field(gt=0)] = 1,
        schedule: Schedule | None = None,
    ):
        super().__init__(samples, schedule)
        self.code, self.gradient = code, gradient
        self.compilable = gradient == 0

    def forward(self, trace: Trace, batch: Batch, weight: Tensor | float = 1.0) -> Loss:
        log_likelihood, energy = trace.log_likelihood(batch), codes(trace).square().sum(-1) / 2
        terms = reconstruction_terms(trace, log_likelihood) | {"code_penalty": energy.detach()}
        penalty = self.code * energy.mean()
        if self.gradient and torch.is_grad_enabled():
            steepness = squared_jacobian(trace)
            penalty = penalty + self.gradient * steepness.mean()
            terms["gradient_penalty"] = steepness.detach()
        return Loss(weight * penalty - log_likelihood.mean(), terms)
