"""Recipes for sounds: what names them trains."""

import numpy as np
import pytest
import soundfile
import torch

from vaeworks.data import Data, Options, open_data
from vaeworks.recipes import build_objective, build_trainer, build_vae, choose_likelihood, load_recipe

RATE = 8000
THIN = (
    "encoder.channels=[8,8,16]",
    "decoder.channels=[8,8,16]",
    "latent_size=4",
    "training.batch_size=8",
    "training.epochs=3",
    "training.precision=float32",
)


@pytest.fixture(scope="module", params=["wave", "mel"])
def tones(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Tones of unequal length."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("tones")
    for i in range(24):
        soundfile.write(folder / f"{i}.wav", 0.5 * np.sin(rng.uniform(0.2, 1) * np.arange(rng.integers(800, 1500))), RATE)
    return open_data(folder, options=Options(representation=request.param))


@pytest.mark.parametrize("name", ["sound-wave", "sound-gan", "sound-mel"])
def test_every_recipe_for_sounds_trains_on_tones(name: str, tones: Data) -> None:
    mel = len(tones.schema.shape) == 3
    if name == "sound-gan" and mel:
        overrides = ["encoder.bands=1", "decoder.bands=1", "encoder.stride=2", "decoder.stride=2", "objective.spectral=0", "likelihood.step=1"]
    elif mel != (name == "sound-mel"):
        pytest.skip("a recipe of the other kind of input")
    else:
        overrides = []
    recipe = load_recipe(name, [*THIN, *overrides])
    recipe = recipe if recipe["likelihood"] else recipe.with_likelihood(choose_likelihood(tones.schema)[0])
    torch.manual_seed(0)
    objective = build_objective(recipe)
    history = build_trainer(recipe).fit(build_vae(recipe, tones.schema), objective, tones)
    assert (history.skipped, history.ended) == (0, "finished")
    assert history.lines[-1]["validation_elbo"] > -np.inf
    if name == "sound-gan":
        judge = [p for p in objective.parameters() if p.requires_grad]
        assert judge
        assert all(p.isfinite().all() for p in judge)
        assert np.isfinite([history.lines[-1][f"validation_{term}"] for term in ("deceit", "feature_distance")]).all()
