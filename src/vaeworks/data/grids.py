"""The decimal grid that numbers lie on, where there is one."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["decimals_of", "grid"]

_DECIMALS: Final = 6
_EXACT: Final = 2.0**53
_EPSILON: Final = 2.0**-53
_NOISE: Final = 1e-9
"""Of a step, by which arithmetic may have moved a value from the grid."""
_STEPS: Final = (1, 2, 5, 25)
"""What people round to, times a power of ten."""
_FEW: Final = 10
"""Distinct values without which a step of more than one unit is no finding."""


def decimals_of(values: NDArray[np.float64], single: bool = False) -> int:
    """The fewest decimals, 0 .. 6, that all finite ``values`` can be written with; -1 where they need more. ``single``: they were float32."""
    for decimals in range(_DECIMALS + 1):
        times = values * 10.0**decimals
        scaled = np.rint(times)
        if not (np.abs(scaled) < _EXACT / 100).all():
            return -1
        if single:
            fits = (scaled / 10.0**decimals).astype(np.float32) == values.astype(np.float32)
        else:
            fits = np.abs(times - scaled) <= _NOISE + 8 * _EPSILON * np.abs(times)
        if fits.all():
            return decimals
    return -1


def grid(values: NDArray[np.float64], decimals: int) -> float:
    """The step of the grid that distinct ``values`` (K,) of so many ``decimals`` lie on: 10^-decimals, or or 2, 5, 10, 20, 25, 50, 100 ... times that, where all are multiples."""
    whole = np.abs(np.rint(values * 10.0**decimals)).astype(np.int64)
    common = int(np.gcd.reduce(whole)) if len(whole) else 0
    step = 1
    if len(values) >= _FEW and common > 1:
        step = max(d * 10**k for d in _STEPS for k in range(len(str(common))) if common % (d * 10**k) == 0)
    return step / 10.0**decimals
