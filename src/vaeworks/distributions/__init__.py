"""Parameter-free mathematics: distributions that torch lacks, or does not compute stably."""

from vaeworks.distributions.bernoulli import Bernoulli, ContinuousBernoulli
from vaeworks.distributions.detached import detached
from vaeworks.distributions.grid import DiscretisedLogistic, DiscretisedLogisticMixture, GridCategorical
from vaeworks.distributions.observable import Factorised, Observable
from vaeworks.distributions.point import PointMass

__all__ = [
    "Bernoulli",
    "ContinuousBernoulli",
    "DiscretisedLogistic",
    "DiscretisedLogisticMixture",
    "Factorised",
    "GridCategorical",
    "Observable",
    "PointMass",
    "detached",
]
