"""Every network of token sequences, and the distribution that its features make: one probability over all strings, whatever stands beside or beyond an item."""

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from vaeworks.distributions import TokenSequence
from vaeworks.distributions.tokens import END, PAD, through_end
from vaeworks.likelihoods import TokenLikelihood
from vaeworks.networks import DECODER_NETWORKS, ENCODER_NETWORKS, Conditioned

L, V, D = 4, 5, 3
RECURRENT: list[dict[str, Any]] = [{"width": 6}, {"width": 6, "layers": 2, "embedding": 4}]
ENCODERS: dict[str, list[dict[str, Any]]] = {
    "gru": RECURRENT,
    "lstm": RECURRENT,
    "transformer": [{"width": 8, "layers": 2, "heads": 2}, {"width": 7, "layers": 1, "heads": 1}],
}
PLANNED: list[dict[str, Any]] = [{"width": 6, "layers": 2, "embedding": 4, "plan": 3}]
WRITERS: dict[str, list[dict[str, Any]]] = ENCODERS | {"gru": RECURRENT + PLANNED, "lstm": [*RECURRENT, {"width": 6, "plan": 3}]}
"""Decoders that write token by token."""
DECODERS = WRITERS | {"parallel": [{"width": 8, "layers": 2, "heads": 2}], "mlp": [{"hidden": (6,)}]}


def cases(table: dict[str, list[dict[str, Any]]]) -> list[object]:
    return [pytest.param(name, knobs, id=f"{name}-{i}") for name, all_ in table.items() for i, knobs in enumerate(all_)]


encoder_law = pytest.mark.parametrize(("name", "knobs"), cases(ENCODERS))
decoder_law = pytest.mark.parametrize(("name", "knobs"), cases(DECODERS))
writer_law = pytest.mark.parametrize(("name", "knobs"), cases(WRITERS))


def strings() -> Tensor:
    """Every string of at most L - 1 tokens, (40, L)."""
    bodies = [body for n in range(L) for body in itertools.product(range(2, V), repeat=n)]
    return torch.tensor([[*body, END, *[PAD] * (L - 1 - len(body))] for body in bodies])


def encoder(name: str, knobs: dict[str, Any]) -> nn.Module:
    return ENCODER_NETWORKS[name]((7, V), (2, 3), **knobs)


def decoder(name: str, knobs: dict[str, Any], size: int = D) -> nn.Module:
    return DECODER_NETWORKS[name]((size,), (L, V), **knobs).eval()


def distribution(network: nn.Module, z: Tensor) -> TokenSequence:
    """p(x | z), batch shape that of z (..., D)."""
    return TokenLikelihood((L,), V)(network(z.flatten(0, -2)).unflatten(0, z.shape[:-1]))


def one(name: str, knobs: dict[str, Any], spread: float = 1.0) -> TokenSequence:
    """Batch shape (1,)."""
    return distribution(decoder(name, knobs).requires_grad_(False), spread * torch.randn(1, D))


def test_every_sequence_network_is_under_law() -> None:
    assert set(ENCODERS) == {name for name, network in ENCODER_NETWORKS.items() if getattr(network, "reads_tokens", False)}
    assert set(DECODERS) >= set(ENCODERS)
    assert set(DECODERS) <= set(DECODER_NETWORKS)


@encoder_law
def test_encoder_takes_items_of_any_length(name: str, knobs: dict[str, Any]) -> None:
    network = encoder(name, knobs).train()
    for length in (1, 3, 7):
        x = torch.randint(2, V, (4, length))
        y = network(x)
        assert y.shape == (4, 2, 3)
        torch.testing.assert_close(network(x[1:2]), y[1:2], atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(network(x.flip(0)).flip(0), y, atol=1e-10, rtol=1e-10)


@encoder_law
def test_what_is_not_observed_is_not_looked_at(name: str, knobs: dict[str, Any]) -> None:
    """Neither its value nor its gradient: padding of any length and content, gaps, a shift too."""
    network = encoder(name, knobs)
    short, shift = torch.randint(2, V, (3, 4)), torch.randn(3, network.token_size)
    seen = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 0]]).bool()
    results = []
    for width, filling in ((4, 0), (4, 3), (7, 2), (6, 4)):
        x = torch.full((3, width), filling)
        observed = torch.zeros(3, width, dtype=torch.bool)
        x[:, :4], observed[:, :4] = short.masked_fill(~seen, filling), seen
        y = network(x, observed, shift)
        results.append([y, *torch.autograd.grad(y.square().sum(), list(network.parameters()), materialize_grads=True, allow_unused=True)])
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert first.isfinite().all()
            torch.testing.assert_close(first, second, atol=1e-10, rtol=1e-10)


