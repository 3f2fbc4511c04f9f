"""A prior fitted to the codes of a trained model, in place of the one that it was trained with."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.errors import VaeworksError
from vaeworks.latents import FlatLatents, PathLatents, TwoStageLatents
from vaeworks.model import VAE
from vaeworks.priors import PRIORS, MixturePrior
from vaeworks.recipes import build_vae, parse_recipe
from vaeworks.runs.model import Model

__all__ = ["KINDS", "FittedPrior", "fit_prior"]

KINDS = {"gmm": "mixture", "realnvp": "realnvp", "maf": "maf", "iaf": "iaf", "spline": "spline", "vamp": "vamp", "two-stage": "two-stage"}
"""What people call them -> the recipe name of the prior, or of the latents that bring one."""
LogPrior = Callable[[Tensor, Tensor | None], Tensor]
DRAWS = 4
"""Codes per item: draws of q(z | x)."""


@dataclass(frozen=True)
class FittedPrior:
    """A model with its new prior, and what that is worth."""

    model: Model
    before: float
    after: float
    """Mean log p(z) of codes of validation items under the old prior and the new one, in nats: the ELBO gains their difference."""


def fit_prior(
    model: Model,
    train: Items,
    validation: Items,
    *,
    kind: str = "gmm",
    overrides: Iterable[str] = (),
    steps: int = 3000,
    batch_size: int = 512,
    learning_rate: float = 2e-3,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> FittedPrior:
    """Fit p(z) to q(z), the codes of ``train`` together, by maximum likelihood, encoder and decoder staying as they are; the prior that is best on ``validation`` is kept.

    A mixture is fitted by expectation maximisation, everything else by Adam. What others call a sampler: but here the new prior enters log p(x) too, as the model's own.
    Raises VaeworksError for an unknown kind and for latents whose codes are no draws of q alone.
    """
    if kind not in KINDS:
        raise VaeworksError(f"--kind {kind!r} is unknown: choose one of {', '.join(KINDS)}")
    old = model.vae.latents
    if isinstance(old, PathLatents):
        raise VaeworksError(
            "the codes of Hamiltonian and Riemannian latents move with the prior, so no prior can be fitted to them: train one with --set prior.kind=..."
        )
    if model.schema.context == "partial-label":
        raise VaeworksError(
            "this model infers a label beside its codes, and no prior is fitted to two things at once: train one with --set prior.kind=..., or a recipe without labels"
        )
    chosen = [f"prior.kind={KINDS[kind]}"]
    if KINDS[kind] not in PRIORS:
        if not isinstance(old, FlatLatents | TwoStageLatents):
            raise VaeworksError(f"--kind {kind} is a prior of one latent vector, and this model has {type(old).__name__}: use --kind realnvp")
        chosen = [f"latents.kind={KINDS[kind]}", "prior.kind=standard-normal"]
    elif isinstance(old, TwoStageLatents):
        chosen.append("latents.kind=flat")
    recipe = parse_recipe(model.recipe.to_toml(), model.recipe.name, [*chosen, *overrides])
    torch.manual_seed(seed)
    vae = build_vae(recipe, model.schema).to(model.device)
    two_stage = isinstance(vae.latents, TwoStageLatents)
    for name in ("encoder", "decoder") if two_stage or isinstance(old, TwoStageLatents) else ("encoder", "decoder", "latents"):
        getattr(vae, name).load_state_dict(getattr(model.vae, name).state_dict())
    vae.eval().requires_grad_(False)
    vae.prior.settle(train[:1000].batch(model.schema, slice(None), torch.Generator().manual_seed(seed)).x.to(model.device))
    (z, context), (held_z, held_context) = (_codes(model, items, seed) for items in (train, validation))
    if isinstance(vae.prior, MixturePrior) and context is None and not two_stage:
        vae.prior.fit(z[:50_000], seed=seed)
    else:
        fitted = torch.nn.ModuleList([vae.prior, vae.latents] if two_stage else [vae.prior])
        _maximise(fitted, _log_prior(vae), (z, context), (held_z, held_context), steps, batch_size, learning_rate, progress)
    return FittedPrior(
        Model(vae, model.schema, recipe, device=model.device),
        _mean(_log_prior(model.vae), held_z, held_context),
        _mean(_log_prior(vae), held_z, held_context),
    )


@torch.no_grad()
def _codes(model: Model, items: Items, seed: int) -> tuple[Tensor, Tensor | None]:
    """DRAWS codes of every item, (N DRAWS, D), and the context of each."""
    vae, codes, contexts = model.vae, list[Tensor](), list[Tensor]()
    torch.manual_seed(seed)
    for raw in items.batches(model.schema, 500, torch.Generator().manual_seed(seed)):
        batch = raw.to(model.device)
        codes.append(vae.latents.infer(vae, batch, DRAWS)[0].z[..., : vae.prior.latent_size].flatten(0, 1))
        if batch.context is not None:
            contexts.append(batch.context.repeat(DRAWS, 1))
    return torch.cat(codes), torch.cat(contexts) if contexts else None


def _log_prior(vae: VAE) -> LogPrior:
    """log p(z) of codes (N, D) under their contexts, (N,); of a prior with a second stage a bound on it, at one draw."""
    latents, prior = vae.latents, vae.prior
    return partial(latents.log_prior, prior) if isinstance(latents, TwoStageLatents) else lambda z, context: prior(context).log_prob(z)


def _maximise(
    prior: torch.nn.Module,
    log_prior: LogPrior,
    train: tuple[Tensor, Tensor | None],
    held_out: tuple[Tensor, Tensor | None],
    steps: int,
    batch_size: int,
    learning_rate: float,
    progress: Callable[[int], None] | None,
) -> None:
    z, context = train
    parameters = list(prior.requires_grad_(True).parameters())
    if not parameters:
        raise VaeworksError("the chosen prior has nothing to fit")
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    best, kept = -math.inf, copy.deepcopy(prior.state_dict())
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = learning_rate * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        index = torch.randint(len(z), (min(batch_size, len(z)),), device=z.device)
        loss = -log_prior(z[index], None if context is None else context[index]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
        if step % 200 == 199 or step == steps - 1:
            score = _mean(log_prior, *held_out)
            if score > best:
                best, kept = score, copy.deepcopy(prior.state_dict())
        if progress is not None:
            progress(1)
    prior.load_state_dict(kept)
    prior.requires_grad_(False)


@torch.no_grad()
def _mean(log_prior: LogPrior, z: Tensor, context: Tensor | None) -> float:
    total = 0.0
    for start in range(0, len(z), 2000):
        here = slice(start, start + 2000)
        total += float(log_prior(z[here], None if context is None else context[here]).double().sum())
    return total / len(z)
