"""What the latents are used for: how much each dimension tells, whether the decoder listens, and whether codes of items lie where the prior draws them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from vaeworks.data import Items
from vaeworks.distributions import PointMass
from vaeworks.distributions.mixture import Mixture
from vaeworks.evaluation.figures import hidden
from vaeworks.latents import LabelledLatents
from vaeworks.model import VAE, Schema
from vaeworks.objectives import kl_per_dimension
from vaeworks.trace import Batch, Latent

__all__ = ["Components", "LatentUse", "TwoSample", "components", "latent_use", "two_sample"]

MOST = 2000
"""Items looked at."""


@dataclass(frozen=True)
class LatentUse:
    """Of N held-out items, D being what the decoder reads; everything on the CPU."""

    means: Tensor
    """(N, D) codes at the posterior means."""
    drawn: Tensor
    """(N, D) codes drawn from q(z | x)."""
    prior: Tensor
    """(N, D) codes drawn from p(z), under the items' own contexts where there are any."""
    context: Tensor | None
    """(N, C)."""
    kl: Tensor | None
    """(D,) mean KL in nats of each dimension; None where q or p does not factorise, or q has no density."""
    total_kl: Tensor | None
    """(N,) KL of each item; None where q has no density."""
    spread: Tensor | None
    """(D,) mean variance of q(z | x); None where it is no diagonal normal."""
    own: Tensor
    """(N,) log p(x | z) at the item's own code."""
    other: Tensor
    """(N,) log p(x | z) at the code of another item, under the item's own context."""
    classes: int
    """Of the D numbers, the first that are a one-hot label."""

    @property
    def activity(self) -> Tensor:
        """(D,) the variance of the posterior means over items."""
        return self.means.var(0) if len(self.means) > 1 else torch.zeros(self.means.shape[1])

    @property
    def told(self) -> Tensor:
        """(D,) what each dimension is ranked by: its KL; where that is not known the nats that a Gaussian of its signal and its noise tells; else its activity."""
        if self.kl is not None:
            return self.kl
        if self.spread is not None:
            return 0.5 * (1 + self.activity / self.spread.clamp_min(1e-12)).log()
        return self.activity


