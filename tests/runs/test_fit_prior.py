"""A prior fitted to the codes of a trained model."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

import vaeworks as vw
from vaeworks.data import Items, Options
from vaeworks.errors import RecipeError, VaeworksError
from vaeworks.recipes import build_vae, load_recipe
from vaeworks.runs import KINDS, fit_prior


@pytest.fixture(scope="module")
def model(digits_run: Path) -> vw.Model:
    return vw.load(digits_run)


@pytest.fixture(scope="module")
def parts(model: vw.Model) -> dict[str, Items]:
    return {split: model.items("digits", Options(split=split)) for split in ("train", "validation", "test")}  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["gmm", "realnvp", "maf"])
def test_it_gains_what_it_says_and_leaves_the_rest_alone(kind: str, model: vw.Model, parts: dict[str, Items]) -> None:
    before = {name: value.clone() for name, value in model.vae.state_dict().items()}
    fitted = fit_prior(model, parts["train"], parts["validation"], kind=kind, steps=200)
    assert fitted.after > fitted.before
    old, new = (m.log_prob(parts["test"], 50).elbo.mean().item() for m in (model, fitted.model))
    assert new - old == pytest.approx(fitted.after - fitted.before, abs=1.0)  # the ELBO gains it: measured on other items
    assert fitted.model.recipe["prior"]["kind"] == KINDS[kind]
    after = fitted.model.vae.state_dict()
    for name, value in before.items():
        assert torch.equal(model.vae.state_dict()[name], value)
        if not name.startswith("prior."):
            assert torch.equal(after[name], value)


def test_a_mixture_finds_the_clusters(model: vw.Model, parts: dict[str, Items]) -> None:
    """Codes drawn from the fitted prior follow the codes of items, as those of N(0, I) do not: Kolmogorov-Smirnov in every dimension."""
    fitted = fit_prior(model, parts["train"], parts["validation"], kind="gmm", overrides=["prior.components=20"]).model
    with torch.no_grad():
        batch = next(parts["train"].batches(model.schema, 2000))
        codes = model.vae.latents.infer(model.vae, batch, 1)[0].z[0].numpy()
        torch.manual_seed(0)
        distances = [
            np.mean([scipy.stats.ks_2samp(codes[:, d], m.vae.prior.draw(2000)[:, d].numpy()).statistic for d in range(codes.shape[1])])
            for m in (model, fitted)
        ]
    assert distances[1] < distances[0]


def test_it_is_the_models_own_prior_when_loaded(model: vw.Model, parts: dict[str, Items], tmp_path: Path) -> None:
    fitted = fit_prior(model, parts["train"], parts["validation"], kind="realnvp", steps=20).model
    fitted.save(tmp_path / "m")
    loaded = vw.load(tmp_path / "m")
    torch.testing.assert_close(loaded.sample(4, seed=1), fitted.sample(4, seed=1))
    torch.testing.assert_close(loaded.log_prob(parts["test"][:20], 10).value, fitted.log_prob(parts["test"][:20], 10).value)


def test_the_same_seed_gives_the_same_prior(model: vw.Model, parts: dict[str, Items]) -> None:
    first, second = (fit_prior(model, parts["train"], parts["validation"], kind="maf", steps=10, seed=4) for _ in range(2))
    assert first.after == second.after


def test_a_plain_autoencoder_gets_something_to_draw_from(parts: dict[str, Items]) -> None:
    plain = vw.train("digits", recipe="autoencoder", overrides=["training.epochs=3"])
    fitted = fit_prior(plain, parts["train"], parts["validation"], kind="gmm")
    assert fitted.after > fitted.before
    assert fitted.model.sample(5, seed=0).shape == (5, 1, 8, 8)


def test_what_cannot_be_fitted_is_refused(model: vw.Model, parts: dict[str, Items]) -> None:
    with pytest.raises(VaeworksError, match="--kind 'gm' is unknown: choose one of gmm, realnvp"):
        fit_prior(model, parts["train"], parts["validation"], kind="gm")
    with pytest.raises(RecipeError, match=r"unknown recipe key 'prior\.component'"):
        fit_prior(model, parts["train"], parts["validation"], kind="gmm", overrides=["prior.component=3"])


def test_a_second_stage_replaces_the_prior_in_samples_and_log_p(model: vw.Model, parts: dict[str, Items], tmp_path: Path) -> None:
    """What it gains over N(0, I) on codes the ELBO gains on items; encoder and decoder stay; it survives its file; and another prior takes its place."""
    before = {name: value.clone() for name, value in model.vae.state_dict().items()}
    fitted = fit_prior(model, parts["train"], parts["validation"], kind="two-stage", overrides=["latents.hidden=[64]"], steps=600)
    assert fitted.after > fitted.before
    assert (fitted.model.recipe["latents"]["kind"], fitted.model.recipe["prior"]["kind"]) == ("two-stage", "standard-normal")
    old, new = (m.log_prob(parts["test"], 50) for m in (model, fitted.model))
    assert new.elbo.mean() - old.elbo.mean() == pytest.approx(fitted.after - fitted.before, abs=1.0)
    assert new.value.mean() > new.elbo.mean()
    after = fitted.model.vae.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items() if name.startswith(("encoder.", "decoder.")))
    fitted.model.save(tmp_path / "m")
    assert torch.equal(vw.load(tmp_path / "m").sample(4, seed=1), fitted.model.sample(4, seed=1))
    again = fit_prior(fitted.model, parts["train"], parts["validation"], kind="gmm").model
    assert (again.recipe["latents"]["kind"], again.recipe["prior"]["kind"]) == ("flat", "mixture")


def test_a_plain_autoencoder_gets_a_second_stage(parts: dict[str, Items]) -> None:
    """Samples' codes are nearer to the items' codes than those of N(0, I): Kolmogorov-Smirnov, dimension by dimension."""
    plain = vw.train("digits", recipe="autoencoder", overrides=["training.epochs=3"])
    fitted = fit_prior(plain, parts["train"], parts["validation"], kind="two-stage", overrides=["latents.hidden=[64]"], steps=300).model
    codes = plain.encode(parts["train"]).numpy()
    with torch.no_grad():
        torch.manual_seed(0)
        drawn = [m.vae.latents.generate(m.vae.prior, 2000).numpy() for m in (plain, fitted)]
    distances = [np.mean([scipy.stats.ks_2samp(codes[:, d], z[:, d]).statistic for d in range(codes.shape[1])]) for z in drawn]
    assert distances[1] < 0.5 * distances[0]
    assert fitted.sample(5, seed=0).shape == (5, 1, 8, 8)


@pytest.mark.parametrize("latents", ["two-level", "hamiltonian", "riemannian"])
def test_latents_without_codes_of_their_own_are_refused(latents: str, model: vw.Model, parts: dict[str, Items]) -> None:
    recipe = load_recipe("mlp", [f"latents.kind={latents}", "encoder.hidden=[8]", "decoder.hidden=[8]"])
    moved = vw.Model(build_vae(recipe, model.schema), model.schema, recipe)
    with pytest.raises(VaeworksError, match="one latent vector" if latents == "two-level" else "move with the prior"):
        fit_prior(moved, parts["train"], parts["validation"], kind="two-stage", steps=1)
