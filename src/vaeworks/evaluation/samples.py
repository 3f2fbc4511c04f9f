"""How generated items compare with real ones, in a named space of features.

Numbers in different feature spaces cannot be compared. None of these is an FID or an Inception score: those are of Inception's features, and nothing here is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaeworks.networks import MLP, ConvEncoder

__all__ = [
    "PIXELS",
    "DensityCoverage",
    "Features",
    "PrecisionRecall",
    "SampleScores",
    "classifier_features",
    "compare_samples",
    "density_coverage",
    "frechet",
    "frechet_distance",
    "precision_recall",
]

ROWS = 1024
"""Items that features are made of at a time."""
ENTRIES = 2**24
"""Distances held at a time."""


@dataclass(frozen=True)
class Features:
    """A named map from items to features."""

    name: str
    """Says all that is needed to make the same features again."""
    function: Callable[[Tensor], Tensor]
    """(B, *event) -> (B, D)."""

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Features (N, D) of items (N, *event), in float64 on the CPU."""
        features = torch.cat([self.function(piece).cpu().double() for piece in x.split(ROWS)])
        if features.dim() != 2 or not features.isfinite().all():
            raise ValueError(
                f"{self.name} made features of shape {tuple(features.shape)}, {int((~features.isfinite()).sum())} of them NaN or infinite: they must be finite, (N, D)"
            )
        return features


PIXELS = Features("pixels", lambda x: x.flatten(1))
"""The values of x themselves."""


@dataclass(frozen=True)
class PrecisionRecall:
    """Of N real and M generated items."""

    precision: float
    """Share of generated items that lie as near to a real one as its k-th nearest real neighbour: what looks real."""
    recall: float
    """Share of real items that lie as near to a generated one as its k-th nearest generated neighbour: what is not forgotten."""
    k: int


@dataclass(frozen=True)
class DensityCoverage:
    """Of N real and M generated items."""

    density: float
    """Real neighbourhoods that a generated item lies in, over k: 1 in expectation where the distributions agree, more where samples crowd at the modes."""
    coverage: float
    """Share of real items with a generated one in their neighbourhood."""
    expected_coverage: float
    """Coverage in expectation where the distributions agree: 1 - (N - 1) ... (N - k) / ((N + M - 1) ... (N + M - k))."""
    k: int


@dataclass(frozen=True)
class SampleScores:
    """Every score of M generated items against N real ones, in one space of features."""

    features: str
    real: int
    generated: int
    frechet: float
    """In squared units of the features."""
    frechet_floor: float | None
    """The same distance between the two halves of the real items: what finite numbers of items alone make, at half the number; None where real items are too few."""
    precision_recall: PrecisionRecall
    density_coverage: DensityCoverage


def compare_samples(real: Tensor, generated: Tensor, features: Features = PIXELS, *, k: int = 5) -> SampleScores:
    """Scores of items ``generated`` (M, *event) against ``real`` (N, *event); precision and recall look at 3 neighbours, as is usual, density and coverage at ``k``.

    Shuffle the real items first where their order means something.
    """
    first, second = features(real), features(generated)
    half = len(first) // 2
    return SampleScores(
        features=features.name,
        real=len(first),
        generated=len(second),
        frechet=frechet(first, second),
        frechet_floor=frechet(first[:half], first[half:]) if half > 1 else None,
        precision_recall=precision_recall(first, second),
        density_coverage=density_coverage(first, second, k=k),
    )


def precision_recall(real: Tensor, generated: Tensor, *, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991) of features ``generated`` (M, D) against ``real`` (N, D)."""
    real, generated, slack = _placed(real, generated, k)
    around_real, around_generated = _radii(real, k) + slack, _radii(generated, k) + slack
    precise = torch.cat([(near <= around_real).any(1) for near in _squares(generated, real)])
    recalled = torch.cat([(near <= around_generated).any(1) for near in _squares(real, generated)])
    return PrecisionRecall(float(precise.double().mean()), float(recalled.double().mean()), k)


def density_coverage(real: Tensor, generated: Tensor, *, k: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020, arXiv:2002.09797) of features ``generated`` (M, D) against ``real`` (N, D)."""
    real, generated, slack = _placed(real, generated, k)
    radii = (_radii(real, k) + slack).split(_piece(generated))
    counts = torch.cat([(near <= radius[:, None]).sum(1) for near, radius in zip(_squares(real, generated), radii, strict=True)])
    n, m = len(real), len(generated)
    missed = math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    return DensityCoverage(float(counts.sum()) / (k * m), float((counts > 0).double().mean()), 1 - missed, k)


