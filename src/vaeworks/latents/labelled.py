"""A class that is known of some items, beside a latent vector."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, OneHotCategorical, register_kl
from torch.nn import functional as F

from vaeworks.latents.base import Latents, Parts
from vaeworks.latents.two_level import centred
from vaeworks.networks import MLP
from vaeworks.priors import Prior
from vaeworks.trace import Batch, Latent, given

__all__ = ["LabelPosterior", "LabelledLatents"]


class LabelPosterior(Distribution):
    """q(y | x) of one-hot y, batch shape (B,), event shape (C,): exp of ``log_probs`` (B, C), normalised; all on the label where ``context`` (B, C) has one and is not a row of zeros.

    listed: samples are every class in turn and not drawn, for no gradient passes a draw. What proposed them is then uniform, and ``log_prob`` is that proposal's: importance weights
    stay right, and their sum over classes exact. ``share`` is what each counts in a mean over q.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, log_probs: Tensor, context: Tensor, *, listed: bool):
        self.log_probs, self.context, self.listed = log_probs, context, listed
        self.known = context.sum(-1) > 0
        super().__init__(log_probs.shape[:-1], log_probs.shape[-1:], validate_args=False)

    @property
    def logits(self) -> Tensor:
        """(B, C), the log probability of each class: 0 and -inf where the label is known."""
        return torch.where(self.known[:, None], self.context.log(), self.log_probs)

    @property
    def mode(self) -> Tensor:
        return F.one_hot(self.logits.argmax(-1), self.event_shape[0]).to(self.log_probs)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        """(K, B, C); K is a multiple of C where they are listed."""
        if not self.listed:
            drawn: Tensor = OneHotCategorical(logits=self.logits, validate_args=False).sample(torch.Size(sample_shape))
            return drawn
        size, (k,) = self.event_shape[0], sample_shape
        classes = torch.eye(size, dtype=self.log_probs.dtype, device=self.log_probs.device).repeat(k // size, 1)
        return torch.where(self.known[:, None], self.context, classes[:, None])

    def log_prob(self, value: Tensor) -> Tensor:
        if self.listed:
            return self.known.logical_not() * -math.log(self.event_shape[0]) + torch.zeros_like(value[..., 0])
        log_p: Tensor = torch.where(value > 0, self.logits, 0.0).sum(-1)
        return log_p

    def share(self, value: Tensor) -> Tensor:
        """What each of all samples ``value`` (K, B, C) counts in a mean over q, (K, B), summing to one over K."""
        if not self.listed:
            return torch.full_like(value[..., 0], 1 / len(value))
        times = torch.where(self.known, 1, self.event_shape[0]) / len(value)
        return (value * self.logits.exp()).sum(-1) * times

    def divergence(self, p: OneHotCategorical) -> Tensor:
        """KL(q(y | x) || p(y)) in nats, (B,); -log p(label) where that is known."""
        unknown = (self.log_probs.exp() * (self.log_probs - p.logits)).sum(-1)
        return torch.where(self.known, -(self.context * p.logits).sum(-1), unknown)

    def cross_entropy(self) -> Tensor:
        """-log q(label | x) of the class network in nats, (B,); 0 where the label is unknown."""
        return -(self.context * self.log_probs).sum(-1)


@register_kl(LabelPosterior, OneHotCategorical)  # type: ignore[untyped-decorator]
def _kl(q: LabelPosterior, p: OneHotCategorical) -> Tensor:
    if q.listed:
        raise NotImplementedError("classes that are listed were proposed alike, and have the ratio of that proposal")
    return q.divergence(p)


class LabelledLatents(Latents):
    """p(y) p(z) with q(y | x) q(z | x, y), y one of C classes, all alike before anything is seen: M2 of Kingma et al. 2014 (arXiv:1406.5298).

    Two levels, (y, z). Where ``Batch.context`` has the label, y is that label and a trace is about log p(x, y); where it has a row of zeros, about log p(x). q(y | x) is a network of the
    encoder's kind, the encoder is q(z | x, y) with y as its context, and a decoder reads (y, z).

    Where gradients are wanted every class is listed, so that k samples are k C in the trace: the ``semi-supervised`` objective weighs them by q(y | x), and the sum over
    classes has neither variance nor bias. Elsewhere y is drawn from q(y | x), and a trace is like any other.
    """

    def __init__(
        self,
        latent_size: int,
        event_shape: tuple[int, ...],
        network: Callable[[tuple[int, ...], tuple[int, ...]], nn.Module] = MLP,
        context_size: int = 0,
    ):
        super().__init__(latent_size)
        if context_size < 2:
            raise ValueError(f"y is one of {context_size} classes, and two at least are needed: use data with labels, and context = 'partial-label'")
        self.classes = context_size
        self.classifier = network(event_shape, (context_size,))

    @property
    def code_size(self) -> int:
        return self.classes + self.latent_size

    def label(self, parts: Parts, batch: Batch, *, listed: bool = False) -> LabelPosterior:
        """q(y | x) of the items as the encoder sees them."""
        log_probs = self.classifier(centred(parts, batch)).log_softmax(-1)
        context = torch.zeros_like(log_probs) if batch.context is None else given(batch.context, self.classes).to(log_probs)
        return LabelPosterior(log_probs, context, listed=listed)

    def classify(self, parts: Parts, batch: Batch) -> Tensor:
        """q(y | x) (B, C), whether or not the label is known."""
        return self.label(parts, batch).log_probs.exp()

    def infer(self, parts: Parts, batch: Batch, k: int) -> tuple[Latent, ...]:
        listed = torch.is_grad_enabled()
        label = self.label(parts, batch, listed=listed)
        y = label.sample((k * self.classes if listed else k,))
        p = OneHotCategorical(logits=y.new_zeros(self.classes), validate_args=False)
        if not listed and bool(label.known.all()):  # one q(z | x, y) per item, however many samples
            q = parts.encoder(batch.x, batch.observed, label.context)
            return Latent(z=y, q=label, p=p), Latent(z=q.rsample((k,)), q=q, p=parts.prior())
        q = self._code(parts, batch, y)
        return Latent(z=y, q=label, p=p), Latent(z=q.rsample(), q=q, p=parts.prior())

    def alternatives(self, parts: Parts, batch: Batch) -> tuple[Batch, Tensor]:
        log_probs = self.label(parts, batch).logits.T
        x, observed = (None if t is None else t.repeat(self.classes, *(1,) * (t.dim() - 1)) for t in (batch.x, batch.observed))
        assert x is not None
        labels = torch.eye(self.classes, dtype=log_probs.dtype, device=log_probs.device).repeat_interleave(len(batch), 0)
        return Batch(x, observed, labels), log_probs

    def code(self, latents: tuple[Latent, ...]) -> Tensor:
        return torch.cat([latent.z for latent in latents], -1)

    def means(self, parts: Parts, batch: Batch) -> Tensor:
        """The label, or the most probable one, and the mean of q(z | x, y) there, (B, C + D)."""
        y = self.label(parts, batch).mode
        return torch.cat([y, self._code(parts, batch, y[None]).mean[0]], -1)

    def generate(self, prior: Prior, n: int, context: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """The classes that ``context`` (n, C) asks for, drawn from p(y) where it has a row of zeros."""
        z = prior.draw(n, None, temperature)
        y = OneHotCategorical(logits=z.new_zeros(self.classes), validate_args=False).sample((n,))
        if context is not None:
            y = torch.where(context.sum(-1, keepdim=True) > 0, context.to(y), y)
        return torch.cat([y, z], -1)

    def _code(self, parts: Parts, batch: Batch, y: Tensor) -> Distribution:
        """q(z | x, y), batch shape (K, B), for y (K, B, C)."""
        encoder: Any = parts.encoder
        x, observed = (None if t is None else t.expand(len(y), *t.shape).flatten(0, 1) for t in (batch.x, batch.observed))
        features = encoder.features(x, observed, y.flatten(0, 1))
        q: Distribution = encoder.posterior(features.unflatten(0, y.shape[:2]))
        return q
