"""Recipes: every built-in one builds and trains; every mistake in one is named, with what would be right."""

from __future__ import annotations

import runpy
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vaeworks.data import Options, open_data
from vaeworks.errors import RecipeError
from vaeworks.model import ImageSchema
from vaeworks.objectives import Cyclical
from vaeworks.recipes import (
    build_objective,
    build_trainer,
    build_vae,
    choose_likelihood,
    choose_recipe,
    conditioned,
    load_recipe,
    measured,
    parse_override,
    parse_recipe,
    recipe_names,
)

BINARY = ImageSchema((1, 8, 8), "L", 2, binarisation="static")
GREY = ImageSchema((1, 8, 8), "L", 17)
REAL = ImageSchema((1, 8, 8), "", 0)
THINNER = {"conv": ("[4, 8]", "[16]"), "mlp": (None, "[16]")}


def thin(name: str) -> list[str]:
    """Overrides that make a recipe's networks small, for speed, and leave their kind alone."""
    recipe, found = load_recipe(name), []
    for part in ("encoder", "decoder"):
        channels, hidden = THINNER[recipe[part]["kind"]]
        found += [f"{part}.hidden={hidden}"] + ([f"{part}.channels={[4] * len(recipe[part]['channels'])}"] if channels else [])
    return found


IMAGES = [name for name in recipe_names() if load_recipe(name)["data"] == "image"]


@pytest.mark.parametrize("name", IMAGES)
def test_every_recipe_for_images_trains_on_digits(name: str) -> None:
    data = open_data("digits", options=Options(limit=60, size=28 if name == "article-conv" else None))  # made for 28 x 28
    recipe = load_recipe(name, [*thin(name), "training.epochs=2", "training.batch_size=16"])
    recipe = recipe if recipe["likelihood"] else recipe.with_likelihood(choose_likelihood(data.schema)[0])
    torch.manual_seed(0)
    data = replace(data, schema=conditioned(recipe, data.schema))
    vae = build_vae(recipe, data.schema)
    before = [p.clone() for p in vae.parameters()]
    history = build_trainer(recipe).fit(vae, build_objective(recipe), data)
    assert history.steps == 6
    assert history.skipped == 0
    assert all(np.isfinite(v) for line in history.lines for v in line.values())
    assert any(not torch.equal(a, b) for a, b in zip(before, vae.parameters(), strict=True))
    assert vae.generate(2, data.schema.to_context(torch.arange(2))).mean.shape == (2, *data.schema.shape)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_its_file(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    (tmp_path / "mine.toml").write_text(recipe.to_toml())
    again = load_recipe(str(tmp_path / "mine.toml"))
    assert again.values == recipe.values
    assert again.to_toml() == recipe.to_toml()
    assert recipe.name == name
    assert recipe["summary"]
    own = {"sound-wave": 32, "sound-gan": 32}
    assert tomllib.loads(recipe.to_toml())["training"]["batch_size"] == own.get(name, {"text": 64, "table": 256}.get(recipe["data"], 128))


def test_overrides_survive_the_file() -> None:
    overrides = ["objective.schedule.kind=cyclical", "objective.schedule.cycles=3", "training.epochs=7", "likelihood.kind=bernoulli"]
    recipe = load_recipe("mlp", overrides)
    again = parse_recipe(recipe.to_toml(), "x.toml")
    assert again.values == recipe.values
    schedule = build_objective(again).schedule
    assert isinstance(schedule, Cyclical)
    assert schedule.cycles == 3
    assert build_trainer(again).epochs == 7


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("objective.beta=4", ["objective", "beta"], 4),
        ("objective.beta=4.5", ["objective", "beta"], 4.5),
        ("objective.analytic=false", ["objective", "analytic"], False),
        ("encoder.hidden=[1, 2]", ["encoder", "hidden"], [1, 2]),
        ("likelihood.kind=bernoulli", ["likelihood", "kind"], "bernoulli"),
        ('likelihood.kind="bernoulli"', ["likelihood", "kind"], "bernoulli"),
        (" latent_size = 3 ", ["latent_size"], 3),
        ("summary=a = b", ["summary"], "a = b"),
        ("training.learning_rate=1e-3", ["training", "learning_rate"], 0.001),
        ("name=", ["name"], ""),
        ("name=1\nlatent_size = 5", ["name"], "1\nlatent_size = 5"),  # one override sets one knob
    ],
)
def test_overrides_are_read_as_toml(text: str, path: list[str], value: object) -> None:
    assert parse_override(text) == (path, value)


