"""Comparisons: the same items for all, and intervals that a table of Student's t confirms."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import vaeworks as vw
from vaeworks.data import Options, open_data
from vaeworks.errors import RecipeError, VaeworksError
from vaeworks.runs import compare_recipes, compare_runs, show_comparison

SMALL = ["encoder.hidden=[8]", "decoder.hidden=[8]", "latent_size=2", "training.epochs=1"]
T_2 = {2: 12.706, 3: 4.303}
"""The 97.5 % point of Student's t for so many seeds, from a printed table."""


@pytest.mark.parametrize("seeds", [2, 3])
def test_intervals_over_seeds(seeds: int, tmp_path: Path) -> None:
    options = Options(limit=100)
    result = compare_recipes("digits", ["mlp", "autoencoder"], seeds=seeds, overrides=SMALL, options=options, samples=20, device="cpu", out=tmp_path)
    assert list(result.table) == ["mlp", "autoencoder"]
    assert (result.protocol["items"], result.protocol["seeds"], result.protocol["importance_samples"]) == (10, seeds, 20)
    items = open_data("digits", options=options).test
    elbos = [vw.load(tmp_path / f"mlp-seed{s}").evaluate(items, 20).figures["elbo"].value for s in range(seeds)]
    assert len(set(elbos)) == seeds
    measured = result.table["mlp"]["elbo"]
    assert measured.value == pytest.approx(np.mean(elbos))
    assert measured.half_width == pytest.approx(T_2[seeds] * np.std(elbos, ddof=1) / math.sqrt(seeds), rel=1e-3)
    assert "log_px" not in result.table["autoencoder"]
    assert result.table["autoencoder"]["reconstruction_mse"].value > 0


def test_one_seed_has_intervals_over_items(tmp_path: Path) -> None:
    result = compare_recipes("digits", ["mlp"], seeds=1, overrides=SMALL, options=Options(limit=100), samples=20, device="cpu")
    model = result.models["mlp"]
    error = (model.reconstruct(result.items) - result.items.values / 16).square().flatten(1).mean(1).numpy()
    measured = result.table["mlp"]["reconstruction_mse"]
    assert measured.value == pytest.approx(error.mean(), rel=1e-5)
    assert measured.half_width == pytest.approx(1.96 * error.std(ddof=1) / math.sqrt(10), rel=1e-4)
    assert result.table["mlp"]["code_norm"].value == pytest.approx(float(np.sqrt((model.encode(result.items).numpy() ** 2).mean())), rel=1e-5)
    show_comparison(result, tmp_path / "shown")
    assert sorted(p.name for p in (tmp_path / "shown").iterdir()) == ["latent-mlp.png", "reconstructions.png", "samples.png"]


def test_runs_on_data_of_different_form_are_not_compared(digits_run: Path) -> None:
    other = vw.train("digits:threshold", options=Options(limit=60), overrides=SMALL, device="cpu")
    with pytest.raises(VaeworksError, match="different form"):
        compare_runs({"a": vw.load(digits_run), "b": other}, "digits")


def test_every_recipe_is_checked_before_the_first_one_trains() -> None:
    said: list[str] = []
    with pytest.raises(RecipeError, match="nothing"):
        compare_recipes("digits", ["mlp", "nothing"], overrides=SMALL, options=Options(limit=60), device="cpu", say=said.append)
    assert not said
    with pytest.raises(VaeworksError, match="at least one"):
        compare_recipes("digits", ["mlp"], seeds=0)
