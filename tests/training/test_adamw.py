"""Our holder of moments against torch.optim's own."""

from __future__ import annotations

import pytest
import torch

from vaeworks.training.adamw import AdamW


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("weight_decay", "betas"), [(0.0, (0.9, 0.999)), (0.1, (0.5, 0.9))])
def test_the_numbers_are_torchs(fused: bool, weight_decay: float, betas: tuple[float, float]) -> None:
    """Bit for bit with the same kernel; a parameter without a gradient stays, and its moments with it."""
    torch.manual_seed(0)
    ours = [torch.randn(shape, requires_grad=True) for shape in ((5, 3), (3,), (2, 3, 4, 4))]
    theirs = [p.detach().clone().requires_grad_() for p in ours]
    optimizer = AdamW(ours, weight_decay=weight_decay, betas=betas)
    optimizer.fused = fused
    reference = torch.optim.AdamW(theirs, weight_decay=weight_decay, betas=betas, fused=fused, foreach=None if fused else True)
    for step in range(20):
        optimizer.learning_rate = reference.param_groups[0]["lr"] = 0.1 / (1 + step)
        for i, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            mine.grad = None if i == 1 and step % 2 else torch.randn_like(mine)
            other.grad = mine.grad
        optimizer.step()
        reference.step()
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine, other) if fused else torch.allclose(mine, other, atol=1e-6)
    moments = dict(optimizer.named_moments())
    for i, other in enumerate(theirs):
        for name, value in reference.state[other].items():
            torch.testing.assert_close(moments[f"{i}.{name}"], value)


def test_nothing_to_move_is_no_step() -> None:
    optimizer = AdamW([torch.ones(2, requires_grad=True)])
    optimizer.learning_rate = 1.0
    optimizer.step()
    assert float(dict(optimizer.named_moments())["0.step"]) == 0
