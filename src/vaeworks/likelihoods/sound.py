"""The likelihood of sounds of unequal length."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import Laplace, Normal
from torch.nn import functional as F

from vaeworks.distributions import Sound
from vaeworks.likelihoods.base import ScaledLikelihood

__all__ = ["SoundLikelihood"]


class SoundLikelihood(ScaledLikelihood):
    """p(x | z) = p(length | z) times independent noise of a learned scale about the features, until the end: waveforms (C, T) or spectrograms (1, M, F), time last.

    The features have one more channel, whose mean over the n rows and places of each step, times the root of n, is the logit of an end there. noise: ``normal`` or ``laplace``.
    scale_kind: ``shared``, one learned number; ``row``, one for every row of the event (a channel of a wave, a band of a spectrogram). step: places in time that the length is
    counted in.
    """

    discrete = False

    def __init__(
        self,
        event_shape: tuple[int, ...],
        levels: int,
        *,
        noise: Literal["normal", "laplace"] = "normal",
        scale_kind: Literal["shared", "row"] = "row",
        scale: Annotated[float, Field(gt=0)] = 0.3,
        step: Annotated[int, Field(gt=0)] = 1,
    ):
        super().__init__(event_shape, levels, initial_scale=scale)
        self.noise, self.step = noise, step
        if scale_kind == "row":
            self.tenth_of_log_scale = nn.Parameter(torch.full((*event_shape[:-1], 1), math.log(scale) / 10))

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        first, *rest = self.event_shape
        return (first + 1, *rest)

    def forward(self, features: Tensor) -> Sound:
        rank, length = len(self.event_shape), self.event_shape[-1]
        loc, end = features.split([self.event_shape[0], 1], -rank)
        logits = end.flatten(features.dim() - rank, -2).mean(-2)
        short = -length % self.step  # of a step, at the end
        sums = F.pad(logits, (0, short)).unflatten(-1, (-1, self.step)).sum(-1)
        counts = F.pad(torch.ones_like(logits[..., :length]), (0, short)).unflatten(-1, (-1, self.step)).sum(-1)
        kind = Normal if self.noise == "normal" else Laplace
        ends = sums / counts * math.sqrt(self.step * math.prod(self.event_shape[1:-1]))  # a mean alone is learned slowly
        return Sound(kind(loc, self.log_scale.exp().expand_as(loc), validate_args=False), ends, self.step)
