"""Every prior: a density over codes with samples that follow it, whatever the context."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from vaeworks.latents import FlatLatents
from vaeworks.priors import PRIORS, Prior

# One entry per registry line is what a new prior owes: its knobs.
CASES: dict[str, list[dict[str, object]]] = {"standard-normal": [{}]}
law = pytest.mark.parametrize(("name", "knobs"), [pytest.param(n, k, id=f"{n}-{i}") for n, all_ in CASES.items() for i, k in enumerate(all_)])


def build(name: str, knobs: dict[str, object], latent_size: int = 2) -> Prior:
    return PRIORS[name](latent_size, **knobs).eval()


def test_every_prior_is_under_law() -> None:
    assert set(CASES) == set(PRIORS)


@law
def test_integrates_to_one(name: str, knobs: dict[str, object]) -> None:
    p = build(name, knobs)()
    axis = torch.linspace(-12, 12, 801)
    grid = torch.cartesian_prod(axis, axis)
    total = p.log_prob(grid).logsumexp(0) + 2 * math.log(float(axis[1] - axis[0]))
    assert total.item() == pytest.approx(0, abs=1e-5)


@law
def test_samples_follow_the_density(name: str, knobs: dict[str, object]) -> None:
    """In one dimension, Kolmogorov-Smirnov against the integral of the density."""
    with torch.no_grad():
        p = build(name, knobs, latent_size=1)()
        axis = torch.linspace(-12, 12, 4001)
        distribution_function = (p.log_prob(axis[:, None]).exp() * (axis[1] - axis[0])).cumsum(0).numpy()
        samples = p.sample((5000,))[:, 0].numpy()
    assert scipy.stats.kstest(samples, lambda t: np.interp(t, axis.numpy(), distribution_function)).pvalue > 1e-3


@law
@pytest.mark.parametrize("context", [None, 3])
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_generates_with_and_without_context(name: str, knobs: dict[str, object], context: int | None, temperature: float) -> None:
    given = None if context is None else torch.randn(6, context)
    prior: nn.Module = build(name, knobs)
    assert FlatLatents().generate(prior, 6, given, temperature).shape == (6, 2)


@law
def test_temperature_scales_the_deviation_from_the_mean(name: str, knobs: dict[str, object]) -> None:
    prior = build(name, knobs)
    torch.manual_seed(1)
    full = FlatLatents().generate(prior, 50)
    torch.manual_seed(1)
    half = FlatLatents().generate(prior, 50, temperature=0.5)
    torch.testing.assert_close(half - prior().mean, 0.5 * (full - prior().mean))
    torch.testing.assert_close(FlatLatents().generate(prior, 50, temperature=0.0), prior().mean.expand(50, 2))


@law
def test_finite_far_out_and_state_round_trips(name: str, knobs: dict[str, object]) -> None:
    first, second = build(name, knobs), build(name, knobs)
    second.load_state_dict(first.state_dict())
    z = torch.full((1, 2), 100.0, requires_grad=True)
    torch.testing.assert_close(first().log_prob(z), second().log_prob(z), atol=0, rtol=0)
    (gradient,) = torch.autograd.grad(first().log_prob(z).sum(), z)
    assert gradient.isfinite().all()
    assert first().log_prob(z).isfinite().all()