def frechet(real: Tensor, generated: Tensor) -> float:
    """The Frechet distance between normal distributions fitted to features (N, D) and (M, D), squared; biased upwards, the more the fewer items there are to a feature."""
    real, generated, _ = _placed(real, generated, 1)
    return frechet_distance(real.mean(0), _covariance(real), generated.mean(0), _covariance(generated))


def frechet_distance(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2)) (Dowson & Landau 1982), squared units.

    The trace of the last root is the sum of the singular values of C1^(1/2) C2^(1/2): they come out right where a covariance is singular, as with fewer items than features.
    """
    fidelity = torch.linalg.svdvals(_root(covariance) @ _root(other_covariance)).sum()
    trace = covariance.diagonal().sum() + other_covariance.diagonal().sum() - 2 * fidelity
    return float((mean - other_mean).square().sum() + trace.clamp_min(0))


def classifier_features(
    x: Tensor,
    labels: Tensor,
    *,
    name: str = "the labelled items",
    width: int = 64,
    epochs: int = 10,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> Features:
    """The penultimate layer, ``width`` numbers, of a small classifier trained here on items (N, *event) with labels (N,), the same for the same seed on one machine.

    Convolutional for pictures of 8 pixels a side or more, fully connected otherwise. A tenth of the items is held out, and the features' name tells the accuracy on it.
    """
    if labels.shape != x.shape[:1] or len(x) < 20 or (labels < 0).any():
        raise ValueError(
            f"items of shape {tuple(x.shape)} and labels of shape {tuple(labels.shape)}: give at least 20 items, each with a label from 0 on"
        )
    x, labels, event = x.cpu().to(torch.get_default_dtype()), labels.cpu(), tuple(x.shape[1:])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        conv = len(event) == 3 and min(event[1:]) >= 8
        body: nn.Module = ConvEncoder(event, (width,)) if conv else MLP(event, (width,), hidden=(256,))
        head = nn.Linear(width, int(labels.max()) + 1)
        order = torch.randperm(len(x))
        test, train = order[: len(x) // 10], order[len(x) // 10 :]
        mean = x[train].mean(0)
        optimiser = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=learning_rate)

        def penultimate(items: Tensor) -> Tensor:
            features: Tensor = F.relu(body(items.to(mean) - mean))
            return features

        with torch.enable_grad():
            for _ in range(epochs):
                for chosen in train[torch.randperm(len(train))].split(batch_size):
                    loss = F.cross_entropy(head(penultimate(x[chosen])), labels[chosen])
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
    for module in (body, head):
        module.eval().requires_grad_(False)
    right = torch.cat([head(penultimate(x[piece])).argmax(1) == labels[piece] for piece in test.split(ROWS)])
    kind = "convolutional" if conv else "fully connected"
    accuracy = f"{float(right.double().mean()):.1%} right on {len(test)} held-out items"
    told = f"{width} features before the last layer of a {kind} classifier of {name} ({len(train)} items, {epochs} epochs, seed {seed}, {accuracy})"
    return Features(told, penultimate)


def _placed(real: Tensor, generated: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Both in float64 about the centre of the real ones, and the squared distance below which two items count as one, far above rounding and far below anything else."""
    if real.dim() != 2 or generated.dim() != 2 or real.shape[1] != generated.shape[1]:
        raise ValueError(f"features of shape {tuple(real.shape)} and {tuple(generated.shape)}: give (N, D) and (M, D)")
    if k < 1 or min(len(real), len(generated)) <= k:
        raise ValueError(f"{len(real)} real and {len(generated)} generated items are too few for k={k}: more than {max(k, 1)} of each are needed")
    real, generated = real.double(), generated.double()
    centre = real.mean(0)
    real, generated = real - centre, generated - centre
    return real, generated, 1e-9 * real.square().sum(1).mean()


def _piece(others: Tensor) -> int:
    """Rows of distances to ``others`` that are held at a time."""
    return max(1, ENTRIES // len(others))


def _squares(items: Tensor, others: Tensor) -> Iterator[Tensor]:
    """Squared distances of ``items`` (N, D) to ``others`` (M, D), a few rows (n, M) at a time."""
    norms = others.square().sum(1)
    for piece in items.split(_piece(others)):
        yield torch.addmm(piece.square().sum(1, keepdim=True) + norms, piece, others.T, alpha=-2)


def _radii(items: Tensor, k: int) -> Tensor:
    """The squared distance of each item (N, D) to its k-th nearest other one, (N,)."""
    return torch.cat([near.topk(k + 1, 1, largest=False).values[:, k] for near in _squares(items, items)])


def _covariance(features: Tensor) -> Tensor:
    centred = features - features.mean(0)
    return centred.T @ centred / (len(features) - 1)


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a symmetric positive semidefinite matrix."""
    values, vectors = torch.linalg.eigh(covariance.double())
    root: Tensor = vectors * values.clamp_min(0).sqrt() @ vectors.T
    return root