@encoder_law
def test_nothing_observed_says_nothing(name: str, knobs: dict[str, Any]) -> None:
    network, nothing = encoder(name, knobs), torch.zeros(2, 5, dtype=torch.bool)
    first, second = (network(torch.randint(2, V, (2, 5)), nothing) for _ in range(2))
    assert first.isfinite().all()
    torch.testing.assert_close(first, second, atol=0, rtol=0)


@encoder_law
def test_encoder_knows_order_and_shift(name: str, knobs: dict[str, Any]) -> None:
    network, x = encoder(name, knobs), torch.tensor([[2, 3, 4, 2, 3]])
    assert not torch.allclose(network(x), network(x.flip(1)))
    assert not torch.allclose(network(x), network(x, None, torch.randn(1, network.token_size)))
    torch.testing.assert_close(network(x), network(x, None, torch.zeros(1, network.token_size)))
    gradients = torch.autograd.grad(network(x).square().sum(), list(network.parameters()))
    assert all(g.isfinite().all() and (g != 0).any() for g in gradients if g.shape != network.token_size)


@pytest.mark.parametrize(("name", "knobs", "side"), [(*c.values, side) for side, t in (("x", ENCODERS), ("z", DECODERS)) for c in cases(t)])
def test_state_round_trips(name: str, knobs: dict[str, Any], side: str) -> None:
    first, second = (encoder(name, knobs) if side == "x" else decoder(name, knobs) for _ in range(2))
    x, z = strings(), torch.randn(1, D)

    def result(network: nn.Module) -> Tensor:
        return network(x) if side == "x" else distribution(network, z).log_prob(x)

    assert not torch.equal(result(first), result(second))
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(result(second), result(first), atol=0, rtol=0)


@decoder_law
@pytest.mark.parametrize("spread", [1.0, 10.0, 100.0])
def test_sums_to_one(name: str, knobs: dict[str, Any], spread: float) -> None:
    p = one(name, knobs, spread)
    assert (p.batch_shape, p.event_shape) == ((1,), (L,))
    assert p.log_prob(strings()[:, None]).logsumexp(0).item() == pytest.approx(0, abs=1e-9)


@decoder_law
def test_what_is_no_whole_string_has_no_probability(name: str, knobs: dict[str, Any]) -> None:
    p = one(name, knobs)
    assert (p.log_prob(torch.tensor([[PAD, END, PAD, PAD], [2, PAD, END, PAD], [2, 3, 4, 2], [2, 3, 4, PAD]])) == -torch.inf).all()
    assert (p.log_prob(torch.tensor([[2, 3], [2, PAD]])) == -torch.inf).all()


@decoder_law
def test_log_prob_is_the_sum_of_its_terms_token_by_token(name: str, knobs: dict[str, Any]) -> None:
    """Against the rules of the distribution, written out for one string at a time."""
    p, x = one(name, knobs), strings()
    terms = torch.zeros(len(x), L)
    for row, string in enumerate(x.tolist()):
        for t in range(string.index(END) + 1 if string.index(END) < L - 1 else L - 1):
            if isinstance(p.features, Conditioned):
                logits = p.features.logits(torch.tensor([[*string[:t], 2]]))[0, -1]  # nothing of what follows
            else:
                logits = p.features[0, t]
            others = [float(logits[v]) for v in range(V) if v != PAD]
            terms[row, t] = float(logits[string[t]]) - np.logaddexp.reduce(others)
    torch.testing.assert_close(p.log_prob_terms(x[:, None]), terms[:, None])
    torch.testing.assert_close(p.log_prob(x[:, None]), terms.sum(-1)[:, None])


