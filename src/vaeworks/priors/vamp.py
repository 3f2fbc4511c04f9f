"""The VampPrior: a mixture of posteriors."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from vaeworks.distributions.mixture import Mixture
from vaeworks.priors.base import Prior
from vaeworks.trace import given

__all__ = ["VampPrior"]


class VampPrior(Prior):
    """p(z) = 1/K sum_k q(z | u_k), the posteriors of K learned pseudo-inputs u_k (Tomczak & Welling 2018, arXiv:1705.07120).

    components: K. ``settle`` starts the pseudo-inputs from training items; they stay in the range of the data, [0, 1]. Each call encodes them once; with a context each is
    encoded with each item's, q(z | u_k, context): K encodings per item.

    The prior must meet the encoder, as ``VAE`` sees to. It refers to the encoder and does not own it: the state holds the pseudo-inputs alone.
    A temperature scales a code's deviation from the mean of its own component.
    """

    pseudo_inputs: nn.Parameter | None
    """(K, *event) once the encoder is known."""

    def __init__(self, latent_size: int, context_size: int = 0, *, components: Annotated[int, Field(gt=0)] = 500):
        super().__init__(latent_size, context_size)
        self.components = components
        self.met: tuple[nn.Module, ...] = ()  # a tuple, for torch would take a module for a part of this one
        self.register_parameter("pseudo_inputs", None)
        self.logits: Tensor
        self.register_buffer("logits", torch.zeros(components), persistent=False)

    def join(self, encoder: nn.Module) -> None:
        mean = getattr(encoder, "mean", None)
        if not isinstance(mean, Tensor) or mean.dim() == 0:
            have = f"a mean of shape {tuple(mean.shape)}" if isinstance(mean, Tensor) else "no mean"
            raise ValueError(
                f"a VampPrior encodes pseudo-inputs of an item's shape, and takes it from encoder.mean, but {type(encoder).__name__} has {have}:"
                " build it as Encoder(network, posterior, mean=torch.zeros(shape)), shape being that of one item"
            )
        self.met = (encoder,)
        start = mean.detach() + 0.1 * torch.randn(self.components, *mean.shape, dtype=mean.dtype, device=mean.device)
        self.pseudo_inputs = nn.Parameter(start.clamp(0.01, 0.99))

    @torch.no_grad()
    def settle(self, examples: Tensor) -> None:
        """Start the pseudo-inputs from items evenly through ``examples`` (N, *event); where they are fewer than K, repeated with noise, so that no two stay the same."""
        inputs = self._inputs()
        chosen = examples[torch.linspace(0, len(examples) - 1, self.components).round().long()].to(inputs)
        if len(examples) < self.components:
            noise = torch.randn(chosen.shape, dtype=chosen.dtype, generator=torch.Generator().manual_seed(0))
            chosen = chosen + 0.1 * noise.to(chosen.device)
        inputs.copy_(chosen.clamp(0, 1))

    def forward(self, context: Tensor | None = None) -> Mixture:
        inputs: Tensor = _Clamp.apply(self._inputs())  # type: ignore[no-untyped-call]
        (encoder,) = self.met
        if not self.context_size:
            return Mixture(self.logits, encoder(inputs))
        context = given(context, self.context_size)
        repeated = inputs.repeat(len(context), *(1,) * (inputs.dim() - 1))
        return Mixture(self.logits.expand(len(context), -1), encoder(repeated, None, context.repeat_interleave(self.components, 0)))

    def _inputs(self) -> nn.Parameter:
        if self.pseudo_inputs is None:
            raise ValueError("this VampPrior has met no encoder: VAE(encoder, decoder, prior) introduces them, or call prior.join(encoder)")
        return self.pseudo_inputs


class _Clamp(torch.autograd.Function):
    """clamp(u, 0, 1), whose gradient is dropped only where it would push a value further out: with torch's own, a pixel once outside would never come back."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return u.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (u,), gradient = ctx.saved_tensors, gradients[0]
        return gradient.masked_fill(((u <= 0) & (gradient > 0)) | ((u >= 1) & (gradient < 0)), 0)