# override -> what the message must hold: the key, the value, the choices, what was meant
MISTAKES: dict[str, list[str]] = {
    "objective.beta=-1": ["objective.beta = -1", "greater than or equal to 0"],
    "objective.beta=much": ["objective.beta = 'much'", "number"],
    "objective.betta=4": ["unknown recipe key 'objective.betta'", "did you mean 'beta'?", "free_bits", "schedule"],
    "objective.kind=elb": ["objective.kind = 'elb' is unknown", "did you mean 'elbo'?", "autoencoder"],
    "objective.schedule.kind=linaer": ["objective.schedule.kind = 'linaer'", "did you mean 'linear'?", "cyclical"],
    "objective.schedule.cycles=3": ["objective.schedule", "constant, linear, cyclical"],
    "encoder.kind=mpl": ["encoder.kind = 'mpl' is unknown", "did you mean 'mlp'?", "conv"],
    "encoder.kind=perceiver": ["encoder.kind = 'perceiver' is unknown", "choose one of mlp, conv"],
    "encoder.hiden=[3]": ["unknown recipe key 'encoder.hiden'", "did you mean 'hidden'?", "activation"],
    "encoder.hidden=[3, -1]": ["encoder.hidden.1 = -1", "greater than 0"],
    "encoder.hidden=3": ["encoder.hidden = 3"],
    "encoder.activation=rellu": ["encoder.activation = 'rellu'", "'relu'"],
    "encoder=mlp": ["encoder"],
    "latent_size=0": ["latent_size = 0", "greater than 0"],
    "latent_size=2.5": ["latent_size = 2.5", "integer"],
    "latents_size=2": ["unknown recipe key 'latents_size'", "did you mean 'latent_size'?"],
    "likelihood.kind=gausian": ["likelihood.kind = 'gausian' is unknown", "did you mean 'gaussian'?", "bernoulli"],
    "posterior.kind=flow": ["posterior.kind = 'flow' is unknown", "diagonal, "],
    "prior.kind=vampp": ["prior.kind = 'vampp' is unknown", "did you mean 'vamp'?", "standard-normal"],
    "training.epoch=3": ["unknown recipe key 'training.epoch'", "did you mean 'epochs'?"],
    "training.epochs=0": ["training.epochs = 0", "greater than 0"],
    "training.learning_rate=0": ["training.learning_rate = 0", "greater than 0"],
    "training.ema=1": ["training.ema = 1", "less than 1"],
    "training.precision=fp8": ["training.precision = 'fp8'", "'auto', 'float32' or 'bf16'"],
    "training=5": ["training = 5"],
    "trainig.epochs=3": ["unknown recipe key 'trainig'", "did you mean 'training'?"],
    "latent_size.x=3": ["--set latent_size.x", "'latent_size' is a value"],
    "objective.beta": ["--set 'objective.beta' is not of the form key=value", "objective.beta=4"],
    "=3": ["is not of the form key=value"],
    "encoder..hidden=3": ["encoder"],
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_is_named_with_its_cure(override: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("mlp", [override])
    for part in MISTAKES[override]:
        assert part in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("mlp", ["latent_size=0", "objective.beta=-1", "encoder.hiden=[1]"])
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("mpl", ["no recipe 'mpl'", "did you mean 'mlp'?", "conv"]),
        ("nothing.toml", ["no recipe 'nothing.toml'", "must exist"]),
        ("", ["no recipe ''"]),
    ],
)
def test_an_unknown_recipe(name: str, parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)
    assert all(part in str(caught.value) for part in parts)


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe\x00", b"latent_size = 3", b"[encoder]\nkind = 'mlp'", b"encoder = 3\ndecoder = 4"])
def test_a_file_that_is_no_recipe(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError):
        load_recipe(str(path))


def test_another_part_takes_its_own_defaults() -> None:
    """conv -> mlp: the channels of the one are no knobs of the other."""
    recipe = load_recipe("conv", ["encoder.kind=mlp", "encoder.hidden=[5]"])
    assert recipe["encoder"]["kind"] == "mlp"
    assert list(recipe["encoder"]["hidden"]) == [5]
    assert "channels" not in recipe["encoder"]
    assert load_recipe("conv", ["encoder.kind=conv"])["encoder"] == load_recipe("conv")["encoder"]


@pytest.mark.parametrize(
    ("kind", "schema", "right"),
    [
        ("bernoulli", GREY, "discretised-logistic"),
        ("bernoulli", REAL, "gaussian"),
        ("discretised-logistic", BINARY, "bernoulli"),
        ("discretised-logistic", REAL, "gaussian"),
        ("gaussian", BINARY, "bernoulli"),
        ("categorical", REAL, "gaussian"),
    ],
)
def test_a_likelihood_that_does_not_fit_is_refused_with_the_reason(kind: str, schema: ImageSchema, right: str) -> None:
    with pytest.raises(RecipeError) as caught:
        build_vae(load_recipe("mlp", [f"likelihood.kind={kind}"]), schema)
    assert f"likelihood.kind = {kind!r} does not fit" in str(caught.value)
    assert f"use {right!r}" in str(caught.value)
    assert ("--binarise" in str(caught.value)) == (kind == "bernoulli" and schema is GREY)


