"""What holds one half of the bound at a target: a capacity, a multiplier."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vaeworks.objectives import GECO, Capacity, Constant
from vaeworks.trace import Batch, Latent, Trace


def trace_of(kl: float, log_likelihood: float) -> tuple[Trace, Batch, Tensor]:
    """Two items of that KL to N(0, 1) and that log p(x | z), and the mean of q, to differentiate by."""
    mean = torch.full((2, 1), math.sqrt(2 * kl)).requires_grad_()
    q, p = Independent(Normal(mean, 1.0, validate_args=False), 1), Independent(Normal(torch.zeros(1), 1.0), 1)
    x = Independent(Normal(torch.zeros(1, 2, 1), math.exp(-log_likelihood) / math.sqrt(2 * math.pi)), 1)
    return Trace(x, (Latent(q.sample((1,)), q, p),)), Batch(torch.zeros(2, 1)), mean


@pytest.mark.parametrize(("kl", "weight", "direction"), [(0.0001, 1.0, -1), (4.9, 1.0, -1), (5.1, 1.0, 1), (2.6, 0.5, 1), (2.4, 0.5, -1)])
def test_the_kl_is_pushed_to_the_capacity_from_both_sides(kl: float, weight: float, direction: int) -> None:
    trace, batch, mean = trace_of(kl, -1.0)
    loss = Capacity(capacity=5.0, gamma=10.0)(trace, batch, weight)
    (gradient,) = torch.autograd.grad(loss.value, mean)
    torch.testing.assert_close(gradient, direction * 10 * mean.detach() / 2)
    assert float(loss.terms["elbo"].mean()) == pytest.approx(-1 - kl, rel=1e-4)


def test_the_capacity_grows_over_the_first_half_of_training_unless_told_otherwise() -> None:
    assert [Capacity().weight(progress) for progress in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0, 0.5, 1, 1])
    assert Capacity(schedule=Constant()).weight(0.0) == 1


@pytest.mark.parametrize("constrain", ["rate", "distortion"])
def test_the_multiplier_grows_while_the_constraint_is_broken_and_falls_while_there_is_room(constrain: str) -> None:
    objective = GECO(constrain=constrain, target=10.0, speed=0.1, memory=0.5)
    broken = trace_of(15.0, -15.0)[:2]
    spare = trace_of(8.0, -8.0)[:2]
    objective(*broken)
    assert float(objective.excess) == pytest.approx(5, rel=1e-5)  # the first average is the first excess
    assert float(objective.log_multiplier) == pytest.approx(0.1 * 0.5, rel=1e-5)
    objective(*spare)
    assert float(objective.excess) == pytest.approx(1.5, rel=1e-5)  # half of 5, half of -2
    assert float(objective.log_multiplier) == pytest.approx(0.1 * 0.65, rel=1e-5)
    for _ in range(1000):
        objective(*spare)
    assert float(objective.log_multiplier) == pytest.approx(-math.log(1e4))
    for _ in range(2000):
        objective(*broken)
    assert float(objective.log_multiplier) == pytest.approx(math.log(1e4))
    value = objective(*broken).value
    assert float(value.detach()) == pytest.approx(15 + 1e4 * 5, rel=1e-4)


def test_a_step_that_is_not_finite_and_evaluation_leave_no_trace() -> None:
    objective = GECO(target=3.0)
    trace, batch, _ = trace_of(5.0, -5.0)
    objective(trace, batch)
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    objective(trace_of(math.nan, -1.0)[0], batch)
    objective(trace_of(math.inf, -1.0)[0], batch)
    objective.eval()(trace, batch)
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())


def test_a_rate_is_reached() -> None:
    """max of log p(x | z) subject to a KL of 2 nats, by gradient descent on the mean of q: log p(x | z) grows with the mean, so the rate ends at its target."""
    objective, mean = GECO(target=2.0, speed=0.05), torch.zeros(2, 1, requires_grad=True)
    p = Independent(Normal(torch.zeros(1), 1.0), 1)
    optimizer = torch.optim.SGD([mean], lr=0.05)
    for _ in range(700):
        q = Independent(Normal(mean, 1.0), 1)
        trace = Trace(Independent(Normal(mean.unsqueeze(0), 1.0), 1), (Latent(q.sample((1,)), q, p),))
        optimizer.zero_grad()
        objective(trace, Batch(torch.full((2, 1), 10.0))).value.backward()
        optimizer.step()
    assert float(mean.detach().square().mean() / 2) == pytest.approx(2.0, rel=0.03)
    assert float(objective.log_multiplier.exp()) == pytest.approx((10 - 2) / 2, rel=0.05)  # d log p / d mean over d KL / d mean, at a mean of 2
