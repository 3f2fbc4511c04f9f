"""Strings in graphs: the logits of the next token, and all tokens at once where a decoder writes so."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaeworks.distributions import TokenSequence
from vaeworks.distributions.tokens import END, without_padding
from vaeworks.model import VAE
from vaeworks.networks.sequences import Conditioned

__all__ = ["NextToken", "written_at_once"]


class NextToken(nn.Module):
    """z (N, D), tokens (N, L - 1) [, context] -> logits (N, L - 1, V), those of position t given the tokens before it, whatever stands there and after.

    The length is fixed: a recurrent network is written out step by step, as ONNX Runtime and torch.export take it alike.
    """

    def __init__(self, vae: VAE):
        super().__init__()
        self.vae = vae

    def forward(self, *inputs: Tensor) -> Tensor:
        z, tokens, *context = inputs
        p = self.vae.decode(z, *context)
        assert isinstance(p, TokenSequence)
        decoding = p.decoding
        assert isinstance(decoding, Conditioned)
        return _possible(decoding.project(decoding.hidden(tokens)))


def written_at_once(p: TokenSequence) -> Tensor:
    """The most probable token of every position of logits that are known beforehand, PAD after the first END, (..., L)."""
    logits = p.features
    assert isinstance(logits, Tensor)
    tokens = _possible(logits[..., : p.length - 1, :]).argmax(-1)
    tokens = torch.cat([tokens, torch.full_like(tokens[..., :1], END)], -1)
    ended = (tokens == END).long()
    return tokens * (ended.cumsum(-1) - ended == 0).long()


def _possible(logits: Tensor) -> Tensor:
    """Logits, that of PAD so low that it is never written, and finite."""
    return without_padding(logits).clamp_min(-1e30)
