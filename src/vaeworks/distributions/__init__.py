"""Parameter-free mathematics: distributions that torch lacks, or does not compute stably."""

from vaeworks.distributions.bernoulli import Bernoulli, ContinuousBernoulli
from vaeworks.distributions.chain import Chain, Marginal
from vaeworks.distributions.columns import Columns, Row
from vaeworks.distributions.detached import detached
from vaeworks.distributions.flows import Flow, FlowKind, FlowModule, make_flow
from vaeworks.distributions.grid import DiscretisedLogistic, DiscretisedLogisticMixture, GridCategorical
from vaeworks.distributions.margins import Margin, fit_margin
from vaeworks.distributions.observable import Factorised, Observable
from vaeworks.distributions.particles import Particles, fill_in
from vaeworks.distributions.planar import ForwardFlow, PlanarStep, RadialStep
from vaeworks.distributions.point import PointMass
from vaeworks.distributions.sound import Sound
from vaeworks.distributions.standard_normal import StandardNormal
from vaeworks.distributions.tokens import TokenSequence
from vaeworks.distributions.von_mises_fisher import UniformSphere, VonMisesFisher
from vaeworks.distributions.wrapped_normal import WrappedNormal

__all__ = [
    "Bernoulli",
    "Chain",
    "Columns",
    "ContinuousBernoulli",
    "DiscretisedLogistic",
    "DiscretisedLogisticMixture",
    "Factorised",
    "Flow",
    "FlowKind",
    "FlowModule",
    "ForwardFlow",
    "GridCategorical",
    "Margin",
    "Marginal",
    "Observable",
    "Particles",
    "PlanarStep",
    "PointMass",
    "RadialStep",
    "Row",
    "Sound",
    "StandardNormal",
    "TokenSequence",
    "UniformSphere",
    "VonMisesFisher",
    "WrappedNormal",
    "detached",
    "fill_in",
    "fit_margin",
    "make_flow",
]
