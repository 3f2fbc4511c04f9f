"""What a step does not see: how much of it, of which items, and that a run with it still learns and is refused where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from vaeworks.errors import RecipeError
from vaeworks.evaluation import log_prob
from vaeworks.recipes import build_trainer, load_recipe
from vaeworks.trace import Batch
from vaeworks.training.hiding import hide
from vaeworks.training.loop import Loop


@pytest.mark.parametrize("share", [0.05, 0.25, 0.4, 0.5, 0.8])
def test_shares_are_as_the_rule_says(share: float) -> None:
    """The share that an item loses against its distribution: an atom at zero, and beyond it uniform, held to scipy's."""
    torch.manual_seed(0)
    lost = 1 - hide(Batch(torch.zeros(4000, 1000)), share).observed.double().mean(1).numpy()  # type: ignore[union-attr]
    assert lost.mean() == pytest.approx(share, abs=4.5 * lost.std() / 4000**0.5)
    touched = lost[lost > 0]
    assert len(touched) / 4000 == pytest.approx(min(1, 2 * share), abs=0.04)
    low = max(0.0, 2 * share - 1)
    assert scipy.stats.kstest(touched, scipy.stats.uniform(low, 1 - low).cdf).statistic < 0.05
    if share <= 0.25:
        assert len(touched) <= 2000 + 4.5 * 1000**0.5


def test_coordinates_go_independently_and_what_is_missing_stays_missing() -> None:
    torch.manual_seed(0)
    observed = torch.rand(20_000, 2, 2) < 0.7
    kept = hide(Batch(torch.zeros(20_000, 2, 2), observed, torch.ones(20_000, 1)), 0.5)
    assert kept.observed is not None
    assert not (kept.observed & ~observed).any()
    assert kept.context is not None
    # of two coordinates of one item, both stay with probability E[(1 - u)^2] = 1 / 3
    pair = observed[:, 0, 0] & observed[:, 1, 1]
    both = (kept.observed[:, 0, 0] & kept.observed[:, 1, 1])[pair].double()
    assert float(both.mean()) == pytest.approx(1 / 3, abs=4.5 * float(both.std()) / len(both) ** 0.5)


def test_a_sound_keeps_its_end() -> None:
    torch.manual_seed(0)
    length = torch.randint(1, 7, (500,))
    observed = (torch.arange(6) < length[:, None])[:, None, None].expand(500, 1, 3, 6)
    kept = hide(Batch(torch.zeros(500, 1, 3, 6), observed), 0.6, ends=True).observed
    assert kept is not None
    end = (kept.any(2)[:, 0] * torch.arange(1, 7)).amax(-1)
    assert torch.equal(end, length)
    assert kept.double().sum() < 0.7 * observed.double().sum()


def test_nothing_hidden_draws_nothing_and_a_step_sees_what_is_left(make_loop: Callable[..., Loop], monkeypatch: Any) -> None:
    """The loss of a step is that of the batch with the same coordinates hidden by hand."""
    plain = make_loop()
    torch.manual_seed(3)
    plain._loss(torch.arange(16), 1.0)
    state = torch.get_rng_state()
    torch.manual_seed(3)
    plain.vae(plain.items.batch(plain.schema, torch.arange(16)), 1)
    assert torch.equal(state, torch.get_rng_state())

    loop = make_loop(hide=0.4)
    torch.manual_seed(3)
    value, _, _ = loop._loss(torch.arange(16), 1.0)
    torch.manual_seed(3)
    batch = hide(loop.items.batch(loop.schema, torch.arange(16)), 0.4)
    assert batch.observed is not None
    assert 0.1 < float(batch.observed.double().mean()) < 0.9
    torch.testing.assert_close(value, loop.objective(loop.vae(batch, 1), batch).value)


def test_an_encoder_that_has_seen_less_infers_from_less(make_loop: Callable[..., Loop], go: Callable[..., Any]) -> None:
    """Of held-out digits whose lower half is missing: log p(upper half) less the bound, which is how far q is from the posterior, is smaller after training with hiding."""
    gaps = {}
    for share in (0.0, 0.5):
        loop = make_loop(hide=share, items=1000, epochs=25, batch_size=64, learning_rate=5e-3)
        go(loop)
        batch = loop.validation.batch(loop.schema, slice(None))
        observed = torch.zeros_like(batch.x, dtype=torch.bool)
        observed[:, :, :4] = True
        torch.manual_seed(0)
        found = log_prob(loop.vae, Batch(batch.x, observed), 400)
        gaps[share] = (found.value - found.elbo).numpy()
    gain = gaps[0.0] - gaps[0.5]
    assert gain.mean() > 4.5 * np.std(gain) / len(gain) ** 0.5


@pytest.mark.parametrize("kind", ["gru", "lstm", "transformer"])
def test_decoders_that_write_token_by_token_are_refused_with_the_cure(kind: str) -> None:
    recipe = load_recipe("text", [f"decoder.kind={kind}", "training.hide=0.2"])
    with pytest.raises(RecipeError, match=r"training\.hide = 0\.2 .*decoder\.kind = 'parallel'"):
        build_trainer(recipe)
    assert build_trainer(load_recipe("text", [f"decoder.kind={kind}"])).hide == 0
    assert build_trainer(load_recipe("text", ["decoder.kind=parallel", "training.hide=0.2"])).hide == 0.2
