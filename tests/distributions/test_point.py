import pytest
import torch

from vaeworks.distributions import PointMass


def test_every_draw_is_the_point_and_gradients_pass() -> None:
    loc = torch.randn(2, 3, requires_grad=True)
    p = PointMass(loc)
    assert (p.batch_shape, p.event_shape) == ((2,), (3,))
    assert (p.rsample((4,)) == loc).all()
    assert (p.mean == loc).all()
    assert (p.mode == loc).all()
    (gradient,) = torch.autograd.grad(p.rsample((4,)).sum(), loc)
    assert (gradient == 4).all()


def test_it_refuses_to_be_a_density() -> None:
    with pytest.raises(NotImplementedError, match="plain autoencoder"):
        PointMass(torch.zeros(1, 2)).log_prob(torch.zeros(1, 2))
