"""The decoder and the sampler as graphs: codes, or noise, to items."""

from __future__ import annotations

from typing import Any

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
    Row,
    Sound,
    TokenSequence,
)
from vaeworks.export.graphs import Graph
from vaeworks.export.levels import mean_of_levels
from vaeworks.export.noise import Noise, code_map
from vaeworks.export.rows import Rows, row_parameters
from vaeworks.export.strings import NextToken, written_at_once
from vaeworks.likelihoods.table import TableLikelihood
from vaeworks.model import VAE

__all__ = ["decoder_graph", "drawn_codes", "parameters_of", "sampler_graph", "writes_token_by_token"]

MEANINGS = {
    "z": "codes, such as the encoder's or the sampler's",
    "context": "what generation is conditioned on",
    "x": "the item that stands for p(x | z): its mean, of tokens and categories the most probable, of other columns the median",
    "logits": "logits of p(x | z)",
    "loc": "locations of p(x | z), in units of x",
    "scale": "scales of p(x | z), in units of x",
    "log_scale": "log scales of p(x | z), in units of x",
    "component_logits": "logits of the components of each pixel's mixture",
    "length_logits": "logits of the sound's length in steps",
}
NEXT = {
    **MEANINGS,
    "tokens": "the tokens written so far, then anything",
    "logits": "at position t the logits of the token there given those before; token 0 is never one, 1 ends the string",
}


def parameters_of(p: Observable) -> dict[str, Tensor]:  # noqa: PLR0911 (a family each)
    """What p(x | z) is made of beside its mean, by name."""
    if isinstance(p, DiscretisedLogisticMixture):
        return {"component_logits": p.logits, "loc": p.loc, "log_scale": p.log_scale}
    if isinstance(p, Row):
        return row_parameters(p)
    if isinstance(p, Sound):
        base: Any = p.base
        return {"scale": base.scale, "length_logits": p.logits}
    if isinstance(p, TokenSequence):
        return {"logits": p.features} if isinstance(p.features, Tensor) else {}
    base = p.base if isinstance(p, Factorised) else None
    if isinstance(base, Bernoulli | ContinuousBernoulli | GridCategorical):
        return {"logits": base.logits}
    if isinstance(base, DiscretisedLogistic):
        return {"loc": base.loc, "log_scale": base.log_scale.expand_as(base.loc)}
    if isinstance(base, Normal | Laplace):
        return {"scale": base.scale}
    return {}


def writes_token_by_token(vae: VAE) -> bool:
    """Whether the decoder gives the next token alone."""
    return bool(getattr(getattr(vae.decoder, "network", None), "word_dropout", None) is not None)


class _Decode(nn.Module):
    """z (N, D) [, context (N, C)] -> the item that stands for p(x | z), and its parameters."""

    def __init__(self, vae: VAE):
        super().__init__()
        self.vae = vae
        likelihood = getattr(vae.decoder, "likelihood", None)
        self.rows = Rows(likelihood) if isinstance(likelihood, TableLikelihood) else None

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        p = self.vae.decode(*inputs)
        return (self.item(p), *parameters_of(p).values())

    def item(self, p: Observable) -> Tensor:
        """What stands for p(x | z)."""
        if isinstance(p, Row) and self.rows is not None:
            return self.rows.median(p)
        if isinstance(p, DiscretisedLogisticMixture):
            return mean_of_levels(p)
        if isinstance(p, Factorised) and isinstance(p.base, DiscretisedLogistic):
            return mean_of_levels(p.base)
        return written_at_once(p) if isinstance(p, TokenSequence) else p.estimate()


