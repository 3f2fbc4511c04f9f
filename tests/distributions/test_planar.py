"""Planar and radial flows: determinants against autograd, invertibility whatever the parameters, the identity where features are zero."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from vaeworks.distributions import ForwardFlow, PlanarStep, RadialStep
from vaeworks.distributions.planar import Step


def planar(size: int, spread: float) -> PlanarStep:
    u, w = spread * torch.randn(2, size, dtype=torch.float64)
    return PlanarStep(u, w, spread * torch.randn((), dtype=torch.float64))


def radial(size: int, spread: float) -> RadialStep:
    return RadialStep(*(torch.randn(shape, dtype=torch.float64) * spread for shape in ((size,), (), ())))


steps = pytest.mark.parametrize("make", [planar, radial])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@steps
@pytest.mark.parametrize("size", [1, 2, 6])
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_determinant_is_autograds_and_positive(make: Callable[[int, float], Step], size: int, spread: float) -> None:
    for _ in range(20):
        step, z = make(size, spread), torch.randn(size, dtype=torch.float64)
        sign, log_det = torch.linalg.slogdet(torch.autograd.functional.jacobian(lambda at: step(at)[0], z))  # noqa: B023
        assert sign == 1
        torch.testing.assert_close(step(z)[1], log_det, atol=1e-8, rtol=1e-8)


@steps
def test_no_two_points_meet(make: Callable[[int, float], Step]) -> None:
    """Along the line on which a step acts its image only ever advances."""
    for _ in range(20):
        step = make(3, 5.0)
        if isinstance(step, PlanarStep):
            axis, through = torch.nn.functional.normalize(step.w, dim=-1), torch.zeros(3, dtype=torch.float64)
        else:
            axis, through = torch.tensor([1.0, 0, 0], dtype=torch.float64), step.centre
        line = through + torch.linspace(-20, 20, 4001, dtype=torch.float64)[:, None] * axis
        assert ((step(line)[0] @ axis).diff() > 0).all()


@steps
def test_features_of_zero_change_nothing(make: Callable[[int, float], Step]) -> None:
    z = torch.randn(7, 4, dtype=torch.float64)
    image, log_det = make(4, 0.0)(z)
    torch.testing.assert_close(image, z)
    torch.testing.assert_close(log_det, torch.zeros(7, dtype=torch.float64))


@steps
def test_density_of_what_was_drawn_is_the_noises_over_the_jacobian(make: Callable[[int, float], Step]) -> None:
    loc, scale = torch.randn(2, 3, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64) + 0.1
    q = ForwardFlow(loc, scale, (make(3, 1.0), make(3, 1.0), make(3, 1.0)))
    torch.manual_seed(3)
    z = q.rsample((4,))
    log_q = q.log_prob(z)
    assert log_q.shape == (4, 2)
    torch.manual_seed(3)
    noise = torch.randn(4, 2, 3, dtype=torch.float64)
    for k in range(4):
        for b in range(2):

            def to_code(u: Tensor) -> Tensor:
                return q.transform(u.expand(2, 3))[0][b]  # noqa: B023

            log_det = torch.linalg.slogdet(torch.autograd.functional.jacobian(to_code, noise[k, b])).logabsdet
            torch.testing.assert_close(to_code(noise[k, b]), z[k, b])
            torch.testing.assert_close(log_q[k, b], Normal(0.0, 1.0).log_prob(noise[k, b]).sum() - log_det)


def test_a_density_elsewhere_is_refused() -> None:
    q = ForwardFlow(torch.zeros(1, 2), torch.ones(1, 2), ())
    z = q.rsample((3,))
    q.log_prob(z)
    for other in (z.clone(), torch.zeros(3, 1, 2)):
        with pytest.raises(NotImplementedError, match="very samples last drawn"):
            q.log_prob(other)
