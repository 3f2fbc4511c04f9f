"""Pretraining: no KL for a while, then a decoder as it was, an encoder as it has become, and a schedule over the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from vaeworks.training.loop import Loop
from vaeworks.training.pace import Pace


def test_the_decoder_begins_again(make_loop: Callable[..., Loop], go: Callable[..., Any]) -> None:
    linear = ("objective.schedule.kind=linear", "objective.schedule.fraction=1.0", "objective.schedule.start=0.1")
    loop = make_loop(pretrain=0.25, overrides=linear, ema=0.9)
    assert loop.state.steps == 40
    begun = {name: t.clone() for name, t in loop.vae.decoder.state_dict().items()}
    plain, weights, seen = loop.pretraining.weight, [], {}

    def weight(of: Loop, progress: float) -> float:
        before = [t.clone() for t in of.vae.encoder.state_dict().values()]
        found = plain(of, progress)
        assert all(torch.equal(a, b) for a, b in zip(before, of.vae.encoder.state_dict().values(), strict=True))
        weights.append(found)
        seen[of.state.step] = [all(torch.equal(t, begun[name]) for name, t in module.decoder.state_dict().items()) for module in (of.vae, of.average)]
        if of.state.step == 10:
            mine = {id(p) for p in of.vae.decoder.parameters()}
            optimizer = of.optimizers["optimizer"]
            for moment in optimizer.moments.values():
                assert {bool(m.any()) for m, p in zip(moment, optimizer.parameters, strict=True) if id(p) in mine} == {False}
                assert all(bool(m.any()) for m, p in zip(moment, optimizer.parameters, strict=True) if id(p) not in mine)
        return found

    loop.pretraining.weight = weight  # type: ignore[method-assign]
    history = go(loop)
    assert [step for step, same in seen.items() if all(same)] == [0, 10]
    assert weights[:10] == [0.0] * 10
    assert weights[10:] == pytest.approx([0.1 + 0.9 * i / 30 for i in range(30)])
    assert history.steps == 40


def test_none_is_none(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop()
    assert [loop.pretraining.weight(loop, progress) for progress in (0.0, 0.5)] == [1.0, 1.0]
    assert not loop.pretraining.state_dict()


def test_a_resumed_run_remembers_where_the_decoder_began(
    make_loop: Callable[..., Loop], go: Callable[..., Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the model that goes on was built by chance otherwise: all that counts is in the checkpoint."""
    straight = make_loop(pretrain=0.4)
    go(straight)
    monkeypatch.setattr(Pace, "over", property(lambda pace: pace.plan.step == 7))
    go(make_loop(pretrain=0.4, folder=tmp_path))
    monkeypatch.undo()
    other = make_loop(pretrain=0.4, folder=tmp_path)
    with torch.no_grad():
        for p in (*other.vae.parameters(), *other.pretraining.parameters()):
            p.add_(1)
    go(other, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(straight.vae.state_dict().values(), other.vae.state_dict().values(), strict=True))
