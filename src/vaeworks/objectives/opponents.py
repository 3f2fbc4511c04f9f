"""What objectives with a discriminator share: codes, samples of the prior, and a network that is judged by without being taught."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from vaeworks.networks import MLP
from vaeworks.trace import Latent, Trace

__all__ = ["beside_the_prior", "codes", "contest", "discriminator", "draw", "held", "met"]


def codes(trace: Trace) -> Tensor:
    """The codes of all levels side by side, (K, B, D)."""
    return torch.cat([latent.z.flatten(2) for latent in trace.latents], -1)


def draw(latent: Latent) -> Tensor:
    """A code from p(z_l | z_<l) for each from q, (K, B, *latent); with a gradient where p has one to give."""
    p, shape = latent.p, latent.z.shape[:2]
    sample = p.rsample if p.has_rsample else p.sample
    z: Tensor = sample(shape[: 2 - len(p.batch_shape)])
    return z


def beside_the_prior(trace: Trace) -> list[tuple[Tensor, Tensor]]:
    """For each level the codes (z_<l, z_l) with z_l from q, and with z_l from p, both (K, B, D_l): where these agree in distribution at every level, q(z) = p(z)."""
    pairs, above = [], list[Tensor]()
    for latent in trace.latents:
        prior = draw(latent).flatten(2)
        z = latent.z.flatten(2).to(prior.dtype)
        pairs.append((torch.cat([*above, z], -1), torch.cat([*above, prior], -1)))
        above.append(z)
    return pairs


def discriminator(size: int, hidden: tuple[int, ...]) -> MLP:
    """(N, size) -> (N, 1): log odds that an item is of the first kind."""
    return MLP((size,), (1,), hidden=hidden, activation="leaky-relu")


def held(module: nn.Module, x: Tensor) -> Tensor:
    """module(x) with the module's parameters out of reach of the gradient; x (K, B, *event) to (K, B, *out)."""
    parameters = {name: p.detach() for name, p in module.named_parameters()}
    out = functional_call(module, parameters, (x.flatten(0, 1).to(next(iter(parameters.values())).dtype),))
    judged: Tensor = out.unflatten(0, x.shape[:2])
    return judged


def contest(module: nn.Module, first: Tensor, second: Tensor) -> Tensor:
    """What the discriminator minimises, in nats: the mean of -log of the probability it gives to the truth, over (K, B, *event) of either kind; log 2 is a coin's."""
    dtype = next(module.parameters()).dtype
    right = [module(x.detach().flatten(0, 1).to(dtype)) for x in (first, second)]
    return (F.softplus(-right[0]).mean() + F.softplus(right[1]).mean()) / 2


def met(module: nn.Module | None, objective: nn.Module) -> nn.Module:
    """What ``settle`` makes; ValueError before it has."""
    if module is None:
        raise ValueError(f"{type(objective).__name__} does not know the shape of its codes yet: call settle(trace, count) first, as training does")
    return module
