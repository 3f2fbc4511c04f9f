"""The decimal grid that numbers lie on, where there is one."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["decimals_of", "grid"]

_DECIMALS: Final = 6
_EXACT: Final = 2.0**53
_STEPS: Final = (25, 10, 5, 2)
"""Whole multiples of a power of ten that people round to."""
_FEW: Final = 10
"""Distinct values without which a step of more than one unit is no finding."""


def decimals_of(values: NDArray[np.float64], single: bool = False) -> int:
    """The fewest decimals, 0 .. 6, that all finite ``values`` can be written with; -1 where they need more. ``single``: they were float32."""
    for decimals in range(_DECIMALS + 1):
        scaled = np.rint(values * 10.0**decimals)
        if not (np.abs(scaled) < _EXACT).all():
            return -1
        back = scaled / 10.0**decimals
        if (back.astype(np.float32) == values.astype(np.float32) if single else back == values).all():
            return decimals
    return -1


def grid(values: NDArray[np.float64], decimals: int) -> float:
    """The step of the grid that distinct ``values`` (K,) of so many ``decimals`` lie on: 10^-decimals, or 2, 5, 10 or 25 times that, and so on, where all are multiples."""
    whole = np.abs(np.rint(values * 10.0**decimals)).astype(np.int64)
    common = int(np.gcd.reduce(whole)) if len(whole) else 0
    step = 1
    while len(values) >= _FEW and common > 1:
        factor = next((factor for factor in _STEPS if common % factor == 0), 1)
        if factor == 1 or (factor == 2 and step > 1):
            break
        step, common = step * factor, common // factor
        if factor in {2, 25}:
            break
    return step / 10.0**decimals
