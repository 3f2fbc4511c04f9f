"""Named combinations of parts, as TOML; from a recipe and a schema to objects."""

from vaeworks.recipes.build import build_objective, build_trainer, build_vae, choose_likelihood, choose_recipe, conditioned
from vaeworks.recipes.recipe import Recipe, load_recipe, measured, parse_override, parse_recipe, recipe_names

__all__ = [
    "Recipe",
    "build_objective",
    "build_trainer",
    "build_vae",
    "choose_likelihood",
    "choose_recipe",
    "conditioned",
    "load_recipe",
    "measured",
    "parse_override",
    "parse_recipe",
    "recipe_names",
]
