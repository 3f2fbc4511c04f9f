"""A pair, one part given the other: against the joint normal that a linear chain of normals is."""

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from vaeworks.distributions import Chain, ForwardFlow, Marginal, detached

SLOPE = torch.tensor([[0.5, -1.0], [0.3, 0.8]], dtype=torch.float64)
SPREAD = torch.tensor([0.4, 0.9], dtype=torch.float64)


def then(a: Tensor) -> Independent:
    return Independent(Normal(a @ SLOPE.T + 1, SPREAD.expand_as(a)), 1)


def chain(*, swapped: bool) -> tuple[Chain, np.ndarray, np.ndarray]:
    """The chain, with the mean and covariance of its value."""
    loc, scale = torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.7, 1.3], dtype=torch.float64)
    first = Independent(Normal(loc, scale), 1)
    a, slope = np.diag(scale.numpy() ** 2), SLOPE.numpy()
    b = slope @ a @ slope.T + np.diag(SPREAD.numpy() ** 2)
    mean, covariance = np.concatenate([loc, slope @ loc.numpy() + 1]), np.block([[a, a @ slope.T], [slope @ a, b]])
    order = [2, 3, 0, 1] if swapped else [0, 1, 2, 3]
    return Chain(first, then, swapped=swapped), mean[order], covariance[np.ix_(order, order)]


@pytest.mark.parametrize("swapped", [False, True])
def test_density_samples_and_mean_are_those_of_the_joint(swapped: bool) -> None:
    torch.manual_seed(0)
    p, mean, covariance = chain(swapped=swapped)
    truth = scipy.stats.multivariate_normal(mean, covariance)
    for value in (p.sample((5, 3)), p.rsample((5, 3)), torch.randn(5, 3, 4, dtype=torch.float64)):
        np.testing.assert_allclose(p.log_prob(value).numpy(), truth.logpdf(value.numpy()))
    z = p.sample((50_000,)).numpy()
    np.testing.assert_allclose(z.mean(0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.06)
    np.testing.assert_allclose(p.mean.numpy(), mean)
    part = Marginal(p)
    torch.manual_seed(1)
    b = part.sample((50_000,)).numpy()
    behind = slice(0, 2) if swapped else slice(2, 4)
    np.testing.assert_allclose(np.cov(b.T), covariance[behind, behind], atol=0.06)
    with pytest.raises(NotImplementedError, match="integral"):
        part.log_prob(torch.zeros(2))


def test_a_density_known_only_where_it_drew_is_known_there() -> None:
    loc = torch.zeros(3, 2, dtype=torch.float64)
    p = Chain(ForwardFlow(loc, torch.ones_like(loc), ()), then)
    value = p.rsample((4,))
    expected = Normal(0.0, 1.0).log_prob(value[..., :2]).sum(-1) + then(value[..., :2]).log_prob(value[..., 2:])
    torch.testing.assert_close(p.log_prob(value), expected)
    with pytest.raises(NotImplementedError, match="last drawn"):
        p.log_prob(value.clone())


def test_held_fixed_only_the_point_moves_it() -> None:
    loc, slope = torch.randn(2, requires_grad=True), torch.randn(2, requires_grad=True)
    covariance = torch.eye(2)

    def given(a: Tensor, slope: Tensor = slope) -> MultivariateNormal:
        return MultivariateNormal(a * slope, covariance)

    p = Chain(MultivariateNormal(loc, covariance), given, held=lambda a: given(a, slope.detach()))
    value = torch.randn(4, requires_grad=True)
    moving = torch.autograd.grad(p.log_prob(value), [value, loc, slope])
    (fixed,) = torch.autograd.grad(detached(p).log_prob(value), [value])
    torch.testing.assert_close(fixed, moving[0])
    assert torch.autograd.grad(detached(p).log_prob(value).sum() + 0 * value.sum(), [value, loc, slope], allow_unused=True)[1:] == (None, None)
    with pytest.raises(NotImplementedError, match="cannot be held"):
        detached(Chain(MultivariateNormal(loc, covariance), given))