@torch.inference_mode()
def latent_use(vae: VAE, items: Items, schema: Schema, *, seed: int = 0, device: torch.device | str = "cpu") -> LatentUse:
    """Look at the latents of at most MOST of ``items``, evenly from all of them; labels that the model can do without are hidden from it."""
    vae.eval()
    if len(items) > MOST:
        items = items[torch.linspace(0, len(items) - 1, MOST).round().long()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        batches = [raw.to(device) for raw in hidden(items, schema).batches(schema, 250, torch.Generator().manual_seed(seed))]
        parts = [_part(vae, batch) for batch in batches]
    means, drawn, prior, own, other = (torch.cat([part.columns[i] for part in parts]).cpu() for i in range(5))
    classes = vae.latents.classes if isinstance(vae.latents, LabelledLatents) else 0
    contexts = [batch.context.cpu() for batch in batches if batch.context is not None]
    kl = torch.cat([part.kl for part in parts if part.kl is not None]).cpu() if parts[0].kl is not None else None
    each = None if kl is None else _fitted(kl.mean(0), means.shape[1], classes)
    spreads = [part.spread.cpu() for part in parts if part.spread is not None]
    spread = _fitted(torch.cat(spreads).mean(0), means.shape[1], classes) if len(spreads) == len(parts) else None
    total = None if kl is None else kl.sum(-1)
    return LatentUse(means, drawn, prior, torch.cat(contexts) if contexts else None, each, total, spread, own, other, classes)


@dataclass(frozen=True)
class _Part:
    """Of one batch: the columns of LatentUse (means, drawn, prior, own, other), the KL (B, D') and the variance of q (B, D'')."""

    columns: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
    kl: Tensor | None
    spread: Tensor | None


def _part(vae: VAE, batch: Batch) -> _Part:
    latents = vae.latents.infer(vae, batch, 1)
    code = vae.latents.code(latents)
    means = vae.latents.means(vae, batch)
    prior = vae.latents.generate(vae.prior, len(batch), batch.context)
    shift = code.roll(max(1, len(batch) // 2), 1) if len(batch) > 1 else prior[None]
    own, other = (_log_likelihood(vae, z, batch) for z in (code, shift))
    point = isinstance(latents[0].q, PointMass)
    kl = None if point else torch.cat([kl_per_dimension(level).flatten(0, -2).expand(len(batch), -1) for level in latents], -1)
    spreads = [_variance(level) for level in latents]
    spread = torch.cat([s for s in spreads if s is not None], -1) if all(s is not None for s in spreads[-1:]) else None
    return _Part((means, code[0], prior, own, other), kl, spread)


def _log_likelihood(vae: VAE, code: Tensor, batch: Batch) -> Tensor:
    """log p(x | z) (B,) at codes (1, B, D)."""
    p = vae.decode(code, batch.context)
    return (p if batch.observed is None else p.marginal(batch.observed)).log_prob(batch.x)[0]


def _variance(level: Latent) -> Tensor | None:
    q = level.q
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        variance: Tensor = q.base_dist.variance
        return variance.flatten(0, -2) if variance.dim() > 2 else variance
    return None


def _fitted(values: Tensor, size: int, classes: int) -> Tensor | None:
    """``values`` (D',) for each of ``size`` numbers of a code; those of a label share its KL evenly. None where they do not belong to numbers of the code."""
    if classes and len(values) == 1 + size - classes:
        return torch.cat([values[:1].expand(classes) / classes, values[1:]])
    if classes and len(values) == size - classes:
        return torch.cat([torch.ones(classes), values])
    return values if len(values) == size else None


@dataclass(frozen=True)
class TwoSample:
    """How well a classifier tells codes of items from codes of the prior."""

    auroc: float
    """Cross-validated; 0.5: not at all."""
    shift: float
    dimension: int
    """The largest distance of the two means over dimensions, in standard deviations of the prior's codes, and where."""
    widest: float
    narrowest: float
    """The largest and the smallest ratio of the standard deviation of items' codes to that of the prior's."""


def two_sample(use: LatentUse) -> TwoSample | None:
    """A logistic classifier on standardised coordinates, their squares and, of up to 24, their products, with the context beside them (after Lopez-Paz & Oquab 2017,
    arXiv:1610.06545); None for fewer than 20 items."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

    if len(use.drawn) < 20:
        return None
    first = use.classes
    ours, theirs = use.drawn[:, first:].double(), use.prior[:, first:].double()
    scale = theirs.std(0).clamp_min(1e-9)
    ratios = (ours.std(0) / scale).nan_to_num(0.0)
    shifts = ((ours.mean(0) - theirs.mean(0)) / scale).abs()
    z = (torch.cat([ours, theirs]) - theirs.mean(0)) / scale
    z = z.clamp(-20, 20)
    features = [z, z.square()]
    if use.context is not None and use.context.shape[1]:
        context = use.context.double().repeat(2, 1)
        features += [context, (z[:, :, None] * context[:, None, :8]).flatten(1)]
    if z.shape[1] <= 24:
        i, j = torch.triu_indices(z.shape[1], z.shape[1], 1)
        features.append(z[:, i] * z[:, j])
    table = torch.cat(features, 1)
    table = (table - table.mean(0)) / table.std(0).clamp_min(1e-9)
    labels = np.repeat([1, 0], len(ours))
    guess = cross_val_predict(LogisticRegression(C=0.01, solver="newton-cholesky"), table.numpy(), labels, cv=5, method="decision_function")
    worst = int(shifts.argmax())
    return TwoSample(float(roc_auc_score(labels, guess)), float(shifts[worst]), worst + first, float(ratios.max()), float(ratios.min()))


@dataclass(frozen=True)
class Components:
    """How many of a mixture's K components codes of items come from."""

    count: int
    used: int
    """Components with more than a tenth of an even share of the codes."""
    effective: float
    """exp of the entropy of the mean responsibilities: as many even components would do as well."""


@torch.inference_mode()
def components(vae: VAE, z: Tensor, context: Tensor | None = None) -> Components | None:
    """Of the prior of ``vae`` for codes z (N, D'), of which it reads the first; None where it is no mixture, or N is below twice its components."""
    p: Distribution = vae.prior(None if context is None else context[:1].to(next(vae.parameters()).device))
    if not isinstance(p, Mixture):
        return None
    count, device = p.log_weights.shape[-1], p.log_weights.device
    if len(z) < 2 * count or count < 2:
        return None
    total = torch.zeros(count, dtype=torch.float64)
    for start in range(0, len(z), 200):
        part = z[start : start + 200, : vae.prior.latent_size].to(device)
        at = None if context is None else context[start : start + 200].to(device)
        mixture = p if at is None else vae.prior(at)
        assert isinstance(mixture, Mixture)
        total += _responsibilities(mixture, part).double().sum(0).cpu()
    share = total / total.sum()
    entropy = -(share * share.clamp_min(1e-300).log()).sum()
    return Components(count, int((share > 0.1 / count).sum()), float(entropy.exp()))


def _responsibilities(p: Mixture, z: Tensor) -> Tensor:
    """p(k | z) (N, K) for codes (N, D)."""
    count = p.log_weights.shape[-1]
    if p.batch_shape:
        each = p.components.log_prob(z.repeat_interleave(count, 0)).unflatten(0, (len(z), count))
    else:
        each = p.components.log_prob(z[:, None].expand(-1, count, -1))
    softened: Tensor = (each + p.log_weights).softmax(-1)
    return softened
