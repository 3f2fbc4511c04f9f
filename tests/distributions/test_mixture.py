"""Mixtures of any family in pieces: the same values and derivatives as in one, and what is kept for the way back does not grow."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vaeworks.distributions import FlowKind, make_flow
from vaeworks.distributions.mixture import Mixture

ROOM = "vaeworks.distributions.mixture.ROOM"
COMPONENTS = 12


def components(kind: str) -> tuple[Distribution, list[Tensor]]:
    """Twelve distributions over three numbers, and what they are made of."""
    torch.manual_seed(0)
    loc = torch.randn(COMPONENTS, 3, requires_grad=True)
    if kind == "full":
        tril = (torch.eye(3) + 0.3 * torch.randn(COMPONENTS, 3, 3).tril()).requires_grad_()
        return MultivariateNormal(loc, scale_tril=tril, validate_args=False), [loc, tril]
    named: FlowKind = "iaf" if kind == "iaf" else "maf" if kind == "maf" else "spline"
    flow = make_flow(named, 3, 2, transforms=2, hidden=(8,))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    context, scale = torch.randn(COMPONENTS, 2, requires_grad=True), torch.rand(COMPONENTS, 3).add(0.3).requires_grad_()
    return flow.double()(context, loc, scale), [loc, context, scale, *flow.parameters()]


@pytest.fixture(autouse=True)
def _double() -> object:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("kind", ["full", "iaf", "maf", "spline"])
def test_pieces_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the components' own densities added up by hand; first and second derivatives against each other, for paths differentiate twice."""
    results = []
    for room in (2**26, 200):
        family, leaves = components(kind)
        torch.manual_seed(1)
        logits, z = torch.randn(COMPONENTS, requires_grad=True), torch.randn(5, 4, 3, requires_grad=True)
        monkeypatch.setattr(ROOM, room)
        value = Mixture(logits, family).log_prob(z)
        by_hand = torch.stack([family.log_prob(point.expand(COMPONENTS, 3)) for point in z.flatten(0, 1)]).view(5, 4, COMPONENTS)
        torch.testing.assert_close(value, (by_hand + logits.log_softmax(0)).logsumexp(-1))
        (slope,) = torch.autograd.grad(value.sum(), z, create_graph=True)
        second = torch.autograd.grad((slope**2).sum() + value.sum(), [z, logits, *leaves], allow_unused=True, materialize_grads=True)
        results.append([value, slope, *second])
        with torch.no_grad():
            torch.testing.assert_close(Mixture(logits, family).log_prob(z), value)
    for whole, pieces in zip(*results, strict=True):
        torch.testing.assert_close(whole, pieces)


@pytest.mark.parametrize("kind", ["full", "iaf"])
def test_what_is_kept_is_bounded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that autograd saves for the way back, counted as they are saved."""
    kept = []
    for room in (2**26, 2000):
        family, _ = components(kind)
        monkeypatch.setattr(ROOM, room)
        counts: list[int] = []

        def count(t: Tensor, counts: list[int] = counts) -> Tensor:
            counts.append(t.numel())
            return t

        with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
            Mixture(torch.zeros(COMPONENTS), family).log_prob(torch.randn(200, 3))
        kept.append(sum(counts))
    assert kept[1] < kept[0] / 10


def test_the_estimate_of_what_is_kept_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a factor of four, for the flows that are dear and those that are not: it decides what is too much."""
    for kind in ("iaf", "maf", "spline"):
        family, _ = components(kind)
        counts: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, counts=counts: counts.append(t.numel()) or t, lambda t: t):  # type: ignore[misc]
            Mixture(torch.zeros(COMPONENTS), family).log_prob(torch.randn(200, 3))
        real = sum(counts) / (200 * COMPONENTS * 3)
        assert family.kept / 4 < real < family.kept * 4, kind  # type: ignore[attr-defined]


def test_a_mixture_of_diagonal_normals_needs_no_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ROOM, 1)
    loc, z = torch.randn(COMPONENTS, 3), torch.randn(5, 3)
    value = Mixture(torch.zeros(COMPONENTS), Independent(Normal(loc, 1.0), 1)).log_prob(z)
    expected = (Normal(loc, 1.0).log_prob(z[:, None]).sum(-1)).logsumexp(1) - torch.tensor(float(COMPONENTS)).log()
    torch.testing.assert_close(value, expected)