@decoder_law
def test_neither_padding_nor_company_changes_a_log_probability(name: str, knobs: dict[str, Any]) -> None:
    """K samples by B items in one pass equal each by itself; beyond the end anything may stand, or nothing."""
    network, z = decoder(name, knobs), torch.randn(2, 3, D)
    x = torch.tensor([[2, END, PAD, PAD], [4, 3, END, PAD], [END, PAD, PAD, PAD]])
    with torch.no_grad():
        p = distribution(network, z)
        together = p.log_prob(x)
        apart = [[distribution(network, z[k, b][None]).log_prob(x[b][None]) for b in range(3)] for k in range(2)]
        torch.testing.assert_close(together, torch.stack([torch.cat(row) for row in apart]), atol=1e-10, rtol=1e-10)
        for other in (x[:, :3], torch.where(through_end(x), x, 3), torch.where(through_end(x), x, -1), torch.where(through_end(x), x, END)):
            torch.testing.assert_close(p.log_prob(other), together, atol=1e-10, rtol=1e-10)
            torch.testing.assert_close(p.marginal(through_end(x)[:, : other.shape[1]]).log_prob(other), together, atol=1e-10, rtol=1e-10)
    assert p.log_prob_terms(x[:, :3]).shape == (2, 3, 3)
    assert p.sample((4,)).shape == (4, 2, 3, L)
    assert p.greedy().shape == p.estimate().shape == p.beam(2).shape == (2, 3, L)


@decoder_law
def test_the_beginning_of_an_item_is_a_sum_over_all_that_may_follow(name: str, knobs: dict[str, Any]) -> None:
    p, x = one(name, knobs), strings()
    log_p = p.log_prob(x[:, None])[:, 0]
    for length in range(L + 1):
        observed = torch.arange(L) < length
        same = ((x[:, None] == x) | ~observed).all(-1)
        expected = torch.where(same, log_p, -torch.inf).logsumexp(-1)
        torch.testing.assert_close(p.marginal(observed[None]).log_prob(x[:, None])[:, 0], expected)
    torch.testing.assert_close(p.marginal(None).log_prob(x[:, None])[:, 0], log_p)


@decoder_law
def test_gaps_are_summed_over_or_refused(name: str, knobs: dict[str, Any]) -> None:
    p, x = one(name, knobs), strings()
    for mask in itertools.product([False, True], repeat=L):
        observed = torch.tensor(mask)
        if not (observed[1:] & ~observed[:-1]).any():
            continue
        if name in WRITERS:
            with pytest.raises(NotImplementedError, match="with gaps"):
                p.marginal(observed[None])
            continue
        same = ((x[:, None] == x) | ~observed).all(-1)
        expected = torch.where(same, p.log_prob(x[:, None])[:, 0], -torch.inf).logsumexp(-1)
        torch.testing.assert_close(p.marginal(observed[None]).log_prob(x[:, None].masked_fill(~observed, -1))[:, 0], expected)


@writer_law
def test_a_position_depends_on_the_tokens_before_it_alone(name: str, knobs: dict[str, Any]) -> None:
    with torch.no_grad():
        p = decoder(name, knobs)(torch.randn(1, D))
        x = torch.tensor([[2, 3, 4, 2]])
        for t in range(L):
            moved = (p.logits(x) - p.logits(x.index_fill(1, torch.tensor([t]), 4 - (t == 2)))).abs().amax(-1)[0]
            assert (moved[: t + 1] < 1e-12).all()
            assert (moved[t + 1 :] > 1e-9).all()


@writer_law
def test_token_by_token_equals_all_at_once(name: str, knobs: dict[str, Any]) -> None:
    with torch.no_grad():
        p, x = decoder(name, knobs)(torch.randn(6, D)), torch.randint(0, V, (6, L))
        expected, state = p.logits(x), p.start()
        for t in range(L):
            torch.testing.assert_close(p.step(state, x[:, t - 1] if t else None, t), expected[:, t], atol=1e-10, rtol=1e-10)
        chosen = torch.tensor([4, 4, 0])
        torch.testing.assert_close(p.rows(chosen).logits(x[chosen]), expected[chosen], atol=1e-10, rtol=1e-10)


def agreement(drawn: Tensor, probability: Tensor) -> float:
    """The p-value of the counts of the enumerated strings among ``drawn`` (n, L), rare ones taken together."""
    base = V ** torch.arange(L - 1, -1, -1)
    codes = (strings() * base).sum(-1)
    counts = np.array([int(((drawn * base).sum(-1) == code).sum()) for code in codes])
    assert counts.sum() == len(drawn)
    expected = len(drawn) * probability.numpy()
    common = expected >= 5
    counts, expected = (np.append(v[common], v[~common].sum()) for v in (counts, expected))
    assert counts[expected < 1e-6].sum() == 0
    kept = expected >= 1e-6
    return float(scipy.stats.chisquare(counts[kept], expected[kept] * counts.sum() / expected[kept].sum()).pvalue)


@decoder_law
def test_samples_follow_the_density(name: str, knobs: dict[str, Any]) -> None:
    p = one(name, knobs)
    assert agreement(p.sample((5000,))[:, 0], p.log_prob(strings()[:, None])[:, 0].exp()) > 1e-3


