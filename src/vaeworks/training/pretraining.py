"""An encoder that has learned before the decoder can do without it."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from vaeworks.training.loop import Loop

__all__ = ["Pretraining"]


class Pretraining(nn.Module):
    """For the first ``share`` of the steps the KL weighs nothing; then the decoder goes back to where it began, and training proper begins (Li et al. 2019, arXiv:1909.00868).

    An autoencoder's codes tell about x, and a decoder that begins again finds them ready.
    """

    def __init__(self, share: float, decoder: nn.Module):
        super().__init__()
        self.share, self.fresh = share, copy.deepcopy(decoder) if share else None

    def weight(self, loop: Loop, progress: float) -> float:
        """What the KL weighs at ``progress``: the objective's schedule runs over what is left after pretraining."""
        if not loop.state.pretrained:
            if progress < self.share:
                return 0.0
            self._end(loop)
        return loop.objective.weight(max(0.0, progress - self.share) / (1 - self.share))

    @torch.no_grad()
    def _end(self, loop: Loop) -> None:
        """The decoder, its average and what the optimiser remembers of it begin again; bounds of before count for nothing."""
        loop.state.pretrained = True
        if self.fresh is None:
            return
        loop.state.waited, loop.state.best_score = 0, -math.inf
        for module in (loop.vae, loop.average):
            module.decoder.load_state_dict(self.fresh.state_dict())
        optimizer, again = loop.optimizers["optimizer"], {id(p) for p in loop.vae.decoder.parameters()}
        for moment in optimizer.moments.values():
            torch._foreach_zero_([m for m, p in zip(moment, optimizer.parameters, strict=True) if id(p) in again])
