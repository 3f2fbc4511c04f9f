"""What ``vae evaluate`` measures on demand: each study on a linear-Gaussian model about which everything is known, and what it refuses."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from typing import Any

import pytest
import torch

from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.data import Items
from vaeworks.errors import VaeworksError
from vaeworks.evaluation import STUDIES, Figure, Setting, further
from vaeworks.model import ImageSchema
from vaeworks.recipes import build_vae, load_recipe

EVENT = (1, 8, 8)
SCHEMA = ImageSchema(EVENT, "L", 0)


def linear(**changes: Any) -> LinearGaussian:
    torch.manual_seed(0)
    return dataclasses.replace(LinearGaussian.random(64, 2, dtype=torch.float32), **changes)


def setting(model: LinearGaussian, items: Items, *, samples: int = 50, temperatures: int = 1000, **bent: float) -> Setting:
    return Setting(model.vae(event=EVENT, **bent), SCHEMA, items, samples=samples, temperatures=temperatures)


def items_of(x: torch.Tensor, labels: torch.Tensor | None = None) -> Items:
    return Items(x.view(-1, *EVENT), labels)


def values(figures: dict[str, Figure]) -> dict[str, float]:
    return {name: figure.value for name, figure in figures.items()}


def test_annealing_finds_what_importance_sampling_misses() -> None:
    model = linear()
    x = model.sample(30)
    found = further(setting(model, items_of(x), temperatures=40, inflate=0.2, shift=8.0), ["annealed"])
    told, exact = values(found.figures), float(model.log_prob(x[:20]).mean())
    assert abs(told["annealed_log_px"] - exact) < 4.5 * told["annealed_monte_carlo_error"] + 0.02
    assert told["annealed_monte_carlo_error"] < 0.3
    assert told["importance_log_px"] < exact - 1
    assert told["annealed_gain"] == pytest.approx(told["annealed_log_px"] - told["importance_log_px"], abs=1e-3)
    assert found.figures["annealed_gain"].standard_error is not None
    assert -0.2 < told["sandwich_gap"] < 1.0
    assert "20 items, 16 chains, 40 temperatures" in found.figures["annealed_log_px"].meaning


def test_the_gaps_are_those_of_the_bent_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    """The family holds the exact posterior, so all that is lost is KL(N(shift, inflate^2) || N(0, 1)) in each dimension."""
    monkeypatch.setattr("vaeworks.evaluation.studies.STEPS", 200)
    model, shift, inflate = linear(), 0.5, 1.4
    told = values(further(setting(model, items_of(model.sample(40)), samples=400, shift=shift, inflate=inflate), ["gaps"]).figures)
    exact = 2 * ((inflate**2 + shift**2 - 1) / 2 - math.log(inflate))
    assert told["amortisation_gap"] == pytest.approx(exact, abs=0.1)
    assert told["approximation_gap"] == pytest.approx(0, abs=0.05)
    assert told["inference_gap"] == pytest.approx(told["amortisation_gap"] + told["approximation_gap"], abs=1e-3)


def test_information_and_distance_are_the_kl() -> None:
    model = linear()
    x = model.sample(400)
    told = further(setting(model, items_of(x)), ["information"]).figures
    kl = float(model.kl(*model.posterior(x)).sum(-1).mean())
    error = told["mutual_information"].standard_error
    assert error is not None
    assert told["mutual_information"].value + told["aggregate_kl"].value == pytest.approx(kl, abs=0.3)
    assert 1 < told["mutual_information"].value < math.log(400)
    assert told["aggregate_kl"].value < 0.3  # codes of the model's own items follow the prior


def test_probes_read_what_codes_know_of_the_items_that_have_a_label() -> None:
    model = linear()
    x = model.sample(400)
    known = (model.posterior(x)[0][:, 1] > 0).long()
    known[:100] = -1
    told = further(setting(model, items_of(x, known)), ["probes"]).figures
    noise = torch.randint(2, (400,))
    unknown = further(setting(model, items_of(x, noise)), ["probes"]).figures
    for name in ("linear_probe", "nearest_neighbours"):
        assert told[name].value > 0.9
        assert 0.35 < unknown[name].value < 0.65
        assert "200 training items, 200 test items" in unknown[name].meaning
    train, test = re.findall(r"(\d+) (?:training|test) items", told["linear_probe"].meaning)
    assert int(train) + int(test) == 300
    learned = items_of(x[:50], noise[:50])
    figures = further(dataclasses.replace(setting(model, items_of(x, noise)), learned=learned), ["probes"]).figures
    assert "50 training items, 400 test items" in figures["linear_probe"].meaning


def test_samples_are_as_good_as_the_items_are_the_models_own() -> None:
    model = linear(bias=torch.full((64,), 0.5), scale=1e-4)
    model = dataclasses.replace(model, weight=model.weight * 0.1)
    x = model.sample(800)
    own, foreign = (further(setting(model, items_of(some)), ["sample-quality"]) for some in (x, x + 0.3))
    told = values(own.figures)
    expected = float(own.figures["coverage"].meaning.split(": ")[1].split()[0])
    assert told["coverage"] == pytest.approx(expected, abs=0.1)
    assert told["density"] == pytest.approx(1, abs=0.15)
    assert min(told["precision"], told["recall"]) > 0.85
    assert told["frechet"] < 0.01
    strange = values(foreign.figures)
    assert (strange["precision"], strange["recall"], strange["coverage"]) == (0, 0, 0)
    assert strange["frechet"] == pytest.approx(64 * 0.3**2, rel=0.05)
    assert own.protocol == {"features": "pixels", "samples_are": "means of p(x | z)"}


def test_labels_make_features_that_tell_how_good_they_are() -> None:
    model = linear(bias=torch.full((64,), 0.5), scale=0.01)
    x = model.sample(200)
    labels = (model.posterior(x)[0][:, 1] > 0).long()
    found = further(setting(model, items_of(x, labels)), ["sample-quality"])
    assert "classifier of 100 labelled items" in found.protocol["features"]


def grid() -> tuple[LinearGaussian, torch.Tensor, torch.Tensor]:
    """Items of which each latent dimension is a factor, and a third factor that never changes."""
    model = linear()
    factors = torch.tensor(list(itertools.product(range(4), range(4), [3])) * 14)  # four values are well inside the bins that codes are cut into
    return model, (factors[:, :2] - 2.0) @ model.weight.T + model.bias, factors


def test_a_dimension_for_each_factor_scores_one() -> None:
    model, x, factors = grid()
    items = dataclasses.replace(items_of(x), factors=factors, factor_names=("hue", "size", "still"))
    told = further(setting(model, items), ["disentanglement"]).figures
    for name in ("mig", "dci_disentanglement", "dci_completeness", "dci_informativeness", "sap", "factor_vae_score", "beta_vae_score"):
        assert told[name].value == pytest.approx(1, abs=0.05), name
    assert told["modularity"].value > 0.97
    assert "the factors hue, size; 224 items" in told["mig"].meaning


def test_the_factor_that_the_labels_repeat_has_no_order() -> None:
    """A factor of four values of which thresholds of one dimension tell all but one: SAP is 1 - 1 / V there, as it is for categories."""
    model, x, factors = grid()
    plain = dataclasses.replace(items_of(x), factors=factors[:, :2], factor_names=("hue", "size"))
    labelled = dataclasses.replace(plain, labels=(factors[:, 0] + 2) % 4)
    as_number, as_class = (further(setting(model, items), ["disentanglement"]).figures["sap"].value for items in (plain, labelled))
    assert as_number == pytest.approx(1, abs=0.01)
    assert as_class == pytest.approx((1 + 1 - 1 / 4) / 2, abs=0.05)


def test_what_cannot_be_measured_says_why() -> None:
    model = linear()
    bare = setting(model, items_of(model.sample(60)))
    with pytest.raises(
        VaeworksError, match=r"probes cannot be measured: it needs labels, and 0 of 60 items have one: .*; disentanglement .* use sprites"
    ):
        further(bare, ["probes", "disentanglement", "information"])
    few = setting(model, items_of(model.sample(5), torch.arange(5) % 2), samples=1)
    with pytest.raises(VaeworksError, match="5 items are too few: give 40 or more"):
        further(few, ["sample-quality"])
    with pytest.raises(VaeworksError, match="--samples 1 gives no standard error"):
        further(few, ["gaps"])
    alike = setting(model, items_of(model.sample(60), torch.zeros(60, dtype=torch.long)))
    with pytest.raises(VaeworksError, match="all 30 training items have one label"):
        further(alike, ["probes"])


@pytest.mark.parametrize(
    ("overrides", "refused"),
    [
        (["latents.kind=two-level"], {"information": "TwoLevelLatents", "gaps": "TwoLevelLatents", "annealed": "TwoLevelLatents"}),
        (["posterior.kind=point", "objective.kind=autoencoder"], {"information": "no density", "gaps": "no density", "annealed": "no density"}),
        (["posterior.kind=von-mises-fisher", "prior.kind=sphere"], {"annealed": "R^D"}),
    ],
)
def test_what_the_parts_do_not_allow_is_left_out_with_a_warning(overrides: list[str], refused: dict[str, str]) -> None:
    torch.manual_seed(0)
    recipe = load_recipe("mlp", ["encoder.hidden=[8]", "decoder.hidden=[8]", "latent_size=3", *overrides]).with_likelihood("gaussian")
    items = items_of(torch.rand(40, 64))
    here = Setting(build_vae(recipe, SCHEMA), SCHEMA, items, samples=2, temperatures=2)
    found = further(here, [name for name in STUDIES if name in refused], strict=False)
    assert not found.figures
    assert len(found.warnings) == len(refused)
    for name, reason in refused.items():
        assert any(warning.startswith(f"{name} was not measured") and reason in warning for warning in found.warnings), found.warnings
        with pytest.raises(VaeworksError, match=f"{name} cannot be measured"):
            further(here, [name])


def test_the_same_seed_gives_the_same_figures_in_any_company() -> None:
    model = linear()
    x = model.sample(80)
    here = setting(model, items_of(x, torch.arange(80) % 2))
    alone, together = further(here, ["information"]), further(here, ["sample-quality", "information"])
    assert together.figures["mutual_information"] == alone.figures["mutual_information"]
    told = together.to_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
