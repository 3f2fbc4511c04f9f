"""p(z)."""

from vaeworks.priors.base import Prior
from vaeworks.priors.normal import StandardNormalPrior

__all__ = ["PRIORS", "Prior", "StandardNormalPrior"]

PRIORS: dict[str, type[Prior]] = {"standard-normal": StandardNormalPrior}
"""The prior axis: recipe name -> class."""
