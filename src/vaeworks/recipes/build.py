"""Recipe + Schema -> objects. The only place that knows every axis."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch

from vaeworks.errors import RecipeError
from vaeworks.model import VAE, Decoder, Encoder, Schema
from vaeworks.objectives import OBJECTIVES, SCHEDULES, Objective
from vaeworks.posteriors import POSTERIORS
from vaeworks.priors import PRIORS
from vaeworks.recipes.knobs import AXES
from vaeworks.recipes.recipe import Recipe
from vaeworks.training import Trainer

__all__ = ["build_objective", "build_trainer", "build_vae", "choose_likelihood", "choose_recipe", "conditioned"]


def choose_recipe(schema: Schema) -> tuple[str, str]:
    """The recipe for data of this kind, and why."""
    _, height, width = schema.shape
    if max(height, width) <= 12:
        return "mlp", f"images of {height}x{width} are small enough for a fully connected network"
    return "conv", f"images of {height}x{width} call for convolutions"


def choose_likelihood(schema: Schema) -> tuple[str, str]:
    """The likelihood for data of this kind, and why."""
    if schema.x_levels == 2:
        return "bernoulli", "pixels are 0 or 1"
    if schema.x_levels > 0 and schema.shape[0] >= 3:
        return (
            "discretised-logistic-mixture",
            f"colours take {schema.x_levels} levels and their channels go together; scales are learned, so no beta needs tuning",
        )
    if schema.x_levels > 0:
        return "discretised-logistic", f"pixels take {schema.x_levels} levels; a learned scale weighs reconstruction against KL without a beta"
    return "gaussian", "values are real numbers; a learned scale weighs reconstruction against KL without a beta"


def conditioned(recipe: Recipe, schema: Schema) -> Schema:
    """``schema`` with the context that ``recipe`` asks for; RecipeError where the data have no such thing."""
    if recipe["context"] == "label" and len(schema.classes) < 2:
        raise RecipeError(
            f"context = 'label' needs data with labels, and these have {len(schema.classes) or 'no'} classes: use folders named after the classes"
        )
    return replace(schema, context=recipe["context"])


def build_vae(recipe: Recipe, schema: Schema) -> VAE:
    """The VAE that ``recipe`` describes, for data of ``schema``; RecipeError where the two do not fit."""
    size, context = recipe["latent_size"], conditioned(recipe, schema).context_size
    if not recipe["likelihood"]:
        recipe = recipe.with_likelihood(choose_likelihood(schema)[0])
    kind = recipe["likelihood"]["kind"]
    if (schema.x_levels == 2) != (kind == "bernoulli"):
        raise RecipeError(_mismatch(kind, schema))
    likelihood = _part(recipe, "likelihood", schema.shape, schema.x_levels)
    if likelihood.discrete and schema.x_levels == 0:
        raise RecipeError(_mismatch(kind, schema))
    _same_space(recipe)
    posterior = _part(recipe, "posterior", size)
    encoder = Encoder(
        _part(recipe, "encoder", schema.shape, posterior.parameter_shape), posterior, mean=torch.full(schema.shape, schema.mean), context_size=context
    )
    latents = _part(recipe, "latents", size, schema.shape, partial(_part, recipe, "encoder"), context)
    decoder = Decoder(_part(recipe, "decoder", (latents.code_size + context,), likelihood.parameter_shape), likelihood, context_size=context)
    return VAE(encoder, decoder, _part(recipe, "prior", size, context), latents=latents)


def build_objective(recipe: Recipe) -> Objective:
    """The objective that ``recipe`` describes; RecipeError where its posterior cannot serve it."""
    kind, posterior = recipe["objective"]["kind"], recipe["posterior"]["kind"]
    if posterior == "point" and OBJECTIVES[kind].needs_density:
        able = ", ".join(repr(name) for name, part in OBJECTIVES.items() if not part.needs_density)
        raise RecipeError(
            f"posterior.kind = 'point' has no density, and objective.kind = {kind!r} needs one: use one of {able}, or posterior.kind = 'diagonal'"
        )
    drawn_only = recipe["latents"]["kind"] == "hamiltonian" or posterior in {"planar", "radial"}
    if drawn_only and recipe["objective"].get("gradient") in {"stl", "dreg"}:
        path = "latents.kind = 'hamiltonian'" if posterior not in {"planar", "radial"} else f"posterior.kind = {posterior!r}"
        raise RecipeError(
            f"objective.gradient = {recipe['objective']['gradient']!r} needs the density of q at points with its parameters held fixed, and {path} knows it only where it drew:"
            " use objective.gradient = 'plain', or posterior.kind = 'maf'"
        )
    objective: Objective = _part(recipe, "objective")
    return objective


def _same_space(recipe: Recipe) -> None:
    """RecipeError where the posterior's codes live where the prior has no density."""
    posterior, prior = recipe["posterior"], recipe["prior"]
    here, there = POSTERIORS[posterior["kind"]].space, PRIORS[prior["kind"]].space
    if here != there:
        fits = [name for name, part in PRIORS.items() if part.space == here]
        raise RecipeError(
            f"posterior.kind = {posterior['kind']!r} draws codes from a {here} space and prior.kind = {prior['kind']!r} has its density on a {there} one:"
            f" use prior.kind = {' or '.join(map(repr, fits[:3]))}"
        )
    if posterior.get("curvature") != prior.get("curvature"):
        raise RecipeError(
            f"posterior.curvature = {posterior['curvature']} and prior.curvature = {prior['curvature']} are two different spaces: make them equal"
        )


def build_trainer(recipe: Recipe) -> Trainer:
    """The trainer that ``recipe`` describes."""
    return Trainer(**recipe["training"])


def _part(recipe: Recipe, axis: str, *structure: Any) -> Any:
    knobs = dict(recipe[axis])
    kind = knobs.pop("kind")
    if knobs.get("schedule"):
        schedule = dict(knobs["schedule"])
        knobs["schedule"] = SCHEDULES[schedule.pop("kind")](**schedule)
    try:
        return AXES[axis][kind](*structure, **knobs)
    except ValueError as error:
        raise RecipeError(f"{axis}.kind = {kind!r}: {error}") from error


def _mismatch(kind: str, schema: Schema) -> str:
    have = "binary pixels" if schema.x_levels == 2 else f"pixels of {schema.x_levels} levels" if schema.x_levels else "real numbers"
    right, why = choose_likelihood(schema)
    more = "; or binarise the data with --binarise dynamic" if kind == "bernoulli" and schema.levels > 2 else ""
    return f"likelihood.kind = {kind!r} does not fit {have}: use {right!r} ({why}){more}"