@decoder_law
def test_knobs_of_drawing(name: str, knobs: dict[str, Any]) -> None:
    """At temperature T each factor is its power 1/T, and top_p keeps the fewest tokens of that probability together: both written out for one beginning at a time."""
    p, x, factors = one(name, knobs), strings(), {}
    for begun in {tuple(string[:t]) for string in x.tolist() for t in range(min(string.index(END) + 1, L - 1))}:
        ways = torch.tensor([[*begun, v, *[END] * (L - len(begun) - 1)] for v in range(1, V)])[:, None]
        factor = (p.log_prob_terms(ways)[:, 0, len(begun)] / 0.7).softmax(-1).numpy()
        order = np.argsort(-factor)
        kept = order[: int(np.searchsorted(factor[order].cumsum(), 0.8)) + 1]
        factors[begun] = {int(i) + 1: factor[i] / factor[kept].sum() for i in kept}
    probability = torch.tensor([np.prod([factors[tuple(s[:t])].get(s[t], 0) for t in range(min(s.index(END) + 1, L - 1))]) for s in x.tolist()])
    assert probability.sum().item() == pytest.approx(1)
    assert agreement(p.sample((4000,), temperature=0.7, top_p=0.8)[:, 0], probability) > 1e-3


@decoder_law
def test_greedy_and_beam(name: str, knobs: dict[str, Any]) -> None:
    """Greedy takes the best token at each position; a beam as wide as all there is finds the best string of all, and a narrow one no worse a string than a beam of one, greed."""
    network, x, z = decoder(name, knobs), strings(), 2 * torch.randn(5, D)
    with torch.no_grad():
        p = distribution(network, z)
        log_p = p.log_prob(x[:, None])  # (40, 5)
        torch.testing.assert_close(p.beam(len(x)), x[log_p.argmax(0)])
        torch.testing.assert_close(p.beam(1), p.greedy())
        greedy = p.greedy()
        for t in range(L - 1):
            begun = torch.arange(L) <= t
            for item in range(5):
                if through_end(greedy)[item, t]:
                    ways = greedy[item].repeat(V - 1, 1)
                    ways[:, t] = torch.arange(1, V)
                    best = p.marginal(begun).log_prob(ways[:, None])[:, item].argmax() + 1
                    assert best == greedy[item, t]


@decoder_law
def test_gradient_is_that_of_the_density(name: str, knobs: dict[str, Any]) -> None:
    network = decoder(name, knobs)
    x = torch.tensor([[2, 4, END, PAD], [3, END, PAD, PAD]])
    assert torch.autograd.gradcheck(lambda z: distribution(network, z).log_prob(x), torch.randn(2, 2, D, requires_grad=True), atol=1e-6)
    gradients = torch.autograd.grad(distribution(network, torch.randn(2, 2, D)).log_prob(x).sum(), list(network.parameters()))
    assert all(g.isfinite().all() for g in gradients)


@decoder_law
def test_finite_at_the_extremes_in_single_precision(name: str, knobs: dict[str, Any]) -> None:
    network, x = decoder(name, knobs).float(), torch.tensor([[2, 4, END, PAD], [3, 3, 3, END], [END, PAD, PAD, PAD]])
    for size in (0.0, 30.0, 1000.0):
        z = (size * torch.randint(0, 2, (2, 3, D)).mul(2).sub(1)).float().requires_grad_()
        log_p = distribution(network, z).log_prob(x)
        gradients = torch.autograd.grad(log_p.sum(), [z, *network.parameters()])
        assert all(value.isfinite().all() for value in (log_p, *gradients))


@pytest.mark.parametrize(("name", "knobs"), [case for case in cases(DECODERS) if case.values[0] != "mlp"])
def test_without_a_code_it_is_a_language_model(name: str, knobs: dict[str, Any]) -> None:
    """z of size 0: the same decoder, one distribution whatever the item, with every parameter in use."""
    network = decoder(name, knobs, 0)
    p = distribution(network, torch.zeros(2, 3, 0))
    log_p = p.log_prob(strings()[:, None, None])
    assert p.batch_shape == (2, 3)
    torch.testing.assert_close(log_p.logsumexp(0), torch.zeros(2, 3))
    torch.testing.assert_close(log_p, log_p[:, :1, :1].expand_as(log_p))
    gradients = torch.autograd.grad(log_p.sum(), list(network.parameters()))
    assert all(g.isfinite().all() for g in gradients)
