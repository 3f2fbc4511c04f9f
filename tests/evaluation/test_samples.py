"""Scores of samples whose distance from the real ones is known."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from torch import Tensor

from vaeworks.data.sprites import render, sample
from vaeworks.evaluation import samples
from vaeworks.evaluation.samples import (
    PIXELS,
    Features,
    classifier_features,
    compare_samples,
    density_coverage,
    frechet,
    frechet_distance,
    precision_recall,
)

G = torch.Generator().manual_seed(0)


def normal(n: int, d: int = 3) -> Tensor:
    return torch.randn(n, d, generator=G, dtype=torch.float64)


def covariance(d: int, rank: int) -> Tensor:
    root = normal(d, rank)
    return root @ root.T


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_the_distance_of_normal_distributions_that_commute(shift: float) -> None:
    """Diagonal covariances: |m1 - m2|^2 + sum (s1 - s2)^2."""
    first, second = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([3.0, 0.1, 0.5]).double()
    turn, _ = torch.linalg.qr(normal(3, 3))
    found = frechet_distance(
        turn @ torch.full((3,), shift).double(),
        turn @ first.square().diag() @ turn.T,
        torch.zeros(3).double(),
        turn @ second.square().diag() @ turn.T,
    )
    assert found == pytest.approx(float(3 * shift**2 + (first - second).square().sum()), rel=1e-12)


def test_the_distance_against_scipys_square_root() -> None:
    one, other, mean = covariance(6, 9), covariance(6, 9), normal(6, 1)[:, 0]
    expected = float(mean.square().sum()) + (one + other - 2 * torch.from_numpy(sqrtm((one @ other).numpy()).real)).trace().item()
    assert frechet_distance(mean, one, torch.zeros(6).double(), other) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(torch.zeros(6).double(), other, mean, one) == pytest.approx(expected, rel=1e-9)


def test_singular_covariances_are_at_distance_zero_from_themselves() -> None:
    """As with fewer items than features, where iterative square roots fail."""
    flat = covariance(200, 20)
    assert frechet_distance(torch.zeros(200).double(), flat, torch.zeros(200).double(), flat) < 1e-9 * float(flat.trace())


def test_fitted_distances_come_near_the_true_ones() -> None:
    found = frechet(normal(20000), 2 * normal(20000) + 1)
    assert found == pytest.approx(3 + 3, rel=0.05)
    few = normal(50)
    assert frechet(few, few.flip(0)) < 1e-12


def test_identical_sets_are_precise_and_complete() -> None:
    x = normal(200)
    found = precision_recall(x, x.flip(0))
    assert (found.precision, found.recall) == (1, 1)
    same = density_coverage(x, x.flip(0), k=5)
    assert same.coverage == 1
    assert same.density == pytest.approx(6 / 5), "an item and its five neighbours lie in its neighbourhood"


def test_disjoint_sets_have_nothing_in_common() -> None:
    x, far = normal(200), normal(150) + 100
    found = precision_recall(x, far)
    assert (found.precision, found.recall) == (0, 0)
    apart = density_coverage(x, far)
    assert (apart.density, apart.coverage) == (0, 0)


def test_a_mode_forgotten_costs_recall_and_one_invented_costs_precision() -> None:
    both = torch.cat([normal(300), normal(300) + 50])
    forgotten, invented = precision_recall(both, normal(300)), precision_recall(normal(300), both)
    assert forgotten.precision > 0.9
    assert forgotten.recall <= 0.5
    assert invented.precision <= 0.5
    assert invented.recall > 0.9
    assert density_coverage(both, normal(600)).coverage < 0.51


@pytest.mark.parametrize("pieces", [1, 7])
def test_neighbourhoods_against_all_distances_by_scipy(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "ENTRIES", 80 * 90 // pieces)
    real, made, k = normal(80), 1.3 * normal(90) + 0.5, 4
    between, within_real, within_made = cdist(real, made), cdist(real, real), cdist(made, made)
    within_real.sort(1)
    within_made.sort(1)
    inside = between <= within_real[:, [k]]
    found, scores = precision_recall(real, made, k=k), density_coverage(real, made, k=k)
    assert found.precision == pytest.approx(inside.any(0).mean())
    assert found.recall == pytest.approx((between <= within_made[:, k]).any(1).mean())
    assert scores.density == pytest.approx(inside.sum() / (k * 90))
    assert scores.coverage == pytest.approx(inside.any(1).mean())


def test_density_and_coverage_of_one_distribution_are_as_foretold() -> None:
    """Whatever the distribution: E density = 1, and coverage by counting in which order neighbours come."""
    found = [density_coverage(normal(60, 2).exp(), normal(40, 2).exp(), k=3) for _ in range(150)]
    for name, expected in (("density", 1.0), ("coverage", 1 - math.prod((60 - i) / (100 - i) for i in (1, 2, 3)))):
        values = torch.tensor([getattr(f, name) for f in found])
        assert abs(float(values.mean()) - expected) < 4.5 * float(values.std()) / math.sqrt(150)
    assert found[0].expected_coverage == pytest.approx(expected)


def test_copies_are_one_item() -> None:
    """Radii of zero: a copy lies in the neighbourhood of its like, and nothing else does."""
    real = torch.cat([torch.zeros(10, 3), torch.ones(10, 3)]).double() * math.pi
    found = precision_recall(real, torch.cat([real[:5], real[:5] + 0.01]))
    assert found.precision == 0.5


def test_scores_name_their_features() -> None:
    real, made = normal(100, 8).reshape(100, 2, 4), normal(120, 8).reshape(120, 2, 4)
    scores = compare_samples(real, made, k=4)
    assert (scores.features, scores.real, scores.generated, scores.density_coverage.k) == ("pixels", 100, 120, 4)
    assert scores.frechet == pytest.approx(frechet(real.flatten(1), made.flatten(1)))
    assert scores.frechet_floor is not None
    assert scores.frechet_floor > scores.frechet > 0, "both of one distribution, the floor from half the items"
    doubled = compare_samples(real, made, Features("doubled pixels", lambda x: 2 * x.flatten(1)))
    assert doubled.frechet == pytest.approx(4 * scores.frechet)
    assert doubled.precision_recall == scores.precision_recall


def test_a_classifier_makes_features_that_know_the_labels() -> None:
    """Small sprites in one place, by shape: features from another seed of items separate the shapes better than pixels do."""
    factors = torch.from_numpy(sample(200, seed=1))
    factors[:, 1], factors[:, 3:] = 5, 16
    labels = factors[:, 0]
    x = torch.from_numpy(render(factors.numpy()))[:, :, 16:49:2, 16:49:2].float()
    features = classifier_features(x, labels, name="sprites", width=16, epochs=6, seed=2)
    assert "16 features before the last layer of a convolutional classifier of sprites (180 items, 6 epochs, seed 2" in features.name
    made = features(x)
    assert made.shape == (200, 16)
    assert made.dtype == torch.float64

    def between(codes: Tensor) -> float:
        means = torch.stack([codes[labels == k].mean(0) for k in range(3)])
        return float(means.var(0).sum() / codes.var(0).sum())

    assert between(made) > 2 * between(PIXELS(x))
    state = torch.random.get_rng_state()
    again = classifier_features(x, labels, name="sprites", width=16, epochs=6, seed=2)
    assert again.name == features.name
    torch.testing.assert_close(again(x), made, rtol=0, atol=0)
    assert (torch.random.get_rng_state() == state).all(), "the global generator is left alone"


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(ValueError, match=r"features of shape \(10, 3\) and \(10, 2\)"):
        precision_recall(normal(10), normal(10, 2))
    with pytest.raises(ValueError, match="3 real and 10 generated items are too few for k=3: more than 3"):
        precision_recall(normal(3), normal(10))
    with pytest.raises(ValueError, match="broken made features"):
        Features("broken", lambda x: x / 0)(normal(3))
    with pytest.raises(ValueError, match="at least 20 items"):
        classifier_features(normal(10), torch.zeros(10, dtype=torch.long))
