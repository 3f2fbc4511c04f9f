"""The Poincare ball: distances, densities and the flat limit."""

import math

import pytest
import torch
from torch.distributions import Normal

from vaeworks.distributions import WrappedNormal
from vaeworks.distributions.wrapped_normal import exp_origin, log_origin, mobius_add


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def distance(x: torch.Tensor, y: torch.Tensor, c: float) -> torch.Tensor:
    """On the ball of curvature -c: acosh(1 + 2 c |x - y|^2 / ((1 - c |x|^2) (1 - c |y|^2))) / sqrt(c), an expression that no Mobius addition enters."""
    gap = 2 * c * (x - y).square().sum(-1) / ((1 - c * x.square().sum(-1)) * (1 - c * y.square().sum(-1)))
    return torch.acosh(1 + gap) / math.sqrt(c)


@pytest.mark.parametrize("c", [0.2, 1.0, 2.5])
def test_translation_keeps_distances_and_the_maps_invert(c: float) -> None:
    a, b, m = exp_origin(torch.randn(3, 50, 4, dtype=torch.float64), c)
    torch.testing.assert_close(distance(mobius_add(m, a, c), mobius_add(m, b, c), c), distance(a, b, c))
    torch.testing.assert_close(mobius_add(-m, mobius_add(m, a, c), c), a)
    v = torch.randn(50, 4, dtype=torch.float64)
    torch.testing.assert_close(log_origin(exp_origin(v, c), c), v)
    torch.testing.assert_close(distance(exp_origin(v, c), torch.zeros_like(v), c), v.norm(dim=-1))


@pytest.mark.parametrize("c", [0.2, 1.0, 2.5])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_density_is_the_normals_over_the_jacobian(c: float, size: int) -> None:
    loc = exp_origin(torch.randn(size, dtype=torch.float64), c)
    scale = torch.rand(size, dtype=torch.float64) + 0.3
    q = WrappedNormal(loc, scale, c)
    for noise in torch.randn(5, size, dtype=torch.float64):

        def lay(v: torch.Tensor) -> torch.Tensor:
            return mobius_add(loc, exp_origin(v, c), c)

        v = scale * noise
        jacobian = torch.autograd.functional.jacobian(lay, v)
        expected = Normal(torch.zeros(size, dtype=torch.float64), scale).log_prob(v).sum() - torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(q.log_prob(lay(v)), expected)


def test_of_small_curvature_it_is_half_a_normal() -> None:
    """exp_0 halves lengths near the origin: the coordinates of a flat ball are N(loc, (scale / 2)^2)."""
    loc, scale = torch.tensor([0.2, -0.1], dtype=torch.float64), torch.tensor([0.5, 0.7], dtype=torch.float64)
    z = loc + 0.3 * torch.randn(20, 2, dtype=torch.float64)
    expected = Normal(loc, scale / 2).log_prob(z).sum(-1)
    torch.testing.assert_close(WrappedNormal(loc, scale, 1e-9).log_prob(z), expected, atol=1e-6, rtol=0)


def test_at_the_origin_it_is_a_prior() -> None:
    p = WrappedNormal(torch.zeros(3), torch.ones(3))
    z = p.sample((1000,))
    assert (z.norm(dim=-1) < 1).all()
    torch.testing.assert_close(p.mean, torch.zeros(3), atol=1e-6, rtol=0)
    assert (p.mode == 0).all()
    turn = torch.linalg.qr(torch.randn(3, 3)).Q
    torch.testing.assert_close(p.log_prob(z @ turn), p.log_prob(z), atol=2e-2, rtol=1e-3)  # float32 near the rim


def test_finite_at_the_rim_and_at_the_centre_in_single_precision() -> None:
    for value in (0.0, 1e-8, 0.7, 1.0, 3.0):
        loc = exp_origin(torch.tensor([[4.9, 0.0], [0.0, 0.0]]), 1.0).requires_grad_()
        scale = torch.ones(2, requires_grad=True)
        z = torch.full((2, 2), value, requires_grad=True)
        total = WrappedNormal(loc, scale).log_prob(z).sum()
        assert all(g.isfinite().all() for g in (total, *torch.autograd.grad(total, [loc, scale, z])))
    q = WrappedNormal(torch.zeros(2), torch.full((2,), 100.0))
    assert q.log_prob(q.sample((100,))).isfinite().all()


def test_flat_space_is_refused() -> None:
    with pytest.raises(ValueError, match="curvature=0"):
        WrappedNormal(torch.zeros(2), torch.ones(2), 0.0)
