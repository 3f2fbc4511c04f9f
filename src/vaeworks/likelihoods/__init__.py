"""p(x | z): from the decoder network's features to a distribution over whole items."""

from vaeworks.likelihoods.base import Likelihood
from vaeworks.likelihoods.bernoulli import BernoulliLikelihood, ContinuousBernoulliLikelihood
from vaeworks.likelihoods.grid import CategoricalLikelihood, DiscretisedLogisticLikelihood, DiscretisedLogisticMixtureLikelihood
from vaeworks.likelihoods.normal import GaussianLikelihood, LaplaceLikelihood
from vaeworks.likelihoods.sound import SoundLikelihood
from vaeworks.likelihoods.table import TableLikelihood
from vaeworks.likelihoods.tokens import TokenLikelihood

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
    "SoundLikelihood",
    "TableLikelihood",
    "TokenLikelihood",
]

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": BernoulliLikelihood,
    "continuous-bernoulli": ContinuousBernoulliLikelihood,
    "gaussian": GaussianLikelihood,
    "laplace": LaplaceLikelihood,
    "discretised-logistic": DiscretisedLogisticLikelihood,
    "discretised-logistic-mixture": DiscretisedLogisticMixtureLikelihood,
    "categorical": CategoricalLikelihood,
    "sound": SoundLikelihood,
    "table": TableLikelihood,
    "tokens": TokenLikelihood,
}
"""The likelihood axis: recipe name -> class."""
