"""Noise as an input: maps from explicit standard noise to the codes of a prior, and to those of a second level."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal
from torch.nn import functional as F

from vaeworks.distributions import Flow, ForwardFlow, PointMass, WrappedNormal
from vaeworks.distributions.mixture import Mixture
from vaeworks.errors import ArtifactError
from vaeworks.latents import LabelledLatents, PathLatents, TwoLevelLatents, TwoStageLatents
from vaeworks.model import VAE
from vaeworks.priors import ConditionalNormalPrior, FlowPrior, MixturePrior, Prior, SpherePrior, StandardNormalPrior, VampPrior, WrappedNormalPrior

__all__ = ["CodeMap", "Noise", "code_map", "pushed"]


@dataclass(frozen=True)
class Noise:
    """One input of noise: N(0, 1), or uniform on [0, 1), ``shape`` numbers an item."""

    name: str
    kind: Literal["normal", "uniform"]
    shape: tuple[int, ...]

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Of n items, (n, *shape)."""
        make = torch.randn if self.kind == "normal" else torch.rand
        return make(n, *self.shape, generator=generator)

    @property
    def meaning(self) -> str:
        """For people."""
        if self.kind == "normal":
            return "standard normal noise; times a temperature below 1 for safer items, above 1 for bolder ones"
        return "noise uniform on [0, 1)"


class CodeMap(nn.Module):
    """Noise [, context (N, C)] -> codes (N, D), distributed as the prior where the noise is as ``noises`` say."""

    noises: tuple[Noise, ...]

    @abstractmethod
    def forward(self, noise: tuple[Tensor, ...], context: Tensor | None) -> Tensor:
        """The codes."""


