"""What is minimised: (trace, batch) -> Loss."""

from vaeworks.objectives.adversarial import Adversarial
from vaeworks.objectives.autoencoder import Autoencoder
from vaeworks.objectives.base import Loss, Objective, analytic_kl, kl_per_dimension
from vaeworks.objectives.beta_tc import BetaTC
from vaeworks.objectives.capacity import Capacity
from vaeworks.objectives.dip import DIP
from vaeworks.objectives.elbo import ELBO
from vaeworks.objectives.factor import Factor
from vaeworks.objectives.geco import GECO
from vaeworks.objectives.iwae import IWAE
from vaeworks.objectives.miwae import CIWAE, MIWAE, PIWAE
from vaeworks.objectives.mmd import WAE, Info
from vaeworks.objectives.not_miwae import MissingProcess, NotMIWAE
from vaeworks.objectives.regularised import Regularised
from vaeworks.objectives.schedules import SCHEDULES, Constant, Cyclical, LinearWarmUp, Schedule
from vaeworks.objectives.semi_supervised import SemiSupervised
from vaeworks.objectives.similarity import MSSSIM
from vaeworks.objectives.spectral import SpectralELBO
from vaeworks.objectives.vae_gan import VAEGAN

__all__ = [
    "CIWAE",
    "DIP",
    "ELBO",
    "GECO",
    "IWAE",
    "MIWAE",
    "MSSSIM",
    "OBJECTIVES",
    "PIWAE",
    "SCHEDULES",
    "VAEGAN",
    "WAE",
    "Adversarial",
    "Autoencoder",
    "BetaTC",
    "Capacity",
    "Constant",
    "Cyclical",
    "Factor",
    "Info",
    "LinearWarmUp",
    "Loss",
    "MissingProcess",
    "NotMIWAE",
    "Objective",
    "Regularised",
    "Schedule",
    "SemiSupervised",
    "SpectralELBO",
    "analytic_kl",
    "kl_per_dimension",
]

OBJECTIVES: dict[str, type[Objective]] = {
    "elbo": ELBO,
    "autoencoder": Autoencoder,
    "iwae": IWAE,
    "miwae": MIWAE,
    "piwae": PIWAE,
    "ciwae": CIWAE,
    "not-miwae": NotMIWAE,
    "capacity": Capacity,
    "geco": GECO,
    "beta-tc": BetaTC,
    "factor": Factor,
    "dip": DIP,
    "info": Info,
    "wae": WAE,
    "adversarial": Adversarial,
    "vae-gan": VAEGAN,
    "regularised": Regularised,
    "ms-ssim": MSSSIM,
    "spectral-elbo": SpectralELBO,
    "semi-supervised": SemiSupervised,
}
"""The objective axis: recipe name -> class."""
