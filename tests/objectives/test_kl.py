"""KL of a level, dimension by dimension, whatever its shape."""

import torch
from torch.distributions import Independent, Laplace, MultivariateNormal, Normal, StudentT, kl_divergence

from vaeworks.distributions import StandardNormal
from vaeworks.objectives import analytic_kl, kl_per_dimension
from vaeworks.trace import Latent


def normal(*shape: int, event_dims: int) -> Independent:
    return Independent(Normal(torch.randn(shape), torch.rand(shape) + 0.5), event_dims)


def test_a_latent_image_has_as_many_dimensions_as_pixels() -> None:
    q, p = normal(4, 2, 3, 3, event_dims=3), normal(2, 3, 3, event_dims=3)
    latent = Latent(q.sample((2,)), q, p)
    per_dimension = kl_per_dimension(latent)
    assert per_dimension.shape == (4, 18)
    torch.testing.assert_close(per_dimension.sum(-1), analytic_kl(latent))


def test_a_lower_level_has_a_kl_per_sample() -> None:
    q, p = normal(5, 4, 3, event_dims=1), normal(5, 4, 3, event_dims=1)
    latent = Latent(q.sample(), q, p)
    assert kl_per_dimension(latent).shape == (5, 4, 3)
    torch.testing.assert_close(kl_per_dimension(latent).sum(-1), analytic_kl(latent))


def test_without_factors_the_level_is_one_dimension() -> None:
    q, p = MultivariateNormal(torch.randn(4, 3), torch.eye(3)), MultivariateNormal(torch.zeros(3), 2 * torch.eye(3))
    latent = Latent(q.sample((2,)), q, p)
    torch.testing.assert_close(kl_per_dimension(latent), kl_divergence(q, p)[:, None])


def test_without_closed_form_it_is_sampled_dimension_by_dimension() -> None:
    q, p = Independent(Laplace(torch.zeros(4, 3), torch.ones(4, 3)), 1), Independent(StudentT(torch.full((3,), 5.0)), 1)
    latent = Latent(q.sample((2,)), q, p)
    assert analytic_kl(latent) is None
    torch.testing.assert_close(kl_per_dimension(latent), q.base_dist.log_prob(latent.z) - p.base_dist.log_prob(latent.z))
    torch.testing.assert_close(kl_per_dimension(latent).sum(-1), -latent.log_ratio())


def test_it_is_sampled_where_that_is_asked_for() -> None:
    q, p = normal(4, 3, event_dims=1), normal(3, event_dims=1)
    latent = Latent(q.sample((100_000,)), q, p)
    sampled = kl_per_dimension(latent, analytic=False)
    assert sampled.shape == (100_000, 4, 3)
    error = sampled.std(0) / 100_000**0.5
    assert ((sampled.mean(0) - kl_per_dimension(latent)).abs() < 5 * error).all()


def test_the_short_kl_to_a_standard_normal_is_the_long_one() -> None:
    torch.manual_seed(0)
    q = Normal(torch.randn(6, 3), torch.rand(6, 3) * 4 + 1e-3)
    zeros, ones = torch.zeros(3), torch.ones(3)
    torch.testing.assert_close(kl_divergence(q, StandardNormal(zeros, ones)), kl_divergence(q, Normal(zeros, ones)), rtol=1e-5, atol=1e-5)
