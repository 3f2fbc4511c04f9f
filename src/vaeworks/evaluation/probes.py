"""How well labels can be read off codes: by a linear classifier, and by the nearest codes that are labelled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Probe", "linear_probe", "nearest_neighbours"]

ENTRIES = 2**24
"""Distances held at a time."""


@dataclass(frozen=True)
class Probe:
    """Accuracy on test items of a classifier that learned from the codes of training items."""

    accuracy: float
    standard_error: float
    """Over test items; 0 where all are right, or all wrong."""
    chance: float
    """The accuracy of the most frequent training label."""
    protocol: str


def linear_probe(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, *, penalty: float = 1.0, steps: int = 1000) -> Probe:
    """Multinomial logistic regression from codes (N, D) of unit variance to labels (N,), scikit-learn's by L-BFGS: deterministic.

    ``penalty`` is half the weight of the squared coefficients against the summed cross-entropy, 1 / C there.
    """
    train, test = _checked(train, train_labels, test, test_labels)
    from sklearn.linear_model import LogisticRegression

    mean, spread = train.mean(0), train.std(0)
    scale = torch.where(spread > 0, spread, 1)
    known = LogisticRegression(C=1 / penalty, max_iter=steps).fit(((train - mean) / scale).numpy(), train_labels.numpy())
    predicted = torch.from_numpy(known.predict(((test - mean) / scale).numpy()))
    return _probe(
        predicted, train_labels, test_labels, f"logistic regression on standardised codes, L2 penalty {penalty:g}, {len(train)} training items"
    )


def nearest_neighbours(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, *, k: int = 5) -> Probe:
    """The majority among the k training items whose codes are nearest, in Euclidean distance and the codes' own units; a tie goes to the label of the nearest among those tied."""
    train, test = _checked(train, train_labels, test, test_labels)
    if not 1 <= k <= len(train):
        raise ValueError(f"k={k}: there are {len(train)} training items")
    classes, numbers = train_labels.unique(return_inverse=True)
    predicted = []
    for piece in test.split(max(1, ENTRIES // len(train))):
        votes = numbers[torch.cdist(piece, train).topk(k, 1, largest=False).indices]  # (b, k), nearest first
        counts = torch.zeros(len(piece), len(classes), dtype=torch.long).scatter_add_(1, votes, torch.ones_like(votes))
        of_voter = counts.gather(1, votes)
        first = (of_voter == of_voter.amax(1, keepdim=True)).int().argmax(1)
        predicted.append(classes[votes.gather(1, first[:, None])[:, 0]])
    return _probe(torch.cat(predicted), train_labels, test_labels, f"{k} nearest neighbours, Euclidean, {len(train)} training items")


def _checked(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> tuple[Tensor, Tensor]:
    """Codes in float64. ValueError where codes and labels do not go together."""
    for name, codes, labels in (("training", train, train_labels), ("test", test, test_labels)):
        if codes.dim() != 2 or labels.shape != codes.shape[:1] or not len(codes):
            raise ValueError(
                f"{name} codes of shape {tuple(codes.shape)} and labels of shape {tuple(labels.shape)}: give (N, D) and (N,) of the same items"
            )
        if (labels < 0).any():
            raise ValueError(f"{int((labels < 0).sum())} of {len(labels)} {name} items have the label -1, unknown: leave these items out")
    if len(train_labels.unique()) < 2:
        raise ValueError(f"all {len(train)} training items have one label: give two or more")
    return train.detach().cpu().double(), test.detach().cpu().double()


def _probe(predicted: Tensor, train_labels: Tensor, test_labels: Tensor, protocol: str) -> Probe:
    accuracy = float((predicted == test_labels).double().mean())
    return Probe(
        accuracy=accuracy,
        standard_error=math.sqrt(accuracy * (1 - accuracy) / len(test_labels)),
        chance=float((test_labels == train_labels.mode().values).double().mean()),
        protocol=f"{protocol}, {len(test_labels)} test items",
    )
