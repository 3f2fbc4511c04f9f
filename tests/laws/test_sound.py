"""Sounds of unequal length: what the laws of all likelihoods, which see one place in time, do not reach."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from torch import Tensor

from vaeworks.check.quadrature import nodes, product
from vaeworks.distributions import Sound
from vaeworks.likelihoods.sound import SoundLikelihood

CASES = [
    ((1, 3), {"step": 1}),
    ((1, 3), {"step": 2, "noise": "laplace"}),
    ((1, 2, 2), {"step": 1, "scale_kind": "shared"}),
    ((2, 2), {"step": 5, "noise": "laplace", "scale_kind": "shared"}),
]
law = pytest.mark.parametrize(("event", "knobs"), CASES, ids=str)


def build(event: tuple[int, ...], knobs: dict[str, object]) -> SoundLikelihood:
    likelihood = SoundLikelihood(event, 0, scale=0.4, **knobs)  # type: ignore[arg-type]
    likelihood.tenth_of_log_scale.data += 0.02 * torch.randn_like(likelihood.tenth_of_log_scale)
    return likelihood.requires_grad_(False)


def by_hand(likelihood: SoundLikelihood, features: Tensor, x: Tensor, heard: Tensor) -> float:
    """One item, place by place, by scipy."""
    event, step = likelihood.event_shape, likelihood.step
    values = features[-1].reshape(-1, event[-1])
    logits = np.array([values[:, i : i + step].mean().item() * (step * len(values)) ** 0.5 for i in range(0, event[-1], step)])
    end = max((int(index[-1]) for index in heard.nonzero()), default=-1)
    if end < 0:
        return 0.0
    total = float(scipy.special.log_softmax(logits)[end // step])
    family = scipy.stats.norm if likelihood.noise == "normal" else scipy.stats.laplace
    scales = likelihood.log_scale.exp().expand(event)
    for index in heard.nonzero().tolist():
        at = tuple(index)
        total += float(family(features[: event[0]][at].item(), scales[at].item()).logpdf(x[at].item()))
    return total


@law
def test_density_place_by_place(event: tuple[int, ...], knobs: dict[str, object]) -> None:
    likelihood = build(event, knobs)
    for _ in range(10):
        features, x, heard = torch.randn(likelihood.parameter_shape), torch.randn(event), torch.rand(event) < 0.5
        p = likelihood(features)
        assert p.marginal(heard).log_prob(x.masked_fill(~heard, torch.nan)).item() == pytest.approx(by_hand(likelihood, features, x, heard))
    whole = torch.ones(event, dtype=torch.bool)
    assert p.log_prob(x).item() == pytest.approx(by_hand(likelihood, features, x, whole))


@law
def test_terms_add_up_and_tell_the_end_where_it_is(event: tuple[int, ...], knobs: dict[str, object]) -> None:
    likelihood = build(event, knobs)
    p = likelihood(torch.randn(4, *likelihood.parameter_shape))
    x, end = torch.randn(4, *event), torch.tensor([0, 1, 2, 2])
    heard = (torch.arange(event[-1]) < end.view(-1, *(1 for _ in event))).expand(4, *event)
    part = p.marginal(heard)
    terms = part.terms(x.masked_fill(~heard, torch.nan))
    torch.testing.assert_close(terms.flatten(1).sum(1), part.log_prob(x))
    assert (terms[~heard] == 0).all()
    alone = part.base.log_prob(x)
    torch.testing.assert_close(terms[2:, ..., 0], alone[2:, ..., 0])
    certain = knobs["step"] == 5  # of one length only, which adds nothing
    assert torch.isclose(terms[2:, ..., 1], alone[2:, ..., 1]).all() == certain


def total(p: Sound, heard: Tensor, given: Tensor) -> Tensor:
    """log of the integral of p over the coordinates that are heard and NaN in ``given``."""
    where = (heard & given.isnan()).nonzero(as_tuple=True)
    points, log_weight = product([nodes("real", centre=centre) for centre in p.base.mean[where].tolist()])
    x = given.expand(len(points), *given.shape).clone()
    x[(slice(None), *where)] = points
    return (p.marginal(heard).log_prob(x) + log_weight).logsumexp(0)


@pytest.mark.parametrize("noise", ["normal", "laplace"])
@pytest.mark.parametrize(("event", "step"), [((1, 3), 1), ((1, 3), 2), ((1, 2, 2), 2), ((1, 1, 3), 5)], ids=str)
def test_lengths_and_values_integrate_to_one(event: tuple[int, ...], step: int, noise: str) -> None:
    """The sum over lengths of the integral over what is heard; in those longer than a place in time the first place is hidden, or the first row."""
    likelihood = build(event, {"step": step, "noise": noise})
    p = likelihood(3 * torch.randn(likelihood.parameter_shape))
    totals = []
    for end in range(step, event[-1] + step, step):
        heard = (torch.arange(event[-1]) < end).expand(event).clone()
        if heard.sum() > 2:
            heard[..., 0, :] &= math.prod(event[:-1]) == 1
            heard[..., 0] &= math.prod(event[:-1]) > 1
        totals.append(total(p, heard, torch.full(event, torch.nan)))
    assert len(totals) == p.logits.shape[-1]
    assert torch.stack(totals).logsumexp(0).item() == pytest.approx(0, abs=1e-7)


@law
def test_hiding_is_integrating_out_and_the_end_stays(event: tuple[int, ...], knobs: dict[str, object]) -> None:
    likelihood = build(event, knobs)
    p, x = likelihood(torch.randn(likelihood.parameter_shape)), torch.randn(event)
    whole = torch.ones(event, dtype=torch.bool)
    holes = whole.clone()
    holes[..., 0, 0] = False
    given = x.masked_fill(~holes, torch.nan)
    torch.testing.assert_close(p.marginal(holes).log_prob(given), total(p, whole, given), atol=1e-7, rtol=0)


@law
def test_an_end_told_by_nan_is_an_end_told_by_the_mask(event: tuple[int, ...], knobs: dict[str, object]) -> None:
    p = build(event, knobs)(torch.randn(5, 4, *build(event, knobs).parameter_shape))
    x = p.sample((3,))
    torch.testing.assert_close(p.log_prob(x), torch.stack([p.marginal(~one.isnan()).log_prob(one) for one in x]))
    whole, broken = torch.randn(event), torch.randn(event)
    broken[..., 0] = torch.nan
    assert p.log_prob(whole).isfinite().all()
    assert p.log_prob(broken).isnan().all()  # a hole is no end
    assert p.log_prob(torch.full(event, torch.nan)).isnan().all()  # nor is there a sound of no length


@law
def test_samples_agree_with_the_density(event: tuple[int, ...], knobs: dict[str, object]) -> None:
    """Lengths by chi square, values at each place by Kolmogorov and Smirnov; the means until the end."""
    likelihood = build(event, knobs)
    p = likelihood(torch.randn(likelihood.parameter_shape))
    x = p.sample((4000,))
    until = (~x.isnan()).sum(-1)
    assert (until == until.flatten(1)[:, :1].view(-1, *(1 for _ in event[:-1]))).all()  # all rows end together
    counts = torch.bincount((until.flatten(1)[:, 0] - 1) // likelihood.step, minlength=p.logits.shape[-1]).numpy()
    expected = len(x) * torch.stack([total_of_length(p, i) for i in range(len(counts))]).numpy()
    assert len(counts) == 1 or scipy.stats.chisquare(counts, expected).pvalue > 1e-3
    family = scipy.stats.norm if likelihood.noise == "normal" else scipy.stats.laplace
    for index in np.ndindex(event):
        values = x[(slice(None), *index)]
        scale = float(likelihood.log_scale.exp().expand(event)[index])
        assert scipy.stats.kstest(values[~values.isnan()].numpy(), family(p.base.mean[index].item(), scale).cdf).pvalue > 1e-4
    ending = p.logits.argmax() * likelihood.step + likelihood.step
    torch.testing.assert_close(p.mean, p.base.mean.masked_fill(torch.arange(event[-1]) >= ending, torch.nan), equal_nan=True)
    assert p.log_prob(p.mode).isfinite()


def total_of_length(p: Sound, length: int) -> Tensor:
    """p(length), as the density at the mode over the density of its values: both by ``log_prob``."""
    end = min((length + 1) * p.step, p.event_shape[-1])
    heard = torch.arange(p.event_shape[-1]) < end
    x = p.base.mean.masked_fill(~heard, torch.nan)
    return (p.log_prob(x) - p.base.log_prob(p.base.mean).masked_fill(~heard, 0).sum()).exp()


@law
def test_batches_masks_and_means_go_item_by_item(event: tuple[int, ...], knobs: dict[str, object]) -> None:
    likelihood = build(event, knobs)
    features = torch.randn(3, 4, *likelihood.parameter_shape)
    x, heard = torch.randn(4, *event), (torch.rand(4, *event) < 0.6)
    heard[0] = False
    p = likelihood(features).marginal(heard)
    together = p.log_prob(x)
    apart = torch.stack([torch.stack([likelihood(features[k, b]).marginal(heard[b]).log_prob(x[b]) for b in range(4)]) for k in range(3)])
    torch.testing.assert_close(together, apart, atol=0, rtol=1e-12)
    assert (together[:, 0] == 0).all()
    known = heard.flatten(1, -2).any(1)
    ends = [max((int(i) for i in row.nonzero()), default=-1) + 1 for row in known]
    for b, end in enumerate(ends):  # told the end, the mean goes so far
        assert p.mean[:, b, ..., :end].isfinite().all()
        assert p.mean[:, b, ..., end:].isnan().all()


@law
def test_padding_changes_neither_value_nor_gradient(event: tuple[int, ...], knobs: dict[str, object]) -> None:
    likelihood = build(event, knobs).requires_grad_()
    features = torch.randn(2, *likelihood.parameter_shape, requires_grad=True)
    heard = (torch.arange(event[-1]) < event[-1] - 1).expand(2, *event)
    x, results = torch.randn(2, *event), []
    for filling in (torch.nan, 0.0, 1e6):
        p = likelihood(features).marginal(heard)
        log_p = p.log_prob(x.masked_fill(~heard, filling))
        (by_mean,) = torch.autograd.grad(p.mean.nan_to_num().square().sum(), features, retain_graph=True)
        results.append([log_p, by_mean, *torch.autograd.grad(log_p.sum(), [features, *likelihood.parameters()])])
    for result in results:
        for first, second in zip(results[0], result, strict=True):
            assert first.isfinite().all()
            torch.testing.assert_close(first, second, atol=0, rtol=0)
    assert torch.autograd.gradcheck(lambda f: likelihood(f).marginal(heard).log_prob(x), features)
