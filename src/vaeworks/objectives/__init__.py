"""What is minimised: (trace, batch) -> Loss."""

from vaeworks.objectives.autoencoder import Autoencoder
from vaeworks.objectives.base import Loss, Objective, analytic_kl, kl_per_dimension
from vaeworks.objectives.elbo import ELBO
from vaeworks.objectives.schedules import SCHEDULES, Constant, Cyclical, LinearWarmUp, Schedule

__all__ = [
    "ELBO",
    "OBJECTIVES",
    "SCHEDULES",
    "Autoencoder",
    "Constant",
    "Cyclical",
    "LinearWarmUp",
    "Loss",
    "Objective",
    "Schedule",
    "analytic_kl",
    "kl_per_dimension",
]

OBJECTIVES: dict[str, type[Objective]] = {"elbo": ELBO, "autoencoder": Autoencoder}
"""The objective axis: recipe name -> class."""
