"""Recipe + Schema -> objects. The only place that knows every axis."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

import torch

from vaeworks.errors import RecipeError
from vaeworks.latents import LATENTS, Latents
from vaeworks.model import VAE, AudioSchema, Decoder, Encoder, ImageSchema, Schema, TableSchema, TextSchema
from vaeworks.networks.sequences import AutoregressiveDecoder
from vaeworks.objectives import OBJECTIVES, SCHEDULES, Objective
from vaeworks.posteriors import POSTERIORS, Known, Posterior
from vaeworks.priors import PRIORS
from vaeworks.recipes.knobs import AXES
from vaeworks.recipes.recipe import Recipe
from vaeworks.training import Trainer

__all__ = ["build_objective", "build_trainer", "build_vae", "choose_likelihood", "choose_recipe", "conditioned"]

NEEDS: Final = {
    Known.DRAWN: ("the density of q", "has none"),
    Known.DENSITY: ("the density of q at any point, its parameters held fixed", "knows it only where it drew"),
    Known.MOMENTS: ("the mean and the covariance of q in closed form", "has no such form"),
    Known.FACTORS: ("a q whose dimensions are independent", "does not factorise"),
}
"""What is needed of q, and what is wrong with a part that falls short of it."""

KIND_LIKELIHOODS: Final = {
    "text": ("tokens", "an item is a string of tokens with an end"),
    "audio": ("sound", "an item is a sound with an end; learned scales weigh reconstruction against KL without a beta"),
    "table": ("table", "each column has a likelihood of its own kind, and log p(x) of a row is their sum"),
}
"""The likelihoods of items that are no pictures, and why they serve."""


def choose_recipe(schema: Schema) -> tuple[str, str]:
    """The recipe for data of this kind, and why."""
    if isinstance(schema, TextSchema):
        return "text", f"text of up to {schema.shape[0] - 1} {schema.unit} an item calls for a network that reads sequences"
    if isinstance(schema, AudioSchema):
        what = "log-mel spectrograms" if schema.representation == "mel" else "waveforms"
        return f"sound-{schema.representation}", f"sounds are modelled as {what} of {'x'.join(map(str, schema.shape))}"
    if isinstance(schema, TableSchema):
        return "table", f"rows of {schema.dimensions} columns call for a fully connected network"
    _, height, width = schema.shape
    if max(height, width) <= 12:
        return "mlp", f"images of {height}x{width} are small enough for a fully connected network"
    return "conv", f"images of {height}x{width} call for convolutions"


def choose_likelihood(schema: Schema) -> tuple[str, str]:
    """The likelihood for data of this kind, and why."""
    if schema.kind in KIND_LIKELIHOODS:
        return KIND_LIKELIHOODS[schema.kind]
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
    context = recipe["context"]
    if context in {"label", "partial-label"} and len(schema.classes) < 2:
        raise RecipeError(
            f"context = {context!r} needs data with labels, and these have {len(schema.classes) or 'no'} classes: use folders named after the classes"
        )
    if context == "vector" and not schema.columns:
        raise RecipeError(
            "context = 'vector' needs data with numbers beside the items, and these have none: use an .npz with an array 'context' (N, C)"
        )
    return replace(schema, context=context)


def build_vae(recipe: Recipe, schema: Schema) -> VAE:
    """The VAE that ``recipe`` describes, for data of ``schema``; RecipeError where the two do not fit."""
    _labels_are_inferred(recipe)
    size, context = recipe["latent_size"], conditioned(recipe, schema).context_size
    told = 0 if recipe["context"] == "partial-label" else context  # a label that may be unknown is inferred, and part of the code
    if not recipe["likelihood"]:
        recipe = recipe.with_likelihood(choose_likelihood(schema)[0])
    kind = recipe["likelihood"]["kind"]
    right = KIND_LIKELIHOODS.get(schema.kind)
    if right is not None and kind != right[0]:
        raise RecipeError(_mismatch(kind, schema))
    if right is None and (kind in {name for name, _ in KIND_LIKELIHOODS.values()} or (schema.x_levels == 2) != (kind == "bernoulli")):
        raise RecipeError(_mismatch(kind, schema))
    likelihood = _part(recipe, "likelihood", schema.shape, schema.support)
    if likelihood.discrete and right is None and schema.x_levels == 0:
        raise RecipeError(_mismatch(kind, schema))
    _same_space(recipe)
    kind = recipe["latents"]["kind"]
    _known_of_q(recipe, f"latents.kind = {kind!r}", LATENTS[kind].needs, "latents.kind = 'flat'", "posterior")
    if recipe["prior"]["kind"] == "vamp":
        _known_of_q(recipe, "prior.kind = 'vamp'", Known.DENSITY, "prior.kind = 'mixture'", "posterior")
    _numbers_are_read(recipe, schema)
    posterior = _part(recipe, "posterior", size)
    encoder = Encoder(
        _part(recipe, "encoder", schema.input_shape, posterior.parameter_shape),
        posterior,
        mean=torch.full(schema.input_shape, schema.mean),
        context_size=context,
        view=schema.view(),
    )
    latents = _part(recipe, "latents", size, schema.input_shape, partial(_part, recipe, "encoder"), context)
    decoder = Decoder(_part(recipe, "decoder", (latents.code_size + told,), likelihood.parameter_shape), likelihood, context_size=told)
    return VAE(encoder, decoder, _part(recipe, "prior", size, told), latents=latents)


def build_objective(recipe: Recipe) -> Objective:
    """The objective that ``recipe`` describes; RecipeError where its posterior cannot serve it."""
    kind, posterior = recipe["objective"]["kind"], recipe["posterior"]["kind"]
    if posterior == "point" and OBJECTIVES[kind].needs is not Known.NOTHING:
        able = ", ".join(repr(name) for name, part in OBJECTIVES.items() if part.needs is Known.NOTHING)
        raise RecipeError(
            f"posterior.kind = 'point' has no density, and objective.kind = {kind!r} needs one: use one of {able}, or posterior.kind = 'diagonal'"
        )
    gradient = recipe["objective"].get("gradient")
    if gradient in {"stl", "dreg"}:
        _known_of_q(recipe, f"objective.gradient = {gradient!r}", Known.DENSITY, "objective.gradient = 'plain'", "posterior", "latents")
    _known_of_q(recipe, f"objective.kind = {kind!r}", OBJECTIVES[kind].needs, "objective.kind = 'factor'", "posterior", "latents")
    labelled = recipe["latents"]["kind"] == "labelled"
    if labelled != (kind == "semi-supervised"):
        why = "gives q(y | x) no gradient" if labelled else f"weighs labels, which latents.kind = {recipe['latents']['kind']!r} does not infer"
        raise RecipeError(
            f"objective.kind = {kind!r} {why}: use objective.kind = {'semi-supervised' if labelled else 'elbo'!r}, or --recipe m2 as it is"
        )
    objective: Objective = _part(recipe, "objective")
    return objective


def _labels_are_inferred(recipe: Recipe) -> None:
    """RecipeError where labels that may be unknown meet latents that cannot infer them, or the other way round, or a prior that needs to be told them."""
    kind, context = recipe["latents"]["kind"], recipe["context"]
    if (kind == "labelled") != (context == "partial-label"):
        raise RecipeError(
            f"latents.kind = {kind!r} and context = {context!r} do not go together: labels that may be unknown are context = 'partial-label' with"
            " latents.kind = 'labelled', as in --recipe m2"
        )
    if kind == "labelled" and recipe["prior"]["kind"] == "vamp":
        raise RecipeError(
            "prior.kind = 'vamp' encodes its pseudo-inputs, and latents.kind = 'labelled' encodes with a label that they lack: use prior.kind = 'mixture'"
        )


def _numbers_are_read(recipe: Recipe, schema: Schema) -> None:
    """RecipeError where an encoder that reads tokens, or rows, meets a part that gives it numbers of its own."""
    if schema.kind == "table" and recipe["prior"]["kind"] == "vamp":
        raise RecipeError("prior.kind = 'vamp' has numbers of its own encoded, and the items are rows of a table: use prior.kind = 'mixture'")
    if not getattr(AXES["encoder"][recipe["encoder"]["kind"]], "reads_tokens", False):
        return
    for axis, kinds, usual in (("prior", {"vamp"}, "mixture"), ("latents", {"two-level", "labelled", "riemannian"}, "flat")):
        kind = recipe[axis]["kind"]
        if kind in kinds:
            raise RecipeError(
                f"{axis}.kind = {kind!r} has items encoded as numbers, and encoder.kind = {recipe['encoder']['kind']!r} reads tokens:"
                f" use {axis}.kind = {usual!r}, or encoder.kind = 'mlp'"
            )


def _known_of_q(recipe: Recipe, asker: str, need: Known, cure: str, *axes: str) -> None:
    """RecipeError where the part on one of ``axes`` makes a q of which less is known than ``asker`` needs."""
    for axis in axes:
        kind, parts = recipe[axis]["kind"], cast(dict[str, type[Posterior] | type[Latents]], AXES[axis])
        known = parts[kind].known
        if known < need:
            what, fault = NEEDS[need]
            fault = "has no density" if known is Known.NOTHING else fault
            able = next(name for name, part in parts.items() if part.known >= need)
            raise RecipeError(f"{asker} needs {what}, and {axis}.kind = {kind!r} {fault}: use {cure}, or {axis}.kind = {able!r}")


def _same_space(recipe: Recipe) -> None:
    """RecipeError where the posterior's codes live where the prior has no density, or the latents no way."""
    posterior, prior, latents = recipe["posterior"], recipe["prior"], recipe["latents"]["kind"]
    here, there = POSTERIORS[posterior["kind"]].space, PRIORS[prior["kind"]].space
    if LATENTS[latents].space not in {"any", here}:
        raise RecipeError(
            f"posterior.kind = {posterior['kind']!r} draws codes from a {here} space, and the codes of latents.kind = {latents!r} live in a flat one:"
            " use latents.kind = 'flat', or posterior.kind = 'diagonal'"
        )
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
    """The trainer that ``recipe`` describes; RecipeError where it hides what the decoder cannot do without."""
    hide, kind = recipe["training"].get("hide", 0.0), recipe["decoder"]["kind"]
    if hide and issubclass(AXES["decoder"][kind], AutoregressiveDecoder):
        raise RecipeError(
            f"training.hide = {hide} asks for the probability of texts with gaps, a sum over all that may stand there, which decoder.kind = {kind!r}, writing token by token,"
            " cannot take: use decoder.kind = 'parallel', or training.hide = 0; `vae impute` fills gaps of any model of text"
        )
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
    pixels = "binary pixels" if schema.x_levels == 2 else f"pixels of {schema.x_levels} levels" if schema.x_levels else "real numbers"
    have = pixels if schema.kind == "image" else schema.kind
    right, why = choose_likelihood(schema)
    more = "; or binarise the data with --binarise dynamic" if kind == "bernoulli" and isinstance(schema, ImageSchema) and schema.levels > 2 else ""
    return f"likelihood.kind = {kind!r} does not fit {have}: use {right!r} ({why}){more}"
