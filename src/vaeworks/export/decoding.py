"""The decoder as a graph: codes (N, D) to items, with the parameters of p(x | z)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Laplace, Normal

from vaeworks.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    DiscretisedLogistic,
    DiscretisedLogisticMixture,
    Factorised,
    GridCategorical,
    Observable,
    Sound,
)
from vaeworks.export.graphs import Graph
from vaeworks.model import VAE

__all__ = ["decoder_graph", "drawn_codes", "parameters_of"]

MEANINGS = {
    "z": "codes, such as the encoder's or the sampler's",
    "context": "what generation is conditioned on",
    "x": "the item that stands for p(x | z)",
    "logits": "logits of p(x | z)",
    "loc": "locations of p(x | z), in units of x",
    "scale": "scales of p(x | z), in units of x",
    "log_scale": "log scales of p(x | z)",
    "component_logits": "logits of the components of each pixel's mixture",
    "length_logits": "logits of the sound's length in steps",
}


def parameters_of(p: Observable) -> dict[str, Tensor]:
    """What p(x | z) is made of beside its mean, by name."""
    if isinstance(p, DiscretisedLogisticMixture):
        return {"component_logits": p.logits, "loc": p.loc, "log_scale": p.log_scale}
    if isinstance(p, Sound):
        base = p.base
        assert isinstance(base, Normal | Laplace)
        return {"scale": base.scale, "length_logits": p.logits}
    base = p.base if isinstance(p, Factorised) else None
    if isinstance(base, Bernoulli | ContinuousBernoulli | GridCategorical):
        return {"logits": base.logits}
    if isinstance(base, DiscretisedLogistic):
        return {"loc": base.loc, "log_scale": base.log_scale.expand_as(base.loc)}
    if isinstance(base, Normal | Laplace):
        return {"scale": base.scale}
    return {}


class _Decode(nn.Module):
    """z (N, D) [, context (N, C)] -> the item that stands for p(x | z), and its parameters."""

    def __init__(self, vae: VAE):
        super().__init__()
        self.vae = vae

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
        p = self.vae.decode(z, context)
        return (p.estimate(), *parameters_of(p).values())


def decoder_graph(vae: VAE) -> Graph:
    """The decoder of ``vae`` that writes an item at once: z [, context] -> x and the parameters of p(x | z)."""
    module, context_size = _Decode(vae).eval(), int(getattr(vae.decoder, "context_size", 0))

    def examples(n: int, seed: int) -> tuple[Tensor, ...]:
        z, context = drawn_codes(vae, n, seed, context_size)
        return (z,) if context is None else (z, context)

    with torch.no_grad():
        names = tuple(parameters_of(vae.decode(*examples(1, 0))))
    return Graph("decoder", module, ("z", "context") if context_size else ("z",), ("x", *names), examples, MEANINGS)


@torch.no_grad()
def drawn_codes(vae: VAE, n: int, seed: int, context_size: int) -> tuple[Tensor, Tensor | None]:
    """n codes (n, D) from the prior, and the contexts (n, C) they were drawn for: classes in turn, each a one-hot vector."""
    device = next(vae.parameters()).device
    context = torch.eye(context_size, device=device)[torch.arange(n) % context_size] if context_size else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return vae.latents.generate(vae.prior, n, context), context
