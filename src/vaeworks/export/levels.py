"""Means over the levels of a pixel, in a few operations of a graph: level by level they would be hundreds."""

from __future__ import annotations

import torch
from torch import Tensor

from vaeworks.distributions import DiscretisedLogistic, DiscretisedLogisticMixture

__all__ = ["mean_of_levels"]

AT_ONCE = 16
"""Levels computed side by side: what that takes of memory is so many times an item."""


def mean_of_levels(p: DiscretisedLogistic | DiscretisedLogisticMixture) -> Tensor:
    """The mean of each pixel: 1 minus the average of the distribution function at the upper edges of its levels."""
    edges = (torch.arange(p.levels - 1, dtype=p.loc.dtype) + 0.5) / (p.levels - 1)
    loc, shrink = p.loc.unsqueeze(-1), torch.exp(-p.log_scale).unsqueeze(-1)
    below = [torch.sigmoid((some - loc) * shrink).sum(-1) for some in edges.split(AT_ONCE)]
    mean: Tensor = 1 - sum(below[1:], start=below[0]) / (p.levels - 1)
    if isinstance(p, DiscretisedLogisticMixture):
        mean = (p.logits.softmax(-3).unsqueeze(-3) * mean).sum(-4)
    return mean
