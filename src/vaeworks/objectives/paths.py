"""Gradients that reach the posterior by way of the sample alone, from which low-variance estimators are made."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaeworks.distributions import detached
from vaeworks.trace import Latent

__all__ = ["by_way_of_z", "log_q_of_z"]


def by_way_of_z(function: Tensor, latents: Sequence[Latent]) -> Tensor:
    """A scalar whose gradient is the part of ``function``'s (scalar) that flows through the samples z, and through nothing else.

    sum_l stop(a_l) . z_l with a_l = dF/dz_l - d(sum_{m > l} a_m . z_m)/dz_l: autograd's derivative by a level holds the way through the levels drawn after it, which the
    others bring themselves.
    """
    levels = [latent.z for latent in latents if latent.z.requires_grad]
    if not levels:
        return torch.zeros_like(function)
    total: Tensor | None = None
    for z, slope in zip(reversed(levels), reversed(torch.autograd.grad(function, levels, retain_graph=True)), strict=True):
        if total is not None:
            (through,) = torch.autograd.grad(total, z, retain_graph=True, allow_unused=True, materialize_grads=True)
            slope = slope - through  # noqa: PLW2901
        own = (slope.detach() * z).sum()
        total = own if total is None else total + own
    assert total is not None
    return total


def log_q_of_z(latents: Sequence[Latent]) -> Tensor:
    """log q(z | x) (K, B) as a function of z: its gradient by z is right, the density's own parameters have none. Not to be read as a number.

    A lower level's density moves with the levels above it as well: its gradient by them is taken at the sample held fixed.

    Raises ValueError where q is known only at the points that were drawn.
    """
    terms: list[Tensor] = []
    for level, latent in enumerate(latents):
        try:
            fixed = detached(latent.q)
        except NotImplementedError as error:
            raise ValueError(
                f"this gradient holds the posterior fixed, and {error}: use objective.gradient = 'plain', or posterior.kind = 'diagonal'"
            ) from error
        terms.append(fixed.log_prob(latent.z))
        if level > 0:
            terms.append(latent.q.log_prob(latent.z.detach()))
    return sum(terms[1:], start=terms[0])