class _Sample(nn.Module):
    """Noise [, context (N, C)] -> codes, and the item at each: of a table a draw from p(x | z), of other kinds what stands for it; codes alone where items are written token by token."""

    def __init__(self, vae: VAE, context_size: int):
        super().__init__()
        self.codes, self.decode, self.context_size = code_map(vae), _Decode(vae), context_size
        self.writes = writes_token_by_token(vae)
        self.noises = self.codes.noises
        if self.decode.rows is not None:
            shape = (self.decode.rows.size,)
            self.noises = (*self.noises, Noise("x_uniform", "uniform", shape), Noise("x_noise", "normal", shape))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        context = inputs[-1] if self.context_size else None
        z = self.codes(inputs[: len(self.codes.noises)], context).contiguous()
        if self.writes:
            return (z,)
        p = self.decode.vae.decode(z, context if getattr(self.decode.vae.decoder, "context_size", 0) else None)
        if isinstance(p, Row) and self.decode.rows is not None:
            uniform, noise = inputs[len(self.codes.noises) : len(self.noises)]
            return z, self.decode.rows.draw(p, uniform, noise)
        return z, self.decode.item(p)


def decoder_graph(vae: VAE) -> Graph:
    """The decoder of ``vae``: z [, context] -> x and the parameters of p(x | z); where it writes token by token, z and the tokens so far -> the logits of the next."""
    context_size = int(getattr(vae.decoder, "context_size", 0))
    conditions = ("context",) if context_size else ()

    def examples(n: int, seed: int) -> tuple[Tensor, ...]:
        z, context = drawn_codes(vae, n, seed, context_size)
        return (z,) if context is None else (z, context)

    if writes_token_by_token(vae):
        likelihood: Any = vae.decoder.likelihood

        def prefixes(n: int, seed: int) -> tuple[Tensor, ...]:
            z, *rest = examples(n, seed)
            shape = (n, likelihood.event_shape[0] - 1)
            tokens = torch.randint(2, likelihood.levels, shape, generator=torch.Generator().manual_seed(seed))
            return (z, tokens, *rest)

        return Graph("decoder", NextToken(vae).eval(), ("z", "tokens", *conditions), ("logits",), prefixes, NEXT)
    with torch.no_grad():
        names = tuple(parameters_of(vae.decode(*examples(1, 0))))
    module = _Decode(vae).eval()
    truth = None if module.rows is not None else lambda *inputs: vae.decode(*inputs).estimate()  # rows are not brought to their grid here
    return Graph("decoder", module, ("z", *conditions), ("x", *names), examples, MEANINGS, truth=truth)


def sampler_graph(vae: VAE, context_size: int = 0) -> Graph:
    """The sampler of ``vae``: noise [, context] -> z and, but for a decoder that writes token by token, x. ArtifactError where the prior is no map of noise."""
    module = _Sample(vae, context_size).eval()
    conditions = ("context",) if context_size else ()
    names = tuple(noise.name for noise in module.noises)

    def examples(n: int, seed: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(seed)
        drawn = [noise.draw(n, generator) for noise in module.noises]
        return (*drawn, *(() if not context_size else (_contexts(n, context_size),)))

    x = "an item drawn from p(x | z)" if module.decode.rows is not None else MEANINGS["x"]
    meanings = {**MEANINGS, "z": "the codes drawn", "x": x, **{noise.name: noise.meaning for noise in module.noises}}
    outputs = ("z",) if module.writes else ("z", "x")
    kinds: dict[str, str] = {noise.name: noise.kind for noise in module.noises}
    return Graph("sampler", module, (*names, *conditions), outputs, examples, meanings, noises=kinds)


def _contexts(n: int, size: int) -> Tensor:
    """One-hot vectors (n, C) of each class in turn."""
    return torch.eye(size)[torch.arange(n) % size]


@torch.no_grad()
def drawn_codes(vae: VAE, n: int, seed: int, context_size: int) -> tuple[Tensor, Tensor | None]:
    """n codes (n, D) from the prior, and the contexts (n, C) they were drawn for."""
    context = _contexts(n, context_size) if context_size else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return vae.latents.generate(vae.prior, n, context), context
