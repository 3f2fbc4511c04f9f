"""Every pair of parts from two axes trains, or is refused as a recipe with the reason: nothing fails on the way."""

from __future__ import annotations

import functools

import pytest
import torch

from vaeworks.data import Data, Options, open_data
from vaeworks.errors import RecipeError
from vaeworks.latents import LATENTS
from vaeworks.model import VAE
from vaeworks.objectives import OBJECTIVES, Objective
from vaeworks.posteriors import POSTERIORS, Known
from vaeworks.priors import PRIORS
from vaeworks.recipes import build_objective, build_vae, conditioned, load_recipe
from vaeworks.recipes.knobs import AXES, knobs
from vaeworks.trace import Batch

SMALL = {"hidden": "[4]", "components": "3", "transforms": "1", "steps": "2", "features": "4", "context": "2"}
AT_HOME = {POSTERIORS[kind].space: kind for kind in ("wrapped-normal", "von-mises-fisher", "diagonal")}
"""A posterior for each space that a prior can live in."""
AWAY = {PRIORS[kind].space: kind for kind in ("wrapped-normal", "sphere", "standard-normal")}
"""A prior for each space that a posterior can live in."""

ON_IMAGES = [kind for kind in OBJECTIVES if kind != "spectral-elbo"]  # which compares waveforms


@functools.cache
def data() -> Data:
    return open_data("digits", options=Options(limit=20))


def small(*overrides: str, **kinds: str) -> tuple[VAE, Objective, Batch]:
    """The parts of these kinds, each as small as its knobs allow, and a few items; everything else as it comes, where the pair can live."""
    if kinds.get("objective") == "semi-supervised":
        kinds = {"latents": "labelled"} | kinds
    labelled = kinds.get("latents") == "labelled"
    if labelled:
        kinds = {"objective": "semi-supervised"} | kinds
    if "posterior" not in kinds:
        kinds["posterior"] = AT_HOME[PRIORS[kinds.get("prior", "standard-normal")].space]
    if "prior" not in kinds:
        kinds["prior"] = AWAY[POSTERIORS[kinds["posterior"]].space]
    if kinds["posterior"] == "point" and "objective" not in kinds:
        kinds["objective"] = "autoencoder"
    chosen = ["latent_size=3", "encoder.hidden=[6]", "decoder.hidden=[6]", "likelihood.kind=discretised-logistic"]
    for axis, kind in kinds.items():
        chosen += [f"{axis}.kind={kind}", *(f"{axis}.{name}={SMALL[name]}" for name in knobs(AXES[axis][kind]) if name in SMALL)]
    recipe = load_recipe("mlp", [*chosen, *(["context=partial-label"] if labelled else []), *overrides])
    schema = conditioned(recipe, data().schema)
    return build_vae(recipe, schema), build_objective(recipe), data().train[:6].batch(schema, slice(None))


def trains(*overrides: str, **kinds: str) -> None:
    """One step of training, as ``Loop`` takes it, changes the model to another finite one; or the recipe is refused."""
    torch.manual_seed(0)
    why = ""
    try:
        vae, objective, batch = small(*overrides, **kinds)
    except RecipeError as refusal:
        why = str(refusal)
    if why:
        assert ".kind = " in why  # it names what contradicts what
        assert ": use " in why  # and the cure
        return
    vae.settle(batch.x.mean(0), batch.x)
    with torch.no_grad():
        objective.settle(vae.eval()(batch), 20)
    vae.train()
    loss = objective(vae(batch, objective.samples), batch)
    (loss.value if loss.opponent is None else loss.value + loss.opponent).backward()
    assert loss.value.isfinite()
    parts = {"encoder": vae.encoder, "decoder": vae.decoder, "objective": objective}
    if type(objective).needs is not Known.NOTHING:
        parts |= {"latents": vae.latents, "prior": vae.prior}
    for part, module in parts.items():
        for name, parameter in module.named_parameters():
            if parameter.requires_grad and name != "likelihood.log_scale":  # which the objectives that are no likelihood leave alone
                assert parameter.grad is not None, f"{part}.{name} is out of reach"
    for name, parameter in (*vae.named_parameters(), *objective.named_parameters()):
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    norm = torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
    assert norm > 0
    with torch.no_grad():
        for parameter in (*vae.parameters(), *objective.parameters()):
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=1e-4)
        assert objective.eval()(vae.eval()(batch, 1), batch).value.isfinite()
        assert vae.generate(2).mean.isfinite().all()


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_posterior_and_prior(posterior: str, prior: str) -> None:
    trains(posterior=posterior, prior=prior)


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("objective", ON_IMAGES)
def test_objective_and_posterior(objective: str, posterior: str) -> None:
    trains(objective=objective, posterior=posterior)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("latents", LATENTS)
