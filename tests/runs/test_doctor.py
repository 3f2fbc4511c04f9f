"""The doctor on runs that were broken on purpose, on a sound one, and its measures beside closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch.distributions import Independent, Normal

from vaeworks.data import Items, Options
from vaeworks.distributions.mixture import Mixture
from vaeworks.evaluation.latent_use import LatentUse, components, latent_use, two_sample
from vaeworks.priors import MixturePrior
from vaeworks.recipes import parse_recipe
from vaeworks.runs import Run, train_run
from vaeworks.runs.doctor import Patient, diagnose
from vaeworks.runs.doctor.course import course
from vaeworks.runs.doctor.plain import histogram_log_prob, normal_log_prob
from vaeworks.runs.story import Story

SMALL = ("encoder.hidden=[48]", "decoder.hidden=[48]", "latent_size=8")


def trained(*overrides: str, recipe: str = "mlp", options: Options | None = None) -> Patient:
    run = train_run("digits", recipe=recipe, overrides=[*SMALL, *overrides], options=options, device="cpu")
    return patient(run)


def patient(run: Run) -> Patient:
    story = Story(command="vae train digits -o broken", best_step=run.history.best_step, lines=tuple(run.history.lines))
    return Patient.after(run.model, Path("broken"), story, run.figures, run.data.train, run.data.test, "digits", 0)


@pytest.fixture(scope="module")
def sound() -> Patient:
    return trained("training.epochs=60")


def problems(found: Patient) -> set[str]:
    return {finding.name for finding in diagnose(found).problems}


def test_a_sound_model_has_nothing_wrong(sound: Patient) -> None:
    diagnosis = diagnose(sound)
    assert diagnosis.problems == ()
    assert len(diagnosis.examined) == 11
    figures = {one.name: one.figures for one in diagnosis.examined}
    assert figures["latent dimensions"]["active"] == 8
    assert figures["prior"]["auroc"] < 0.75
    assert figures["decoder"]["gain"] > figures["latent dimensions"]["kl"] > 5
    assert figures["learned and new items"]["independent"] < figures["learned and new items"]["learned"]
    assert diagnosis.to_json()["healthy"] is True


@pytest.mark.parametrize(
    ("overrides", "recipe", "options", "expected", "cure"),
    [
        (("objective.beta=200", "training.epochs=12"), "mlp", None, {"posterior collapse", "decoder ignores the code"}, "objective.beta=1"),
        (("training.epochs=150",), "mlp", Options(limit=25), {"overfitting", "few data"}, "training.weight_decay=0.1"),
        (("training.epochs=1",), "mlp", None, {"stopped while improving", "underfitting"}, "training.epochs="),
        (("training.epochs=15",), "autoencoder", None, {"prior mismatch"}, "vae fit-prior broken --kind gmm"),
    ],
    ids=["collapsed", "learned by heart", "cut short", "no prior"],
)
def test_what_is_broken_is_found(overrides: tuple[str, ...], recipe: str, options: Options | None, expected: set[str], cure: str) -> None:
    broken = trained(*overrides, recipe=recipe, options=options)
    diagnosis = diagnose(broken)
    assert expected <= {finding.name for finding in diagnosis.problems}
    commands = [command for finding in diagnosis.problems for command in finding.commands]
    assert any(cure in command for command in commands)
    for finding in diagnosis.findings:
        assert finding.measured.endswith(".")
        assert any(letter.isdigit() for letter in finding.measured), "a number was measured"
    for command in commands:  # every knob that is offered exists, and the recipe takes it
        words = command.split()
        if words[:2] == ["vae", "train"]:
            settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
            parse_recipe(broken.model.recipe.to_toml(), "broken", settings)
            assert words[2] == "digits"
            assert words[-2:] == ["-o", "broken-2"]


def test_a_scale_at_its_bound_is_found(sound: Patient) -> None:
    scale = sound.model.vae.decoder.likelihood.tenth_of_log_scale
    before = scale.data.clone()
    scale.data.fill_(-0.95)
    try:
        assert "scale at its bound" in problems(replace(sound))
    finally:
        scale.data.copy_(before)


def test_items_of_another_kind_are_found(sound: Patient) -> None:
    noise = torch.randint(0, 17, (60, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    strange = replace(sound, held_out=Items(noise), own=sound.held_out)
    assert "data of another kind" in problems(strange)
    assert "overfitting" not in problems(strange), "that is told by the run's own items"


def lines(values: list[float], every: int = 100) -> list[dict[str, float]]:
    return [{"step": every * (i + 1), "epoch": i + 1.0, "validation_elbo": v, "validation_loss": -v} for i, v in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([-100 + 30 * (1 - math.exp(-i / 2)) for i in range(20)], set()),
        ([-100 + i for i in range(20)], {"stopped while improving"}),
        ([-100 + 30 * (1 - math.exp(-i / 2)) - max(0, i - 5) for i in range(20)], {"past its best"}),
        ([math.nan] * 5, {"not finite"}),
        ([-100.0, math.nan, -80.0, -79.99, -79.98, -79.98, -79.98], {"not finite"}),
        ([], set()),
    ],
    ids=["levels off", "still climbs", "falls again", "broken", "once broken", "none"],
)
def test_the_course_of_training_is_read_from_its_curve(sound: Patient, values: list[float], expected: set[str]) -> None:
    found = course(replace(sound, lines=lines(values, 200), best_step=None))
    assert {finding.name for finding in found.findings} == expected


def use_of(drawn: torch.Tensor, prior: torch.Tensor) -> LatentUse:
    empty = torch.zeros(len(drawn))
    return LatentUse(drawn, drawn, prior, None, None, None, None, empty, empty, 0)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_codes_are_told_apart_as_well_as_can_be(shift: float) -> None:
    """Two normals d apart: the best area under the curve is Phi(d / sqrt 2)."""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.randn(1500, 3, generator=generator) for _ in range(2))
    found = two_sample(use_of(ours + torch.tensor([0.0, shift, 0.0]), theirs))
    assert found is not None
    assert found.auroc == pytest.approx(norm.cdf(shift / math.sqrt(2)), abs=0.03)
    assert found.shift == pytest.approx(shift, abs=0.1)
    assert shift == 0 or found.dimension == 1


def test_codes_that_are_too_narrow_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.randn(500, 16, generator=generator) for _ in range(2))
    found = two_sample(use_of(0.5 * ours, theirs))
    assert found is not None
    assert found.auroc > 0.95
    assert found.widest == pytest.approx(0.5, abs=0.1)
    assert two_sample(use_of(ours[:10], theirs[:10])) is None


@pytest.mark.parametrize("alive", [1, 3, 8])
def test_components_without_items_are_counted(alive: int) -> None:
    prior = MixturePrior(2, components=8)
    with torch.no_grad():
        prior.means.copy_(10 * torch.stack([torch.arange(8.0), torch.zeros(8)], 1))
    vae = torch.nn.Module()
    vae.prior = prior
    generator = torch.Generator().manual_seed(0)
    z = prior.means.detach()[torch.arange(400) % alive] + 0.3 * torch.randn(400, 2, generator=generator)
    found = components(vae, z)  # type: ignore[arg-type]
    assert found is not None
    assert (found.count, found.used) == (8, alive)
    assert found.effective == pytest.approx(alive, rel=1e-3)
    assert isinstance(prior(), Mixture)


def test_what_the_latents_are_used_for_agrees_with_closed_forms(sound: Patient) -> None:
    """The KL of every dimension is that of a normal from N(0, 1), and of a code that says nothing it is 0."""
    assert sound.held_out is not None
    found = latent_use(sound.model.vae, sound.held_out, sound.model.schema)
    batch = sound.held_out.batch(sound.model.schema, slice(None))
    with torch.no_grad():
        q = sound.model.vae.encoder(batch.x)
    assert isinstance(q, Independent)
    assert isinstance(q.base_dist, Normal)
    mean, scale = q.base_dist.loc, q.base_dist.scale
    expected = (0.5 * (mean.square() + scale.square() - 1) - scale.log()).mean(0)
    assert found.kl is not None
    torch.testing.assert_close(found.kl, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.activity, mean.var(0), rtol=1e-4, atol=1e-5)
    assert found.spread is not None
    torch.testing.assert_close(found.spread, scale.square().mean(0), rtol=1e-4, atol=1e-6)


def test_independent_coordinates_have_the_probability_of_their_counts() -> None:
    x = torch.tensor([[0.0, 1.0], [0.0, 0.5], [1.0, 1.0]])
    seen = torch.tensor([[True, True], [True, True], [True, False]])
    found = histogram_log_prob(x, seen, 3)
    first, second = [2.5, 0.5, 1.5], [0.5, 1.5, 1.5]  # half a count, and those of each level
    expected = [math.log(first[0] / 4.5) + math.log(second[2] / 3.5), math.log(first[0] / 4.5) + math.log(second[1] / 3.5), math.log(first[2] / 4.5)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_independent_levels_sum_to_one() -> None:
    """256 levels in 16 bins: the probabilities of all levels of a coordinate."""
    grid = torch.arange(256.0)[:, None] / 255
    learned = torch.rand(400, 1, generator=torch.Generator().manual_seed(0)).square()
    found = histogram_log_prob(torch.cat([learned, grid]), torch.ones(656, 1, dtype=torch.bool), 256)[400:]
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-9)


def test_independent_normals_are_scipys() -> None:
    x = torch.randn(50, 2, 3, generator=torch.Generator().manual_seed(0)).double()
    found = normal_log_prob(x, torch.ones_like(x, dtype=torch.bool))
    each = norm.logpdf(x.numpy(), x.mean(0).numpy(), x.std(0, correction=0).numpy())
    np.testing.assert_allclose(found.numpy(), each.sum((1, 2)), rtol=1e-9)


def test_the_diagnosis_is_the_same_twice(sound: Patient) -> None:
    told: Callable[[], object] = lambda: diagnose(replace(sound)).to_json()  # noqa: E731
    assert told() == told()
