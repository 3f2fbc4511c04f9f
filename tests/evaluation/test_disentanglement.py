"""Scores of representations whose quality is known: perfect, useless, turned, redundant."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score
from torch import Tensor

from vaeworks.evaluation.disentanglement import (
    CodeSampler,
    CodeTable,
    beta_vae_score,
    dci,
    disentanglement,
    factor_vae_score,
    mig,
    modularity,
    mutual_informations,
    sap,
)

SIZES = (5, 5, 5)
N = 3000
G = torch.Generator().manual_seed(0)
FACTORS = torch.stack([torch.randint(size, (N,), generator=G) for size in SIZES], 1)
PERFECT = FACTORS[:, [2, 0, 1]] * torch.tensor([-3.0, 0.01, 40.0]) + torch.tensor([1.0, 7.0, -2.0])
NOISE = torch.randn(N, 3, generator=G)
TURN = torch.linalg.qr(torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]).T)[0]
TURNED = (FACTORS - 2.0) @ TURN.T

CONTINUOUS: dict[str, Callable[[Tensor, Tensor], float]] = {
    "mig": mig,
    "disentanglement": lambda codes, factors: dci(codes, factors).disentanglement,
    "completeness": lambda codes, factors: dci(codes, factors).completeness,
    "informativeness": lambda codes, factors: dci(codes, factors).informativeness,
    "sap": sap,
    "modularity": modularity,
}
VOTES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "factor_vae": lambda codes, factors: factor_vae_score(CodeTable(codes, factors), votes=200, size=32),
    "beta_vae": lambda codes, factors: beta_vae_score(CodeTable(codes, factors), votes=150, size=32),
}


@pytest.mark.parametrize("name", [*CONTINUOUS, *VOTES])
def test_codes_that_are_the_factors_permuted_and_scaled_score_one(name: str) -> None:
    assert (CONTINUOUS | VOTES)[name](PERFECT, FACTORS) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", ["mig", "disentanglement", "completeness", "informativeness", "sap"])
def test_codes_that_know_nothing_score_zero(name: str) -> None:
    assert CONTINUOUS[name](NOISE, FACTORS) < 0.06


@pytest.mark.parametrize("name", VOTES)
def test_votes_about_nothing_are_won_by_chance(name: str) -> None:
    """The share won has a standard deviation of 0.04 around one in three; dimensions may share a majority, hence a little more."""
    assert abs(VOTES[name](NOISE, FACTORS) - 1 / 3) < 0.13


@pytest.mark.parametrize("name", ["mig", "disentanglement", "completeness", "sap", "modularity", "factor_vae"])
def test_turned_codes_score_in_between(name: str) -> None:
    found = (CONTINUOUS | VOTES)[name]
    assert found(TURNED, FACTORS) < 0.9 * found(PERFECT, FACTORS)
    if name in VOTES:
        assert found(TURNED, FACTORS) > 0.4


def test_turned_codes_have_lost_no_information() -> None:
    assert dci(TURNED, FACTORS).informativeness == pytest.approx(1, abs=0.01)


def test_information_and_its_gap_against_scikit_learn() -> None:
    codes = torch.stack([FACTORS[:, 0] + 1.5 * NOISE[:, 0], FACTORS[:, 0] + FACTORS[:, 1] + NOISE[:, 1]], 1)
    found = mutual_informations(codes, FACTORS, bins=7)
    low, high = codes.amin(0), codes.amax(0)
    edges = [torch.linspace(float(a), float(b), 8, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    for j in range(2):
        cut = torch.bucketize(codes[:, j].double(), edges[j][1:-1], right=True)
        for k in range(3):
            assert float(found[j, k]) == pytest.approx(mutual_info_score(cut.numpy(), FACTORS[:, k].numpy()), abs=2e-3)
    gaps = found.sort(0, descending=True).values.diff(dim=0)[0].neg() / torch.tensor([entropy(torch.bincount(c).numpy()) for c in FACTORS.T])
    assert mig(codes, FACTORS, bins=7) == pytest.approx(float(gaps.mean()))


def test_modularity_by_hand() -> None:
    """One dimension is about a pair of bits at once, I = log 2 with each; the other about the first, I = log 2 and 0."""
    bits = torch.cartesian_prod(torch.arange(2), torch.arange(2)).repeat(100, 1)
    codes = torch.stack([bits[:, 0] * 2.0 + bits[:, 1], bits[:, 0] * 1.0], 1)
    torch.testing.assert_close(mutual_informations(codes, bits).float(), math.log(2) * torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    assert modularity(codes, bits) == pytest.approx((0 + 1) / 2)
    assert mig(codes, bits) == pytest.approx((0 + 1) / 2)


def test_a_factor_twice_is_disentangled_but_neither_complete_nor_separate() -> None:
    twice = torch.cat([PERFECT, PERFECT + 0.1 * NOISE * PERFECT.std(0)], 1)
    known = dci(twice.double(), FACTORS)
    assert known.disentanglement > 0.97
    assert modularity(twice, FACTORS) > 0.97
    assert mig(twice, FACTORS) < 0.3
    assert sap(twice, FACTORS) < 0.05


def test_importances_say_which_dimension_is_which_factor() -> None:
    known = dci(PERFECT, FACTORS)
    assert known.importances.argmax(0).tolist() == [1, 2, 0]
    assert known.predictor == "lasso"
    even = dci(torch.stack([FACTORS[:, 0] + FACTORS[:, 1], FACTORS[:, 0] - FACTORS[:, 1]], 1).double(), FACTORS[:, :2])
    assert even.disentanglement < 0.01, "both dimensions matter as much to both factors"
    assert even.completeness < 0.01


def test_boosting_sees_what_a_line_does_not() -> None:
    factors = FACTORS[(FACTORS[:, :2] < 3).all(1), :2][:150]
    folded = torch.stack([(factors[:, 0] - 1.0).abs(), factors[:, 1] * 1.0], 1)
    lasso, boosting = (dci(folded, factors, predictor=p) for p in ("lasso", "boosting"))  # type: ignore[arg-type]
    assert lasso.importances[0, 0] < 0.1
    assert boosting.importances[0, 0] > 0.9
    assert boosting.disentanglement > 0.9


def test_a_factor_without_order_is_foretold_by_thresholds() -> None:
    """Values 0, 1, 2 in an order that no line follows: 1, 2, 0 along the code, of which the line sees a quarter and thresholds all."""
    codes = torch.stack([(FACTORS[:, 0] + 2) % 5, FACTORS[:, 1], FACTORS[:, 2]], 1) * 1.0
    line, thresholds = sap(codes, FACTORS), sap(codes, FACTORS, categorical={0})
    r = torch.corrcoef(torch.stack([codes[:, 0], FACTORS[:, 0].float()]))[0, 1] ** 2
    assert line == pytest.approx((float(r) + 2) / 3, abs=0.01)
    assert thresholds == pytest.approx((0.8 + 2) / 3, abs=0.03)
    assert dci(codes, FACTORS, categorical={0}).disentanglement > 0.9


@pytest.mark.parametrize("votes", [factor_vae_score, beta_vae_score])
def test_a_sampler_of_factors_scores_as_a_table_of_codes(votes: Callable[..., float]) -> None:
    rotate = torch.eye(3) + 0.8 * torch.ones(3, 3).triu(1)
    sampler = CodeSampler(lambda factors: factors.float() @ rotate, SIZES)
    table = CodeTable(FACTORS.float() @ rotate, FACTORS)
    assert votes(sampler, votes=150, size=16) == pytest.approx(votes(table, votes=150, size=16), abs=0.15)
    assert votes(CodeSampler(lambda factors: -2.0 * factors.flip(1), SIZES), votes=100, size=32) > 0.97


@pytest.mark.parametrize("codes", [CodeTable(FACTORS, FACTORS), CodeSampler(lambda factors: factors, SIZES)])
def test_items_share_what_they_are_asked_to_share_and_nothing_else(codes: CodeTable | CodeSampler) -> None:
    which = torch.arange(3).repeat_interleave(60)
    drawn = codes.sharing(which, 40, torch.Generator().manual_seed(1))
    assert drawn.shape == (180, 40, 3)
    spread = drawn.double().var(1)
    assert (spread[torch.arange(180), which] == 0).all()
    spread[torch.arange(180), which] = torch.nan
    assert spread.nanmean().item() == pytest.approx(2, abs=0.1), "a fair die of five sides has variance 2"
    shared = drawn[torch.arange(180), 0, which]
    assert shared.unique().tolist() == [0, 1, 2, 3, 4]


def test_everything_at_once_is_repeatable() -> None:
    first, again = (disentanglement(TURNED[:600], FACTORS[:600], categorical={1}, seed=3) for _ in range(2))
    assert first.factor_vae == again.factor_vae
    assert first.beta_vae == again.beta_vae
    assert first.sap == again.sap
    torch.testing.assert_close(first.dci.importances, again.dci.importances, rtol=0, atol=0)
    assert first.chance == pytest.approx(1 / 3)


def test_a_dimension_that_never_changes_does_no_harm() -> None:
    dead = torch.cat([PERFECT, torch.full((N, 1), 3.0)], 1)
    for name, score in (CONTINUOUS | VOTES).items():
        assert score(dead, FACTORS) > (0.7 if name == "modularity" else 0.97), name


def test_what_cannot_be_scored_is_told() -> None:
    with pytest.raises(ValueError, match=r"codes of shape \(3000, 3\) and factors of shape \(2999, 3\)"):
        mig(PERFECT, FACTORS[1:])
    with pytest.raises(ValueError, match=r"of 3 factors \[1\] never change"):
        sap(PERFECT, FACTORS * torch.tensor([1, 0, 1]))
    with pytest.raises(ValueError, match="give integers"):
        modularity(PERFECT, FACTORS.float())
    with pytest.raises(ValueError, match="1 of 3000 codes hold NaN"):
        dci(torch.cat([PERFECT[:-1], PERFECT[-1:] * torch.nan]), FACTORS)
    with pytest.raises(ValueError, match="at least two factors"):
        CodeSampler(lambda factors: factors, (3,))
