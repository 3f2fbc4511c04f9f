"""A prior fitted to the codes of a trained model, in place of the one that it was trained with."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.errors import VaeworksError
from vaeworks.latents import HamiltonianLatents
from vaeworks.priors import MixturePrior, Prior
from vaeworks.recipes import build_vae, parse_recipe
from vaeworks.runs.model import Model

__all__ = ["KINDS", "FittedPrior", "fit_prior"]

KINDS = {"gmm": "mixture", "realnvp": "realnvp", "maf": "maf", "iaf": "iaf", "spline": "spline", "vamp": "vamp"}
"""What people call them -> the prior's recipe name."""
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
    if isinstance(model.vae.latents, HamiltonianLatents):
        raise VaeworksError(
            "the codes of Hamiltonian latents move with the prior, so no prior can be fitted to them: train one with --set prior.kind=..."
        )
    recipe = parse_recipe(model.recipe.to_toml(), model.recipe.name, [f"prior.kind={KINDS[kind]}", *overrides])
    torch.manual_seed(seed)
    vae = build_vae(recipe, model.schema).to(model.device)
    for name in ("encoder", "decoder", "latents"):
        getattr(vae, name).load_state_dict(getattr(model.vae, name).state_dict())
    vae.eval().requires_grad_(False)
    vae.prior.settle(train[:1000].batch(model.schema, slice(None), torch.Generator().manual_seed(seed)).x.to(model.device))
    (z, context), (held_z, held_context) = (_codes(model, items, seed) for items in (train, validation))
    if isinstance(vae.prior, MixturePrior) and context is None:
        vae.prior.fit(z[:50_000], seed=seed)
    else:
        _maximise(vae.prior, (z, context), (held_z, held_context), steps, batch_size, learning_rate, progress)
    return FittedPrior(
        Model(vae, model.schema, recipe, device=model.device),
        _mean_log_prob(model.vae.prior, held_z, held_context),
        _mean_log_prob(vae.prior, held_z, held_context),
    )


@torch.no_grad()
def _codes(model: Model, items: Items, seed: int) -> tuple[Tensor, Tensor | None]:
    """DRAWS codes of every item, (N DRAWS, D), and the context of each."""
    vae, codes, contexts = model.vae, list[Tensor](), list[Tensor]()
    torch.manual_seed(seed)
    for raw in items.batches(model.schema, 500, torch.Generator().manual_seed(seed)):
        batch = raw.to(model.device)
        codes.append(vae.latents.infer(vae, batch, DRAWS)[0].z.flatten(0, 1))
        if batch.context is not None:
            contexts.append(batch.context.repeat(DRAWS, 1))
    return torch.cat(codes), torch.cat(contexts) if contexts else None


def _maximise(
    prior: Prior,
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
        raise VaeworksError(f"{type(prior).__name__} has nothing to fit")
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    best, kept = -math.inf, copy.deepcopy(prior.state_dict())
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = learning_rate * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        index = torch.randint(len(z), (min(batch_size, len(z)),), device=z.device)
        loss = -prior(None if context is None else context[index]).log_prob(z[index]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
        if step % 200 == 199 or step == steps - 1:
            score = _mean_log_prob(prior, *held_out)
            if score > best:
                best, kept = score, copy.deepcopy(prior.state_dict())
        if progress is not None:
            progress(1)
    prior.load_state_dict(kept)
    prior.requires_grad_(False)


@torch.no_grad()
def _mean_log_prob(prior: Prior, z: Tensor, context: Tensor | None) -> float:
    total = 0.0
    for start in range(0, len(z), 2000):
        here = slice(start, start + 2000)
        total += float(prior(None if context is None else context[here]).log_prob(z[here]).double().sum())
    return total / len(z)
