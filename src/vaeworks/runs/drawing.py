"""Drawing: the item that is shown for p(x | z)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vaeworks.distributions import Observable, TokenSequence
from vaeworks.errors import VaeworksError

__all__ = ["Drawing"]


@dataclass(frozen=True)
class Drawing:
    """How an item is made of p(x | z): its mean, a draw, or of text the most probable string that a search finds. VaeworksError where a value is out of its range."""

    noise: bool = False
    """Draw from p(x | z)."""
    token_temperature: float = 1.0
    """Of each token's distribution where text is drawn: below 1 safer, 0 the most probable token."""
    top_p: float = 1.0
    """Draw among the most probable tokens that have this probability together (Holtzman et al. 2020, arXiv:1904.09751)."""
    beam: int = 1
    """Beginnings that the search for the most probable text keeps; 1 takes the most probable token each time."""

    def __post_init__(self) -> None:
        if self.token_temperature < 0 or not 0 < self.top_p <= 1 or self.beam < 1:
            raise VaeworksError(
                f"token temperature {self.token_temperature} must be 0 or more, top_p {self.top_p} above 0 and at most 1, and beam {self.beam} 1 or more"
            )

    def of(self, p: Observable) -> Tensor:
        """An item (..., *event); VaeworksError where text is asked for and there are no tokens."""
        if not isinstance(p, TokenSequence):
            if (self.token_temperature, self.top_p, self.beam) != (1.0, 1.0, 1):
                raise VaeworksError("token temperature, top-p and beam are for models of text, and this is none: leave them out")
            return p.sample() if self.noise else p.estimate()
        if self.noise:
            return p.sample(temperature=self.token_temperature, top_p=self.top_p)
        return p.beam(self.beam) if self.beam > 1 else p.greedy()
