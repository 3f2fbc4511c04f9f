import math

import pytest
import torch

from vaeworks.distributions import TokenSequence
from vaeworks.distributions.tokens import END, PAD, through_end


def test_through_the_first_end_that_is_observed() -> None:
    x = torch.tensor([[5, END, PAD, END], [END, 5, 5, 5], [5, 5, 5, 5]])
    assert through_end(x).tolist() == [[True, True, False, False], [True, False, False, False], [True] * 4]
    observed = torch.tensor([[True, False, True, True], [True] * 4, [False, True, True, False]])
    assert through_end(x, observed).tolist() == [[True, False, True, True], [True, False, False, False], [False, True, True, False]]


def test_equal_logits_by_hand() -> None:
    """Three tokens beside END: a string of n of them has probability 4^-(n + 1), but 4^-(L - 1) where it has no room to go on."""
    p = TokenSequence(torch.zeros(4, 5), 4)
    x = torch.tensor([[END, PAD, PAD, PAD], [2, END, PAD, PAD], [4, 3, END, PAD], [4, 3, 2, END]])
    torch.testing.assert_close(p.log_prob(x), -math.log(4) * torch.tensor([1.0, 2.0, 3.0, 3.0]))
    assert p.log_prob_terms(x)[-1].tolist() == pytest.approx([-math.log(4)] * 3 + [0.0])


def test_a_gap_by_hand() -> None:
    """The second token alone is known: the first is any but END."""
    p = TokenSequence(torch.zeros(4, 5), 4)
    observed = torch.tensor([False, True, False, False])
    assert p.marginal(observed).log_prob(torch.tensor([9, 3, -1, 0])).item() == pytest.approx(math.log(3 / 4 * 1 / 4))
    assert p.marginal(observed).log_prob(torch.tensor([9, PAD, -1, 0])).item() == pytest.approx(math.log(1 / 4))  # ended at once
    assert p.marginal(~observed).log_prob(torch.tensor([PAD, 0, 0, 0])).item() == -math.inf
    with pytest.raises(NotImplementedError, match="call log_prob"):
        p.marginal(observed).log_prob_terms(torch.tensor([9, 3, -1, 0]))


def test_a_beam_sees_past_a_tempting_first_token() -> None:
    """Greed takes 2 and is then torn between all that may follow; a beam of two finds the one string that begins with 3."""

    class Torn:
        batch_shape = (1,)

        def rows(self, index: torch.Tensor) -> "Torn":
            return self

        def start(self) -> list[torch.Tensor]:
            return []

        def step(self, state: list[torch.Tensor], token: torch.Tensor | None, t: int) -> torch.Tensor:
            if token is None:
                return torch.tensor([[-9.0, -9.0, 1.0, 0.9]]).repeat(2, 1)
            return torch.where((token == 2)[:, None], torch.zeros(4), torch.tensor([0.0, 9.0, 0.0, 0.0]))

    p = TokenSequence(Torn(), 4)
    assert p.beam(2).tolist() == [[3, END, PAD, PAD]]


def test_knobs_of_drawing_out_of_range() -> None:
    p = TokenSequence(torch.zeros(4, 5), 4)
    for knobs in ({"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(ValueError, match=r"temperature = .* must be 0 or more, and top_p = .* in \(0, 1\]"):
            p.sample(**knobs)
