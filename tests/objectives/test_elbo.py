"""The ELBO where it is tight, and what its knobs do."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vaeworks.check.linear_gaussian import LinearGaussian
from vaeworks.objectives import ELBO, Loss
from vaeworks.trace import Batch, Latent, Trace


@pytest.fixture
def model() -> LinearGaussian:
    torch.manual_seed(0)
    return LinearGaussian.random(5, 3)


def test_at_the_exact_posterior_every_sample_gives_log_p(model: LinearGaussian) -> None:
    x = model.sample(4)
    exact = model.log_prob(x)
    terms = ELBO(analytic=False)(model.vae()(Batch(x), 6), Batch(x)).terms
    torch.testing.assert_close(terms["elbo"], exact.expand(6, 4))


@pytest.mark.parametrize("inflate", [0.5, 0.9, 1.1, 2.0])
def test_elsewhere_it_lies_below(model: LinearGaussian, inflate: float) -> None:
    x = model.sample(4)
    with torch.no_grad():
        terms = ELBO()(model.vae(inflate=inflate)(Batch(x), 4000), Batch(x)).terms
    assert (terms["elbo"].mean(0) < model.log_prob(x)).all()


def test_value_is_made_of_its_terms(model: LinearGaussian) -> None:
    batch = Batch(model.sample(4))
    trace = model.vae(inflate=1.2)(batch, 3)
    loss = ELBO(beta=3.0)(trace, batch, weight=0.5)
    torch.testing.assert_close(loss.value.detach(), 1.5 * loss.terms["kl"].mean() - loss.terms["log_likelihood"].mean())
    torch.testing.assert_close(loss.terms["elbo"], loss.terms["log_likelihood"] - loss.terms["kl"])


def level(features: Tensor) -> tuple[Trace, Batch]:
    """A trace whose only way from the features to the loss is the KL."""
    q = Independent(Normal(features[..., :2], features[..., 2:].exp()), 1)
    p = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    batch = Batch(torch.zeros(len(features), 1))
    x = Independent(Normal(torch.zeros(1, len(features), 1), torch.ones(1)), 1)
    return Trace(x=x, latents=(Latent(q.sample((1,)), q, p),)), batch


def slope(objective: ELBO, features: Tensor) -> Tensor:
    loss: Loss = objective(*level(features))
    (gradient,) = torch.autograd.grad(loss.value, features)
    return gradient


def test_free_bits_leave_a_dimension_alone_below_the_floor_and_only_there() -> None:
    """Dimension 0 costs 0.02 nats on average, dimension 1 costs 2: with a floor of 0.5 the first feels nothing, the second all."""
    features = torch.tensor([[0.1, 2.0, 0.0, 0.0], [-0.3, -2.0, 0.0, 0.0]], requires_grad=True)
    held, free = slope(ELBO(free_bits=0.5), features), slope(ELBO(), features)
    assert (held[:, [0, 2]] == 0).all()
    assert (free[:, 0] != 0).all()
    torch.testing.assert_close(held[:, [1, 3]], free[:, [1, 3]])


def test_free_bits_do_not_touch_the_reported_terms() -> None:
    features = torch.tensor([[0.1, 2.0, 0.0, 0.0]], requires_grad=True)
    held, free = (objective(*level(features)).terms for objective in (ELBO(free_bits=0.5), ELBO()))
    torch.testing.assert_close(held["kl"].flatten(), free["kl"].flatten())
    torch.testing.assert_close(held["elbo"], free["elbo"])


def test_levels_are_summed() -> None:
    features = torch.randn(3, 4)
    trace, batch = level(features)
    twice = Trace(x=trace.x, latents=trace.latents * 2)
    for objective in (ELBO(), ELBO(analytic=False), ELBO(free_bits=1e-9)):
        torch.testing.assert_close(objective(twice, batch).terms["kl"], 2 * objective(trace, batch).terms["kl"])


def test_more_samples_lower_the_variance_only(model: LinearGaussian) -> None:
    """The standard deviation of the estimate falls with the square root of K."""
    batch, vae = Batch(model.sample(2)), model.vae(inflate=1.3)
    with torch.no_grad():
        spread = [torch.stack([ELBO()(vae(batch, k), batch).value for _ in range(400)]).std() for k in (1, 16)]
    assert float(spread[0] / spread[1]) == pytest.approx(4, rel=0.2)
