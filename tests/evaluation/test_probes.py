"""Probes against scikit-learn, Bayes' rule and hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.stats import norm
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from vaeworks.evaluation import probes
from vaeworks.evaluation.probes import Probe, linear_probe, nearest_neighbours

G = torch.Generator().manual_seed(0)
BOTH = pytest.mark.parametrize("probe", [linear_probe, nearest_neighbours])


def clouds(n: int, distance: float) -> tuple[Tensor, Tensor]:
    """Two normal clouds of unit variance, ``distance`` apart along the first of three dimensions."""
    labels = torch.randint(2, (n,), generator=G)
    codes = torch.randn(n, 3, generator=G)
    codes[:, 0] += labels * distance
    return codes, labels


@BOTH
def test_clouds_far_apart_are_told_apart(probe: Callable[..., Probe]) -> None:
    found = probe(*clouds(200, 30), *clouds(100, 30))
    assert found.accuracy == 1
    assert found.standard_error == 0


@BOTH
def test_clouds_in_one_place_are_not(probe: Callable[..., Probe]) -> None:
    found = probe(*clouds(400, 0), *clouds(400, 0))
    assert abs(found.accuracy - 0.5) < 4.5 * found.standard_error
    assert found.standard_error == pytest.approx(0.025, rel=0.05)
    assert abs(found.chance - 0.5) < 0.12


def test_the_linear_probe_comes_near_the_best_there_is() -> None:
    """Bayes' rule is a plane here, right with probability Phi(distance / 2)."""
    found = linear_probe(*clouds(3000, 2), *clouds(4000, 2))
    assert abs(found.accuracy - norm.cdf(1)) < 4.5 * found.standard_error


def test_the_linear_probe_does_not_mind_units() -> None:
    train, test, units = clouds(300, 1), clouds(300, 1), torch.tensor([1e-4, 1.0, 1e3])
    plain, scaled = linear_probe(*train, *test), linear_probe(train[0] * units + 5, train[1], test[0] * units + 5, test[1])
    assert scaled.accuracy == pytest.approx(plain.accuracy, abs=0.01)


@pytest.mark.parametrize("k", [1, 7])
def test_neighbours_as_scikit_learn_finds_them(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two classes and an odd k there are no ties."""
    monkeypatch.setattr(probes, "ENTRIES", 1000)
    train, test = clouds(300, 1), clouds(200, 1)
    expected = KNeighborsClassifier(k).fit(train[0].numpy(), train[1].numpy()).score(test[0].numpy(), test[1].numpy())
    assert nearest_neighbours(*train, *test, k=k).accuracy == pytest.approx(expected)


def test_a_tie_goes_to_the_nearest() -> None:
    train, labels = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.5]]), torch.tensor([4, 7, 7, 4, 9])
    test = torch.tensor([[-1.0], [1.6]])
    assert nearest_neighbours(train, labels, test, torch.tensor([4, 7]), k=4).accuracy == 1
    assert (
        nearest_neighbours(train, labels, test, torch.tensor([4, 7]), k=4).protocol
        == "4 nearest neighbours, Euclidean, 5 training items, 2 test items"
    )


@BOTH
def test_the_error_is_that_of_a_share(probe: Callable[..., Probe]) -> None:
    found = probe(*clouds(300, 1), *clouds(500, 1))
    assert 0 < found.accuracy < 1
    assert found.standard_error == pytest.approx(math.sqrt(found.accuracy * (1 - found.accuracy) / 500))


def test_what_cannot_be_probed_is_told() -> None:
    codes, labels = clouds(10, 1)
    with pytest.raises(ValueError, match=r"test codes of shape \(10, 3\) and labels of shape \(9,\)"):
        linear_probe(codes, labels, codes, labels[1:])
    with pytest.raises(ValueError, match="all 10 training items have one label"):
        linear_probe(codes, labels * 0, codes, labels)
    with pytest.raises(ValueError, match="10 of 10 training items have the label -1"):
        nearest_neighbours(codes, labels * 0 - 1, codes, labels)
    with pytest.raises(ValueError, match="k=11: there are 10 training items"):
        nearest_neighbours(codes, labels, codes, labels, k=11)
