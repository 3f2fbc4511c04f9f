"""q(z | x): from the encoder network's features to a distribution over codes."""

from vaeworks.posteriors.base import Posterior
from vaeworks.posteriors.diagonal import DiagonalNormalPosterior
from vaeworks.posteriors.point import PointPosterior

__all__ = ["POSTERIORS", "DiagonalNormalPosterior", "PointPosterior", "Posterior"]

POSTERIORS: dict[str, type[Posterior]] = {"diagonal": DiagonalNormalPosterior, "point": PointPosterior}
"""The posterior axis: recipe name -> class."""
