"""The variational autoencoder: an encoder, a decoder and a prior, each a module whose forward returns a distribution."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from vaeworks.distributions import Observable
from vaeworks.distributions.tokens import PAD, through_end
from vaeworks.latents import FlatLatents, Latents
from vaeworks.likelihoods import Likelihood
from vaeworks.posteriors import Posterior
from vaeworks.priors import Prior
from vaeworks.trace import Batch, Latent, Trace, given

__all__ = ["VAE", "Decoder", "Encoder"]


class Encoder(nn.Module):
    """x (B, *event) -> q(z | x), or with a context (B, C) -> q(z | x, context). The network sees x less the mean item of the data, and zero where a value is missing.

    Without centring, what all items share drives every weight of the first layer the same way: on MNIST that costs about six nats after five epochs. A context moves what is
    subtracted, by a linear map that starts at zero: any network can be conditioned so, and a first layer of weights could not tell it from an input of its own.
    ``network`` is any module from (B, *event) to (B, *posterior.parameter_shape).

    Tokens x (B, L') are shown to a network that reads tokens as they are, with what is observed of them through their END, and a context moves the embedding of each. Any other
    network sees them one-hot, (B, L, V), less ``mean`` (L, V), and zero beyond the end.

    ``view``, where x is no input for a network as it stands (a row of a table), makes it one: (x, observed) -> an input of the shape of ``mean``, and where that was observed.
    """

    def __init__(self, network: nn.Module, posterior: Posterior, *, mean: Tensor | float = 0.0, context_size: int = 0, view: nn.Module | None = None):
        super().__init__()
        self.network, self.posterior, self.view = network, posterior, view
        self.reads_tokens: bool = getattr(network, "reads_tokens", False)
        self.mean: Tensor
        self.register_buffer("mean", torch.as_tensor(0.0 if self.reads_tokens else mean, dtype=torch.float32).clone())
        shifted = int(cast(Any, network).token_size) if self.reads_tokens else self.mean.numel()
        self.shift = nn.Linear(context_size, shifted, bias=False) if context_size else None
        if self.shift is not None:
            nn.init.zeros_(self.shift.weight)

    def centre(self, mean: Tensor) -> None:
        """Take ``mean`` (*event), the mean item, for what the network's input is measured from; of tokens the mean of their one-hot vectors, (L, V)."""
        if not self.reads_tokens:
            self.mean = mean.to(self.mean).clone()

    def features(self, x: Tensor, observed: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """What the network makes of the items, before the posterior reads it: (B, *posterior.parameter_shape)."""
        shift = None if self.shift is None else self.shift(given(context, self.shift.in_features))
        if self.reads_tokens:
            read: Tensor = self.network(x, through_end(x, observed), *(() if shift is None else (shift,)))
            return read
        x = self.centred(x, observed)
        if shift is not None:
            x = x + shift.view(-1, *self.mean.shape)
        out: Tensor = self.network(x)
        return out

    def centred(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """Items as a network of real numbers sees them, less their mean, and zero where a value is missing: (B, *mean.shape)."""
        if self.view is not None:
            x, observed = self.view(x, observed)
        elif not x.is_floating_point():
            x, observed = self._one_hot(x, through_end(x, observed))
        x = x - self.mean
        return x if observed is None else x.masked_fill(~observed, 0)

    def _one_hot(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, L') and what is observed of them as (B, L, V) and (B, L, 1)."""
        length, vocabulary = self.mean.shape
        x, observed = (F.pad(t, (0, length - t.shape[1])) for t in (x.masked_fill(~observed, PAD), observed))
        return F.one_hot(x, vocabulary).to(self.mean), observed[..., None]

    def forward(self, x: Tensor, observed: Tensor | None = None, context: Tensor | None = None) -> Distribution:
        return self.posterior(self.features(x, observed, context))


class Decoder(nn.Module):
    """z (..., D) -> p(x | z), batch shape (...); with a context (B, C), p(x | z, context).

    ``network`` is any module from (N, D + C) to (N, *likelihood.parameter_shape). Where it has a ``stray``, training turns that share of the codes towards noise,
    z cos a + u sin a with u ~ N(0, I) and a uniform in [0, pi / 2], so that the decoder learns what to write at codes that are no item's: the more a code tells, the less of the
    prior's volume do the posteriors of items cover, and elsewhere a decoder that trusts its code writes what is no item.
    """

    def __init__(self, network: nn.Module, likelihood: Likelihood, *, context_size: int = 0):
        super().__init__()
        self.network, self.likelihood, self.context_size = network, likelihood, context_size
        self.stray: float = getattr(network, "stray", 0.0)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Observable:
        if self.training and self.stray and z.shape[-1]:
            angle = torch.rand_like(z[..., :1]) * (math.pi / 2) * (torch.rand_like(z[..., :1]) < self.stray)
            z = angle.cos() * z + angle.sin() * torch.randn_like(z)
        if self.context_size:
            z = torch.cat([z, given(context, self.context_size).expand(*z.shape[:-1], -1)], -1)
        features = self.network(z.flatten(0, -2))
        return self.likelihood(features.unflatten(0, z.shape[:-1]))


class VAE(nn.Module):
    """p(x, z) = p(x | z) p(z) with the inference model q(z | x).

    >>> import torch
    >>> from vaeworks import VAE, Batch, Decoder, Encoder, objectives
    >>> from vaeworks.likelihoods import BernoulliLikelihood
    >>> from vaeworks.networks import MLP
    >>> from vaeworks.posteriors import DiagonalNormalPosterior
    >>> from vaeworks.priors import StandardNormalPrior
    >>> posterior, likelihood = DiagonalNormalPosterior(2), BernoulliLikelihood((1, 8, 8), levels=2)
    >>> encoder = Encoder(MLP((1, 8, 8), posterior.parameter_shape), posterior)
    >>> decoder = Decoder(MLP((2,), likelihood.parameter_shape), likelihood)
    >>> vae = VAE(encoder, decoder, StandardNormalPrior(2))
    >>> batch = Batch(torch.ones(5, 1, 8, 8))
    >>> trace = vae(batch, k=3)
    >>> trace.log_weight(batch).shape
    torch.Size([3, 5])
    >>> objectives.ELBO()(trace, batch).value.backward()
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, prior: Prior, *, latents: Latents | None = None):
        super().__init__()
        self.encoder, self.decoder, self.prior = encoder, decoder, prior
        self.latents = FlatLatents(prior.latent_size) if latents is None else latents
        self.prior.join(encoder)

    def settle(self, mean: Tensor, examples: Tensor) -> None:
        """Let what depends on the data look at it, before training: ``mean`` (*event), the mean item, and ``examples`` (N, *event), some items."""
        if isinstance(self.encoder, Encoder):
            self.encoder.centre(mean)
        self.prior.settle(examples)

    def forward(self, batch: Batch, k: int = 1) -> Trace:
        """k samples of z per item, and p(x | z) at each."""
        return self.complete(self.latents.infer(self, batch, k), batch)

    def complete(self, latents: tuple[Latent, ...], batch: Batch) -> Trace:
        """The trace of codes already drawn: p(x | z) of what ``batch`` observes."""
        p = self.decode(self.latents.code(latents), batch.context)
        return Trace(x=p if batch.observed is None else p.marginal(batch.observed), latents=latents)

    def __call__(self, batch: Batch, k: int = 1) -> Trace:
        trace: Trace = super().__call__(batch, k)
        return trace

    def generate(self, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Observable:
        """p(x | z), batch shape (n,), at n codes drawn from the prior."""
        return self.decode(self.latents.generate(self.prior, n, context, temperature), context)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Observable:
        """p(x | z) at codes z (..., D); a decoder that knows of no context need not name it."""
        p: Observable = self.decoder(z) if context is None else self.decoder(z, context)
        return p
