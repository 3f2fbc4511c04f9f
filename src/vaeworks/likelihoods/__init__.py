"""p(x | z): from the decoder network's features to a distribution over whole items."""

from vaeworks.likelihoods.base import Likelihood
from vaeworks.likelihoods.bernoulli import BernoulliLikelihood, ContinuousBernoulliLikelihood
from vaeworks.likelihoods.grid import CategoricalLikelihood, DiscretisedLogisticLikelihood, DiscretisedLogisticMixtureLikelihood
from vaeworks.likelihoods.normal import GaussianLikelihood, LaplaceLikelihood

__all__ = [
    "LIKELIHOODS",
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "ContinuousBernoulliLikelihood",
    "DiscretisedLogisticLikelihood",
    "DiscretisedLogisticMixtureLikelihood",
    "GaussianLikelihood",
    "LaplaceLikelihood",
    "Likelihood",
]

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": BernoulliLikelihood,
    "continuous-bernoulli": ContinuousBernoulliLikelihood,
    "gaussian": GaussianLikelihood,
    "laplace": LaplaceLikelihood,
    "discretised-logistic": DiscretisedLogisticLikelihood,
    "discretised-logistic-mixture": DiscretisedLogisticMixtureLikelihood,
    "categorical": CategoricalLikelihood,
}
"""The likelihood axis: recipe name -> class."""