@pytest.mark.parametrize(("schema", "kind"), [(BINARY, "bernoulli"), (GREY, "discretised-logistic"), (REAL, "gaussian")])
def test_the_likelihood_is_chosen_from_the_data(schema: ImageSchema, kind: str) -> None:
    assert choose_likelihood(schema)[0] == kind
    assert type(build_vae(load_recipe("mlp"), schema)) is type(build_vae(load_recipe("mlp", [f"likelihood.kind={kind}"]), schema))


def test_the_recipe_is_chosen_from_the_size() -> None:
    assert choose_recipe(GREY)[0] == "mlp"
    assert choose_recipe(ImageSchema((3, 32, 32), "RGB", 256))[0] == "conv"


CONTRADICTIONS: dict[tuple[str, ...], str] = {
    ("posterior.kind=point",): r"posterior\.kind = 'point' has no density, and objective\.kind = 'elbo' needs one: use one of 'autoencoder', 'wae'",
    ("posterior.kind=point", "objective.kind=iwae"): r"objective\.kind = 'iwae' needs one",
    ("posterior.kind=von-mises-fisher",): r"draws codes from a sphere space .* use prior\.kind = 'sphere'",
    ("prior.kind=sphere",): r"has its density on a sphere one: use prior\.kind = 'standard-normal'",
    ("posterior.kind=wrapped-normal", "prior.kind=wrapped-normal", "prior.curvature=2"): "two different spaces: make them equal",
    (
        "posterior.kind=planar",
        "objective.kind=iwae",
        "objective.gradient=dreg",
    ): r"posterior\.kind = 'planar' knows it only where it drew: use objective\.gradient = 'plain'",
    ("latents.kind=hamiltonian", "objective.gradient=stl"): r"latents\.kind = 'hamiltonian' knows it only where it drew",
}


@pytest.mark.parametrize("overrides", CONTRADICTIONS)
def test_parts_that_contradict_each_other(overrides: tuple[str, ...]) -> None:
    recipe = load_recipe("mlp", overrides)

    def build() -> None:
        build_vae(recipe, GREY)
        build_objective(recipe)

    with pytest.raises(RecipeError, match=CONTRADICTIONS[overrides]):
        build()


@pytest.mark.parametrize("posterior", ["diagonal", "iaf", "low-rank"])
@pytest.mark.parametrize("prior", ["vamp", "spline"])
@pytest.mark.parametrize("objective", ["iwae", "beta-tc", "info"])
def test_combinations_that_nobody_named(posterior: str, prior: str, objective: str) -> None:
    """They train, or are refused with the reason."""
    data = open_data("digits", options=Options(limit=60))
    kinds = [f"posterior.kind={posterior}", f"prior.kind={prior}", f"objective.kind={objective}", "likelihood.kind=discretised-logistic"]
    small = ["training.epochs=1", "training.batch_size=16", "latent_size=3", *thin("mlp")]
    recipe = load_recipe("mlp", [*kinds, *small, *(["prior.components=10"] if prior == "vamp" else [])])
    if objective == "beta-tc" and posterior != "diagonal":
        with pytest.raises(RecipeError, match="does not factorise"):
            build_objective(recipe)
        return
    history = build_trainer(recipe).fit(build_vae(recipe, data.schema), build_objective(recipe), data)
    assert history.steps == 3
    assert history.skipped == 0


def test_a_recipe_changes_another(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('base = "beta-vae"\nlatent_size = 5\n[objective]\nbeta = 2.5\nfree_bits = 0.1\n[prior]\nkind = "mixture"\n')
    mine, base = load_recipe(str(tmp_path / "mine.toml")), load_recipe("beta-vae")
    assert (mine["latent_size"], mine["objective"]["beta"], mine["objective"]["free_bits"]) == (5, 2.5, 0.1)
    assert mine["encoder"] == base["encoder"] == load_recipe("mlp")["encoder"]
    assert mine["prior"]["kind"] == "mixture"
    (tmp_path / "wrong.toml").write_text('base = "betta"\n')
    with pytest.raises(RecipeError, match=r"base = 'betta' is no built-in recipe; those are adversarial-autoencoder"):
        load_recipe(str(tmp_path / "wrong.toml"))


def test_measured_figures_are_those_of_the_script_and_of_recipes_that_exist() -> None:
    """The protocol told is the one that ``benchmarks/recipes.py`` follows now; models with a density are told in nats, the others not."""
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/recipes.py"))
    found = measured()
    assert found["protocol"] == script["PROTOCOL"]
    assert found["figures"]
    assert set(found["figures"]) <= set(recipe_names())
    for name, figure in found["figures"].items():
        assert np.isfinite([figure["value"], figure["standard_error"]]).all()
        assert figure["standard_error"] > 0
        assert (figure["unit"] == "nats") == (load_recipe(name)["posterior"]["kind"] != "point")
