"""The encoder as a graph: items to codes, with the parameters of q(z | x)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, LowRankMultivariateNormal, MultivariateNormal, Normal

from vaeworks.distributions import Flow, ForwardFlow, Observable, Sound, VonMisesFisher, WrappedNormal
from vaeworks.distributions.tokens import TokenSequence
from vaeworks.errors import ArtifactError
from vaeworks.export.decoding import drawn_codes
from vaeworks.export.graphs import Graph
from vaeworks.latents import FlatLatents, LabelledLatents, PathLatents
from vaeworks.model import VAE, Schema
from vaeworks.posteriors import VonMisesFisherPosterior
from vaeworks.trace import Batch

__all__ = ["encoder_graph"]

MEANINGS = {
    "x": "the items",
    "observed": "True where a value is an item's own, False where it is missing or lies beyond the item's end; what x holds there does not matter",
    "context": "what the model is conditional on; a row of zeros where a label is not known",
    "code": "the posterior mean, which the decoder reads",
    "scale": "standard deviation of q(z | x) in each dimension",
    "base_loc": "q(z | x) is base_loc + base_scale * f(u), with f a flow",
    "base_scale": "see base_loc",
    "scale_tril": "L, the covariance of q(z | x) being L L'",
    "covariance_factor": "A, the covariance of q(z | x) being A A' + diag(covariance_diagonal)",
    "covariance_diagonal": "see covariance_factor",
    "direction": "mean direction of q(z | x) on the sphere",
    "concentration": "concentration of q(z | x) around its direction",
    "label": "q(label | x), the probability of each class, whatever the context says",
}


def _parameters(q: Distribution) -> dict[str, Tensor]:
    """What q(z | x) is made of beside its mean, by name."""
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return {"scale": q.base_dist.scale}
    if isinstance(q, MultivariateNormal):
        return {"scale_tril": q._unbroadcasted_scale_tril}
    if isinstance(q, LowRankMultivariateNormal):
        return {"covariance_factor": q._unbroadcasted_cov_factor, "covariance_diagonal": q._unbroadcasted_cov_diag}
    if isinstance(q, VonMisesFisher):
        return {"direction": q.loc, "concentration": q.concentration}
    if isinstance(q, Flow | ForwardFlow | WrappedNormal) and q.loc is not None and q.scale is not None:
        return {"base_loc": q.loc, "base_scale": q.scale}
    return {}


class _Cosines(nn.Module):
    """E[cos] of a von Mises-Fisher distribution by its concentration (B,), interpolated between 8,193 exact values: what it is an integral of, ONNX Runtime has in float32 alone."""

    table: Tensor

    def __init__(self, size: int):
        super().__init__()
        log_concentration = math.log(size) + torch.linspace(-7.01, 7.01, 8193, dtype=torch.float64)
        first = torch.eye(size, dtype=torch.float64)[0].expand(len(log_concentration), -1)
        self.start, self.step = float(log_concentration[0]), float(log_concentration[1] - log_concentration[0])
        self.register_buffer("table", VonMisesFisher(first, log_concentration.exp()).mean_cosine().float(), persistent=False)

    def forward(self, concentration: Tensor) -> Tensor:
        place = (concentration.log() - self.start) / self.step
        below = place.floor().long().clamp(0, len(self.table) - 2)
        return torch.lerp(self.table[below], self.table[below + 1], place - below)


class _Encode(nn.Module):
    """x [, observed] [, context] -> the code, and the parameters of q(z | x)."""

    def __init__(self, vae: VAE, observes: bool, conditional: bool):
        super().__init__()
        self.vae, self.observes, self.conditional = vae, observes, conditional
        sphere = isinstance(vae.latents, FlatLatents) and isinstance(getattr(vae.encoder, "posterior", None), VonMisesFisherPosterior)
        self.cosines = _Cosines(vae.latents.latent_size) if sphere else None

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.named(*inputs).values())

    def named(self, *inputs: Tensor) -> dict[str, Tensor]:
        """The outputs by name."""
        batch = Batch(inputs[0], inputs[1] if self.observes else None, inputs[-1] if self.conditional else None)
        vae = self.vae
        if self.cosines is not None:
            q = vae.encoder(batch.x, batch.observed, *(() if batch.context is None else (batch.context,)))
            return {"code": self.cosines(q.concentration).unsqueeze(-1) * q.loc} | _parameters(q)
        code = {"code": vae.latents.means(vae, batch)}
        if isinstance(vae.latents, LabelledLatents):
            return code | {"label": vae.latents.classify(vae, batch)}
        q = vae.encoder(batch.x, batch.observed, *(() if batch.context is None else (batch.context,)))
        return code | _parameters(q)


def encoder_graph(vae: VAE, schema: Schema) -> Graph:
    """The encoder of ``vae``: x [, observed] [, context] -> code and the parameters of q(z | x). ArtifactError where codes are found by gradients, which no graph takes."""
    if isinstance(vae.latents, PathLatents):
        raise ArtifactError(
            f"the encoder of {type(vae.latents).__name__} cannot be exported: it follows gradients of the decoder, which an exported graph does not take;"
            " export the others alone with --only decoder --only sampler, or all of it with --format safetensors"
        )
    observes, size = schema.kind in {"table", "audio"}, schema.context_size
    module = _Encode(vae, observes, size > 0).eval()

    def examples(n: int, seed: int) -> tuple[Tensor, ...]:
        x, observed, context = _items(vae, schema, n, seed)
        return (x, *((observed,) if observes else ()), *(() if context is None else (context,)))

    with torch.no_grad():
        outputs = tuple(module.named(*examples(2, 0)))
    inputs = ("x", *(("observed",) if observes else ()), *(("context",) if size else ()))

    def truth(*given: Tensor) -> Tensor:
        return vae.latents.means(vae, Batch(given[0], given[1] if observes else None, given[-1] if size else None))

    return Graph("encoder", module, inputs, outputs, examples, MEANINGS, truth=truth if module.cosines is not None else None)


@torch.no_grad()
def _items(vae: VAE, schema: Schema, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """n items (n, *shape) that the model itself draws, what is observed of them, with some of it missing in rows of tables, and their context."""
    z, context = drawn_codes(vae, n, seed, schema.context_size)
    told = context if getattr(vae.decoder, "context_size", 0) else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        p: Observable = vae.decode(z, told)
        x = p.estimate() if isinstance(p, Sound) else p.sample()
        hidden = torch.rand(x.shape) < 0.1 if schema.kind == "table" else torch.zeros(x.shape, dtype=torch.bool)
    x = x if isinstance(p, TokenSequence) else schema.within(x)
    observed = ~hidden if x.dtype == torch.int64 else x.isfinite() & ~hidden
    return torch.where(observed, x, torch.zeros_like(x)), observed, context
