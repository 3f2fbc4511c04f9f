"""q(z | x): from the encoder network's features to a distribution over codes."""

from vaeworks.posteriors.base import Known, Posterior
from vaeworks.posteriors.committed import CommittedNormalPosterior
from vaeworks.posteriors.curved import VonMisesFisherPosterior, WrappedNormalPosterior
from vaeworks.posteriors.diagonal import DiagonalNormalPosterior
from vaeworks.posteriors.flow import IAFPosterior, MAFPosterior, SplinePosterior
from vaeworks.posteriors.full import FullNormalPosterior, LowRankNormalPosterior
from vaeworks.posteriors.planar import PlanarPosterior, RadialPosterior
from vaeworks.posteriors.point import PointPosterior

__all__ = [
    "POSTERIORS",
    "CommittedNormalPosterior",
    "DiagonalNormalPosterior",
    "FullNormalPosterior",
    "IAFPosterior",
    "Known",
    "LowRankNormalPosterior",
    "MAFPosterior",
    "PlanarPosterior",
    "PointPosterior",
    "Posterior",
    "RadialPosterior",
    "SplinePosterior",
    "VonMisesFisherPosterior",
    "WrappedNormalPosterior",
]

POSTERIORS: dict[str, type[Posterior]] = {
    "diagonal": DiagonalNormalPosterior,
    "committed": CommittedNormalPosterior,
    "full": FullNormalPosterior,
    "low-rank": LowRankNormalPosterior,
    "planar": PlanarPosterior,
    "radial": RadialPosterior,
    "iaf": IAFPosterior,
    "maf": MAFPosterior,
    "spline": SplinePosterior,
    "von-mises-fisher": VonMisesFisherPosterior,
    "wrapped-normal": WrappedNormalPosterior,
    "point": PointPosterior,
}
"""The posterior axis: recipe name -> class."""
