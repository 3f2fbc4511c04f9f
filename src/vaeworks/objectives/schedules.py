"""How the weight of the KL moves while training, as a function of progress in [0, 1]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import Field

__all__ = ["SCHEDULES", "Constant", "Cyclical", "LinearWarmUp", "Schedule"]


class Schedule(ABC):
    """progress in [0, 1] -> weight in [0, 1]."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """The weight when ``progress`` of all training steps are done."""


class Constant(Schedule):
    """Always 1."""

    def __call__(self, progress: float) -> float:
        return 1.0


class LinearWarmUp(Schedule):
    """From ``start`` to 1 over the first ``fraction`` of training (Bowman et al. 2016, arXiv:1511.06349; Sønderby et al. 2016, arXiv:1602.02282)."""

    def __init__(self, *, fraction: Annotated[float, Field(gt=0, le=1)] = 0.1, start: Annotated[float, Field(ge=0, le=1)] = 0.0):
        self.fraction, self.start = fraction, start

    def __call__(self, progress: float) -> float:
        return self.start + (1 - self.start) * min(1.0, progress / self.fraction)


class Cyclical(Schedule):
    """``cycles`` times from 0 to 1: rising over the first ``rise`` of each cycle, then held (Fu et al. 2019, arXiv:1903.10145). Ends at 1."""

    def __init__(self, *, cycles: Annotated[int, Field(gt=0)] = 4, rise: Annotated[float, Field(gt=0, le=1)] = 0.5):
        self.cycles, self.rise = cycles, rise

    def __call__(self, progress: float) -> float:
        if progress >= 1:
            return 1.0
        return min(1.0, (progress * self.cycles) % 1 / self.rise)


SCHEDULES: dict[str, type[Schedule]] = {"constant": Constant, "linear": LinearWarmUp, "cyclical": Cyclical}
"""The schedule axis: recipe name -> class."""