def test_latents_and_prior(latents: str, prior: str) -> None:
    trains(latents=latents, prior=prior)


@pytest.mark.parametrize("objective", ON_IMAGES)
@pytest.mark.parametrize("latents", LATENTS)
def test_latents_and_objective(latents: str, objective: str) -> None:
    trains(latents=latents, objective=objective)


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("latents", LATENTS)
def test_latents_and_posterior(latents: str, posterior: str) -> None:
    trains(latents=latents, posterior=posterior)


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
@pytest.mark.parametrize(("axis", "kind"), [*(("posterior", kind) for kind in POSTERIORS), *(("latents", kind) for kind in LATENTS)])
def test_gradients_by_way_of_the_sample(axis: str, kind: str, objective: str) -> None:
    trains("objective.gradient=" + {"elbo": "stl", "iwae": "dreg"}[objective], objective=objective, **{axis: kind})


REFUSED = [
    (
        {"prior": "vamp", "posterior": "planar"},
        "needs the density of q at any point.*'planar' knows it only where it drew: use prior.kind = 'mixture'",
    ),
    ({"prior": "vamp", "posterior": "point"}, "'point' has no density"),
    (
        {"objective": "beta-tc", "posterior": "full"},
        "independent, and posterior.kind = 'full' does not factorise: use .*, or posterior.kind = 'diagonal'",
    ),
    ({"objective": "beta-tc", "latents": "two-stage"}, "latents.kind = 'two-stage' does not factorise: use .*, or latents.kind = 'flat'"),
    ({"objective": "dip", "posterior": "iaf"}, "the covariance of q in closed form, and posterior.kind = 'iaf' has no such form"),
    ({"objective": "dip", "latents": "riemannian"}, "latents.kind = 'riemannian' has no such form"),
    (
        {"latents": "hamiltonian", "posterior": "wrapped-normal"},
        "draws codes from a ball space.*'hamiltonian' live in a flat one: use latents.kind = 'flat'",
    ),
    (
        {"latents": "riemannian", "posterior": "point"},
        "latents.kind = 'riemannian' needs the density of q, and posterior.kind = 'point' has no density",
    ),
]


@pytest.mark.parametrize(("kinds", "why"), REFUSED)
def test_the_reason_is_given(kinds: dict[str, str], why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        small(**kinds)


ACCEPTED = [
    *({"prior": "vamp", "posterior": kind} for kind in ("diagonal", "full", "low-rank", "iaf", "maf", "spline")),
    *({"objective": "dip", "posterior": kind} for kind in ("diagonal", "full", "low-rank")),
    *({"latents": kind, "posterior": "planar"} for kind in ("two-level", "two-stage", "hamiltonian", "riemannian")),
    {"latents": "two-stage", "posterior": "point"},
    {"latents": "labelled", "posterior": "spline"},
    *({"objective": "beta-tc", "latents": kind} for kind in ("flat", "two-level")),
    *({"objective": kind, "posterior": "point"} for kind in ("autoencoder", "wae", "adversarial", "regularised")),
]


@pytest.mark.parametrize("kinds", ACCEPTED)
def test_no_more_is_refused_than_must_be(kinds: dict[str, str]) -> None:
    small(**kinds)
