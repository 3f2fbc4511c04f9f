"""Strings with gaps against every string there is: the probability of what is observed, and the distribution of what is not."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from vaeworks.distributions import TokenSequence, fill_in
from vaeworks.distributions.tokens import END, PAD
from vaeworks.likelihoods import TokenLikelihood
from vaeworks.networks import DECODER_NETWORKS

L, V, D = 5, 5, 3
KNOBS: dict[str, dict[str, Any]] = {
    "gru": {"width": 6},
    "lstm": {"width": 6, "layers": 2, "embedding": 4},
    "transformer": {"width": 8, "layers": 2, "heads": 2},
    "parallel": {"width": 8, "layers": 1, "heads": 2},
}
MASKS = [(0, 1, 1, 1, 1), (1, 0, 0, 1, 0), (0, 1, 0, 1, 0), (1, 0, 1, 0, 0), (1, 1, 0, 0, 0), (0, 0, 0, 0, 0), (1, 1, 1, 1, 1)]
pytestmark = pytest.mark.usefixtures("exact")


def strings() -> Tensor:
    """Every string of at most L - 1 tokens, (121, L)."""
    bodies = [body for n in range(L) for body in itertools.product(range(2, V), repeat=n)]
    return torch.tensor([[*body, END, *[PAD] * (L - 1 - len(body))] for body in bodies])


def several(kind: str, k: int) -> TokenSequence:
    """Distributions of batch shape (k, 1), far from alike."""
    network = DECODER_NETWORKS[kind]((D,), (L, V), **KNOBS[kind]).eval().requires_grad_(False)
    z = 2 * torch.randn(k, 1, D)
    return TokenLikelihood((L,), V)(network(z.flatten(0, 1)).unflatten(0, (k, 1)))


def truth(p: TokenSequence, log_w: Tensor, x: Tensor, observed: Tensor) -> Tensor:
    """log of the weighted mean over distributions of p(string), of all strings that agree with x (L,) where observed, (121,)."""
    agrees = ((strings() == x) | ~observed | ~(torch.arange(L) <= (x == END).long().argmax())).all(-1)
    log_p = p.log_prob(strings()[:, None, None]).squeeze(-1) + log_w.squeeze(-1)
    return torch.where(agrees, log_p.logsumexp(-1) - math.log(log_p.shape[-1]), -torch.inf)


@pytest.mark.parametrize("kind", KNOBS)
@pytest.mark.parametrize("mask", MASKS)
def test_estimates_of_the_probability_have_the_mean_of_all_that_agree(kind: str, mask: tuple[int, ...]) -> None:
    """Few particles, many times: unbiased however few there are, and whatever the weights they start with."""
    p, log_w, observed = several(kind, 4), torch.randn(4, 1), torch.tensor(mask, dtype=torch.bool)
    x = torch.tensor([3, 2, 4, END, PAD])
    many = 500
    flat = torch.arange(4).repeat_interleave(many)  # (k, many) items, the same four distributions for each
    wide = (
        TokenSequence(p.features[:, 0, None].expand(4, many, L, V), L)
        if kind == "parallel"
        else TokenSequence(p.features.rows(flat).unflatten(0, (4, many)), L)
    )
    found = fill_in(wide, x.expand(many, -1), observed.expand(many, -1), log_w.expand(-1, many))
    estimates = found.log_prob.exp().numpy()
    expected = float(truth(p, log_w, x, observed).logsumexp(0).exp())
    assert estimates.mean() == pytest.approx(expected, abs=4.5 * estimates.std() / many**0.5 + 1e-12)
    end = (found.x == END).long().argmax(-1)
    kept = observed & (torch.arange(L) <= 3)
    assert ((found.x == x) | ~kept).all()
    assert ((torch.arange(L) <= end[..., None]) == (found.x != PAD)).all()
    assert ((found.effective_sample_size >= 1 - 1e-9) & (found.effective_sample_size <= 4 + 1e-9)).all()


@pytest.mark.parametrize("kind", KNOBS)
@pytest.mark.parametrize("mask", MASKS[:3])
def test_draws_have_the_distribution_given_what_is_observed(kind: str, mask: tuple[int, ...]) -> None:
    """One draw from each of many particle systems; by the chi-squared test against enumeration."""
    k, many = 24, 600
    network = DECODER_NETWORKS[kind]((D,), (L, V), **KNOBS[kind]).eval().requires_grad_(False)
    z = 2 * torch.randn(3, D)  # p(z): three codes, each as probable, so that the truth is a sum
    observed, x = torch.tensor(mask, dtype=torch.bool), torch.tensor([3, 2, 4, END, PAD])
    chosen = torch.arange(3).repeat(k // 3)[:, None].expand(k, many).flatten()
    p = TokenLikelihood((L,), V)(network(z[chosen]).unflatten(0, (k, many)))
    found = fill_in(p, x.expand(many, -1), observed.expand(many, -1), torch.zeros(k, many))
    pick = found.log_weight.exp().T.multinomial(1).T
    drawn = found.x.gather(0, pick[..., None].expand(-1, -1, L))[0]
    log_p = truth(TokenLikelihood((L,), V)(network(z).unflatten(0, (3, 1))), torch.zeros(3, 1), x, observed)
    expected = (log_p - log_p.logsumexp(0)).exp().numpy()
    number = (drawn[:, None] == strings()).all(-1).long().argmax(-1)
    counts = np.bincount(number.numpy(), minlength=len(expected)).astype(float)
    assert counts[expected == 0].sum() == 0
    common = expected * many > 5
    observed_counts = np.append(counts[common], counts[~common].sum())
    wanted = np.append(expected[common], expected[~common].sum()) * many
    kept = wanted > 0
    assert scipy.stats.chisquare(observed_counts[kept], wanted[kept] * observed_counts[kept].sum() / wanted[kept].sum()).pvalue > 1e-4


def test_a_trimmed_batch_is_as_a_whole_one() -> None:
    p = several("gru", 4)
    log_w = torch.zeros(4, 1)
    observed = torch.tensor([[True, False, True, True, False]])
    x = torch.tensor([[3, 2, 4, END, PAD]])
    torch.manual_seed(1)
    whole = fill_in(p, x, observed, log_w)
    torch.manual_seed(1)
    short = fill_in(p, x[:, :4], observed[:, :4], log_w)
    assert torch.equal(whole.x, short.x)
    torch.testing.assert_close(whole.log_weight, short.log_weight)


@pytest.mark.parametrize("x", [[3, PAD, 2, END, PAD], [3, 3, 3, 3, 3]])
def test_what_is_no_string_is_refused(x: list[int]) -> None:
    with pytest.raises(ValueError, match="before any observed END"):
        fill_in(several("gru", 2), torch.tensor([x]), torch.ones(1, L, dtype=torch.bool), torch.zeros(2, 1))
