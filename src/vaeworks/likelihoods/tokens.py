"""The likelihood of text."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from vaeworks.distributions import TokenSequence
from vaeworks.distributions.tokens import Decoding
from vaeworks.likelihoods.base import Likelihood

__all__ = ["TokenLikelihood"]


class TokenLikelihood(Likelihood):
    """p(x | z), a probability over strings of at most L - 1 tokens that sums to one: see ``TokenSequence``. ``event_shape`` is (L,), ``levels`` V, the vocabulary with PAD, END, UNKNOWN.

    features (..., L, V): logits of all positions at once, or a ``Conditioned`` of the same batch shape, which knows the logits of each token given those before.
    """

    discrete = True

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        return (*self.event_shape, self.levels)

    def forward(self, features: Tensor) -> TokenSequence:
        return TokenSequence(cast("Tensor | Decoding", features), self.event_shape[0])