def pushed(q: Distribution, noise: Tensor) -> Tensor:
    """Standard normal ``noise`` (N, D) to a draw from q, batch shape (N,); ArtifactError for a family that is no map of as much noise."""
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return q.base_dist.loc + q.base_dist.scale * noise
    if isinstance(q, MultivariateNormal):
        moved: Tensor = q.loc + (q._unbroadcasted_scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
        return moved
    if isinstance(q, Flow):
        return q._to_code(noise)[0]
    if isinstance(q, ForwardFlow):
        return q.transform(noise)[0]
    if isinstance(q, WrappedNormal):
        return q._lay(noise)
    if isinstance(q, PointMass):
        return q.loc
    raise ArtifactError(f"a sampler of {type(q).__name__} cannot be exported: it is no map of standard normal noise; export the other graphs alone")


def _chosen(weights: Tensor, uniform: Tensor) -> Tensor:
    """Component (N,) of ``weights`` (K,) or (N, K) that uniform noise (N,) picks, each as often as it weighs."""
    below = weights.cumsum(-1) <= uniform.unsqueeze(-1)
    return below.long().sum(-1).clamp_max(weights.shape[-1] - 1)


class _Prior(CodeMap):
    def __init__(self, prior: Prior):
        super().__init__()
        self.prior = prior
        self.noises = (Noise("noise", "normal", (prior.latent_size,)),)

    def told(self, context: Tensor | None) -> Tensor | None:
        """The context, where the prior heeds it."""
        return context if self.prior.context_size else None


class _Pushed(_Prior):
    """Priors that are a map of normal noise."""

    def forward(self, noise: tuple[Tensor, ...], context: Tensor | None) -> Tensor:
        return pushed(self.prior(self.told(context)), noise[0])


class _Normal(_Prior):
    """N(0, I): the noise itself."""

    def forward(self, noise: tuple[Tensor, ...], context: Tensor | None) -> Tensor:
        return noise[0].clone()


class _Sphere(_Prior):
    """Uniform on the sphere: noise has no direction that it prefers."""

    def forward(self, noise: tuple[Tensor, ...], context: Tensor | None) -> Tensor:
        return F.normalize(noise[0], dim=-1)


class _Mixture(_Prior):
    """A component by uniform noise, then a draw from it."""

    def __init__(self, prior: Prior):
        super().__init__(prior)
        self.noises = (*self.noises, Noise("component", "uniform", ()))

    def forward(self, noise: tuple[Tensor, ...], context: Tensor | None) -> Tensor:
        p = self.prior(self.told(context))
        assert isinstance(p, Mixture)
        components = p.components
        assert isinstance(components, Independent)
        index = _chosen(p.log_weights.exp(), noise[1])
        loc, scale = (t.unflatten(0, p.log_weights.shape) for t in (components.base_dist.loc, components.base_dist.scale))
        if p.batch_shape:
            at = index[:, None, None].expand(-1, 1, loc.shape[-1])
            loc, scale = (t.gather(1, at).squeeze(1) for t in (loc, scale))
        else:
            loc, scale = loc[index], scale[index]
        moved: Tensor = loc + scale * noise[0]
        return moved


class _Vamp(_Mixture):
    """A pseudo-input by uniform noise, then a draw from its posterior: one encoding an item, where the density needs one of every pseudo-input."""

    prior: VampPrior

    def forward(self, noise: tuple[Tensor, ...], context: Tensor | None) -> Tensor:
        inputs = self.prior.pseudo_inputs
        assert inputs is not None
        (encoder,) = self.prior.met
        told = self.told(context)
        item = inputs.clamp(0, 1)[_chosen(self.prior.logits.softmax(-1), noise[1])]
        return pushed(encoder(item) if told is None else encoder(item, None, told), noise[0])


_MAPS: dict[type[Prior], type[_Prior]] = {
    StandardNormalPrior: _Normal,
    ConditionalNormalPrior: _Pushed,
    FlowPrior: _Pushed,
    WrappedNormalPrior: _Pushed,
    SpherePrior: _Sphere,
    MixturePrior: _Mixture,
    VampPrior: _Vamp,
}


class _Lower(CodeMap):
    """A second level that is a normal given the first: beside it (two-level), or in its place (two-stage)."""

    def __init__(self, first: CodeMap, latents: TwoLevelLatents | TwoStageLatents):
        super().__init__()
        self.first, self.latents = first, latents
        size = latents.lower_size if isinstance(latents, TwoLevelLatents) else latents.latent_size
        self.noises = (*first.noises, Noise("lower_noise", "normal", (size,)))

    def forward(self, noise: tuple[Tensor, ...], context: Tensor | None) -> Tensor:
        upper = self.first(noise[:-1], context)
        if isinstance(self.latents, TwoStageLatents):
            return pushed(self.latents.below(context, upper), noise[-1])
        return torch.cat([upper, pushed(self.latents._lower_p(upper, context), noise[-1])], -1)


class _Labelled(CodeMap):
    """The class that the context asks for, any by uniform noise where it is a row of zeros, beside the code."""

    def __init__(self, first: CodeMap, classes: int):
        super().__init__()
        self.first, self.classes = first, classes
        self.noises = (*first.noises, Noise("label", "uniform", ()))

    def forward(self, noise: tuple[Tensor, ...], context: Tensor | None) -> Tensor:
        drawn = (noise[-1] * self.classes).long().clamp_max(self.classes - 1)
        y = F.one_hot(drawn, self.classes).to(noise[0].dtype)
        if context is not None:
            y = torch.where(context.sum(-1, keepdim=True) > 0, context, y)
        return torch.cat([y, self.first(noise[:-1], None)], -1)


def code_map(vae: VAE) -> CodeMap:
    """The map from noise to the codes that ``vae`` generates from; ArtifactError where its prior or latents are none that this version knows."""
    kind = next((kind for kind in _MAPS if isinstance(vae.prior, kind)), None)
    if kind is None:
        raise ArtifactError(f"a sampler of {type(vae.prior).__name__} cannot be exported: its noise is not known; export the other graphs alone")
    first, latents = _MAPS[kind](vae.prior), vae.latents
    if isinstance(latents, TwoLevelLatents | TwoStageLatents):
        return _Lower(first, latents)
    if isinstance(latents, LabelledLatents):
        return _Labelled(first, latents.classes)
    if isinstance(latents, PathLatents) or latents.code_size == vae.prior.latent_size:
        return first
    raise ArtifactError(f"a sampler of {type(latents).__name__} cannot be exported: its noise is not known; export the other graphs alone")
