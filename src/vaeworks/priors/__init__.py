"""p(z)."""

from vaeworks.priors.base import Prior
from vaeworks.priors.conditional import ConditionalNormalPrior
from vaeworks.priors.curved import SpherePrior, WrappedNormalPrior
from vaeworks.priors.flow import FlowPrior, IAFPrior, MAFPrior, RealNVPPrior, SplinePrior
from vaeworks.priors.mixture import MixturePrior
from vaeworks.priors.normal import StandardNormalPrior
from vaeworks.priors.vamp import VampPrior

__all__ = [
    "PRIORS",
    "ConditionalNormalPrior",
    "FlowPrior",
    "IAFPrior",
    "MAFPrior",
    "MixturePrior",
    "Prior",
    "RealNVPPrior",
    "SpherePrior",
    "SplinePrior",
    "StandardNormalPrior",
    "VampPrior",
    "WrappedNormalPrior",
]

PRIORS: dict[str, type[Prior]] = {
    "standard-normal": StandardNormalPrior,
    "conditional-normal": ConditionalNormalPrior,
    "mixture": MixturePrior,
    "vamp": VampPrior,
    "realnvp": RealNVPPrior,
    "maf": MAFPrior,
    "iaf": IAFPrior,
    "spline": SplinePrior,
    "sphere": SpherePrior,
    "wrapped-normal": WrappedNormalPrior,
}
"""The prior axis: recipe name -> class."""
