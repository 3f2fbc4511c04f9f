"""Flows: inverses, log determinants by autograd, where they start, and what they remember."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vaeworks.distributions import Flow, FlowKind, FlowModule, detached, make_flow

KINDS: tuple[FlowKind, ...] = ("realnvp", "maf", "iaf", "spline")
kinds = pytest.mark.parametrize("kind", KINDS)
sizes = pytest.mark.parametrize("size", [1, 2, 5])
contexts = pytest.mark.parametrize("context_size", [0, 3])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def bent(kind: FlowKind, size: int, context_size: int, transforms: int = 3, by: float = 0.3) -> FlowModule:
    """A flow whose parameters are far from where they start, in double precision."""
    module = make_flow(kind, size, context_size, transforms=transforms, hidden=(8, 8)).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return module


def given(context_size: int, *shape: int) -> Tensor | None:
    return torch.randn(*shape, context_size, dtype=torch.float64) if context_size else None


@kinds
@sizes
@contexts
def test_density_is_the_noises_over_the_jacobian(kind: FlowKind, size: int, context_size: int) -> None:
    module, context = bent(kind, size, context_size), given(context_size)
    loc, scale = torch.randn(size, dtype=torch.float64), torch.rand(size, dtype=torch.float64) + 0.1
    q = module(context, loc, scale)
    for u in torch.randn(4, size, dtype=torch.float64):

        def to_code(noise: Tensor) -> Tensor:
            return loc + scale * module.bijection(noise, context, True)[0]

        log_det = torch.linalg.slogdet(torch.autograd.functional.jacobian(to_code, u)).logabsdet
        expected = Normal(0.0, 1.0).log_prob(u).sum() - log_det
        torch.testing.assert_close(q.log_prob(to_code(u)), expected, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(module.bijection(module.bijection(u, context, True)[0], context, False)[0], u, atol=1e-9, rtol=1e-9)


@kinds
@contexts
def test_shapes_are_those_of_any_distribution(kind: FlowKind, context_size: int) -> None:
    module = bent(kind, 3, context_size)
    q = module(given(context_size, 4))
    batch = (4,) if context_size else ()
    assert (q.batch_shape, q.event_shape) == (batch, (3,))
    z = q.rsample((5, 2))
    assert z.shape == (5, 2, *batch, 3)
    assert q.sample((5,)).shape == (5, *batch, 3)
    assert q.mean.shape == (*batch, 3)
    assert q.log_prob(z).shape == q.log_prob(z.clone()).shape == (5, 2, *batch)
    value = torch.randn(6, 4, 3, dtype=torch.float64)
    assert q.log_prob(value).shape == (6, 4)
    assert module(given(context_size, 1)).log_prob(value).shape == (6, 4)
    moved = module(given(context_size, 4), torch.zeros(4, 3, dtype=torch.float64), torch.ones(4, 3, dtype=torch.float64))
    assert moved.batch_shape == (4,)
    assert moved.log_prob(value).shape == (6, 4)


@kinds
@contexts
def test_it_starts_near_the_normal(kind: FlowKind, context_size: int) -> None:
    for transforms in (1, 4):
        module = make_flow(kind, 4, context_size, transforms=transforms, hidden=(32, 32)).double()
        loc, scale = torch.randn(6, 4, dtype=torch.float64), torch.rand(6, 4, dtype=torch.float64) + 0.1
        q, normal = module(given(context_size, 6), loc, scale), Independent(Normal(loc, scale), 1)
        z = normal.sample((50,))
        torch.testing.assert_close(q.log_prob(z), normal.log_prob(z), atol=0.5, rtol=0)
        torch.testing.assert_close(q.mean, loc, atol=0.1, rtol=0)


@kinds
@sizes
def test_finite_far_out_in_single_precision(kind: FlowKind, size: int) -> None:
    for by in (0.0, 1.0, 5.0):
        module = bent(kind, size, 2, by=by).float()
        context = (100 * torch.randn(6, 2)).requires_grad_()
        q = module(context)
        for z in (torch.full((6, size), 100.0), torch.full((6, size), -100.0), torch.randn(6, size), 5 * torch.randn(6, size), q.rsample().detach()):
            log_p = q.log_prob(z.requires_grad_())
            gradients = torch.autograd.grad(log_p.sum(), [z, context, *module.parameters()], allow_unused=True, materialize_grads=True)
            assert all(g.isfinite().all() for g in (log_p, *gradients))
        z = q.rsample((4,))
        gradients = torch.autograd.grad(z.sum() + q.log_prob(z).sum(), [context, *module.parameters()], allow_unused=True, materialize_grads=True)
        assert all(g.isfinite().all() for g in (z, *gradients))


@kinds
def test_the_draw_is_remembered_and_only_it(kind: FlowKind) -> None:
    """A remembered density costs no pass through the networks, and is the very tensor whose gradient is that of sample and density together."""
    module = bent(kind, 3, 2)
    q = module(given(2, 4))
    z, log_q = q.rsample_and_log_prob((5,))
    calls = []
    module.bijection.register_forward_hook(lambda *_: calls.append(1))
    assert q.log_prob(z) is log_q
    assert not calls
    torch.testing.assert_close(q.log_prob(z.clone()), log_q, atol=1e-9, rtol=1e-9)
    assert len(calls) == 1
    first = q.rsample()
    q.rsample()
    q.log_prob(first)
    assert len(calls) == 4


def test_a_draw_without_gradients_gives_a_density_with_them() -> None:
    """Samples drawn under no_grad are data: their log density must still train the flow."""
    module = bent("maf", 2, 0)
    q = module()
    assert q.log_prob(q.sample((3,))).requires_grad
    with torch.inference_mode():
        z = q.rsample((3,))
        assert q.log_prob(z).shape == (3,)


@kinds
def test_mean_is_deterministic_and_near(kind: FlowKind) -> None:
    module = bent(kind, 3, 2)
    q = module(given(2, 4))
    with torch.inference_mode():
        first = q.mean
    torch.testing.assert_close(q.mean, first, atol=0, rtol=0)
    z = q.sample((4000,))
    assert ((z.mean(0) - first).abs() < 0.08 * z.std(0)).all()
    q.mean.sum().backward()  # points made while nothing was differentiated do no harm


@kinds
def test_held_fixed_no_gradient_reaches_the_flow_and_training_goes_on(kind: FlowKind) -> None:
    module = bent(kind, 3, 2)
    context = given(2, 4)
    assert context is not None
    q = module(context.requires_grad_())
    z = q.rsample()
    log_q = detached(q).log_prob(z.detach().requires_grad_())
    log_q.sum().backward()
    assert all(parameter.grad is None for parameter in module.parameters())
    assert context.grad is None
    q.log_prob(z).sum().backward()
    assert any(parameter.grad is not None for parameter in module.parameters())


def test_importing_it_leaves_validation_as_it_was_and_zuko_alone() -> None:
    code = """if True:
        import sys, torch, vaeworks
        from torch.distributions import Distribution, Normal
        assert 'zuko' not in sys.modules
        from vaeworks.distributions import make_flow
        make_flow('maf', 2, 0, transforms=1, hidden=(4,))
        assert 'zuko' in sys.modules and Distribution._validate_args
        try:
            Normal(0.0, -1.0)
        except ValueError:
            sys.exit(7)
    """
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="transforms=0"):
        make_flow("maf", 2, 0, transforms=0, hidden=(4,))
    with pytest.raises(ValueError, match="no flow is called 'nice'"):
        make_flow("nice", 2, 0, transforms=1, hidden=(4,))  # type: ignore[arg-type]


def test_it_is_a_distribution_of_its_own() -> None:
    assert isinstance(make_flow("realnvp", 2, 0, transforms=1, hidden=())(), Flow)
