"""What a check is given, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["CheckResult", "Setting", "compare"]


@dataclass(frozen=True)
class Setting:
    """Where a check runs, and how exactly."""

    device: torch.device
    dtype: torch.dtype = torch.float64
    """float64, or float32 on a device that has nothing better (Apple MPS)."""

    @classmethod
    def on(cls, device: str | torch.device) -> Setting:
        """The most exact arithmetic that ``device`` offers."""
        place = torch.device(device)
        return cls(place, torch.float32 if place.type == "mps" else torch.float64)

    def rounding(self, double: float, single: float) -> float:
        """The tolerance for rounding errors: ``double`` in float64, ``single`` in float32."""
        return double if self.dtype == torch.float64 else single


@dataclass(frozen=True)
class CheckResult:
    """One number of this system beside its exact value."""

    name: str
    """``topic: what``, such as ``normalisation: laplace``."""
    compares: str
    """What is measured and where the exact value comes from, as a sentence for the user."""
    measured: float
    expected: float
    tolerance: float
    """Greatest |measured - expected| that passes; for sampled quantities several standard errors."""
    passed: bool
    seconds: float = 0.0
    """Wall time that this comparison took."""


def compare(name: str, compares: str, measured: float, expected: float, tolerance: float) -> CheckResult:
    """The result of comparing two numbers; NaN never passes."""
    return CheckResult(name, compares, float(measured), float(expected), float(tolerance), passed=abs(measured - expected) <= tolerance)
