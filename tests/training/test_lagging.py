"""Steps of the encoder alone: they move nothing else, they help, and they end when the codes tell no more."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import scipy.integrate
import scipy.stats
import torch
from torch.distributions import Independent, Normal

from vaeworks.trace import Latent
from vaeworks.training import lagging
from vaeworks.training.loop import Loop


def latent_of(means: torch.Tensor, scale: float = 1.0) -> Latent:
    q = Independent(Normal(means, torch.full_like(means, scale)), 1)
    return Latent(q.rsample((1,)), q, Independent(Normal(torch.zeros(means.shape[1]), 1.0), 1))


def test_information_is_that_of_two_items_by_quadrature(exact: None) -> None:
    """x is one of two items, z is normal around -1 or 1: I(x; z) = H(z) - H(z | x), half of each by symmetry."""

    def density(z: float) -> float:
        return 0.5 * float(scipy.stats.norm.pdf(z, -1) + scipy.stats.norm.pdf(z, 1))

    entropy, _ = scipy.integrate.quad(lambda z: -density(z) * math.log(density(z)), -12, 12)
    truth = entropy - float(scipy.stats.norm.entropy())
    draws = torch.tensor([lagging.information_within(latent_of(torch.tensor([[-1.0], [1.0]]))) for _ in range(3000)])
    assert float(draws.mean()) == pytest.approx(truth, abs=4 * float(draws.std()) / 3000**0.5)
    assert 0.3 < truth < math.log(2)


def test_information_at_its_ends(exact: None) -> None:
    assert lagging.information_within(latent_of(torch.zeros(50, 3))) == pytest.approx(0, abs=1e-12)
    assert lagging.information_within(latent_of(100 * torch.randn(50, 3), 1e-3)) == pytest.approx(math.log(50))
    q = Independent(Normal(torch.full((4, 50, 3), 0.5), 0.7), 1)  # of a level below another: its KL stands for it
    below = Latent(q.rsample(), q, Independent(Normal(torch.zeros(3), 1.0), 1))
    assert lagging.information_within(below) == pytest.approx(float(-below.log_ratio().mean()))


def test_only_the_encoder_moves_and_the_bound_rises(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(aggressive=30, learning_rate=0.01)
    before = {name: t.clone() for name, t in loop.vae.state_dict().items()}

    def bound() -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return -sum(float(loop.loss(loop.order.at(step, 0), 1.0)[0]) for step in range(loop.epoch_steps))

    first = bound()
    taken = lagging.catch_up(loop, 0.01, 1.0)
    moved = {name for name, t in loop.vae.state_dict().items() if not torch.equal(t, before[name])}
    assert moved
    assert all(name.startswith("encoder.") for name in moved)
    assert all(p.grad is None for p in loop.vae.parameters())
    assert bound() > first
    assert 0 < taken <= 30


def test_they_stop_where_the_loss_falls_no_more(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(aggressive=1000)
    assert lagging.catch_up(loop, 0.0, 1.0) < 1000


def test_they_end_when_the_codes_tell_no_more(make_loop: Callable[..., Loop], go: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr("vaeworks.training.loop.catch_up", lambda loop, *_: calls.append(loop.state.step))
    loop = make_loop(aggressive=3, validate_every=4)
    assert lagging.still_lags(loop)
    assert loop.state.information <= math.log(10)  # of ten validation items
    loop.state.information = math.inf
    go(loop)
    assert calls == [0, 1, 2, 3]
    assert not loop.state.lagging

    calls.clear()
    go(make_loop())
    assert calls == []
