"""How z is drawn: all at once, level by level, along a path, or beside a class."""

from vaeworks.latents.base import Latents, Parts, context_of
from vaeworks.latents.flat import FlatLatents
from vaeworks.latents.hamiltonian import HamiltonianLatents, PathLatents
from vaeworks.latents.labelled import LabelledLatents, LabelPosterior
from vaeworks.latents.riemannian import RiemannianLatents
from vaeworks.latents.two_level import TwoLevelLatents
from vaeworks.latents.two_stage import TwoStageLatents

__all__ = [
    "LATENTS",
    "FlatLatents",
    "HamiltonianLatents",
    "LabelPosterior",
    "LabelledLatents",
    "Latents",
    "Parts",
    "PathLatents",
    "RiemannianLatents",
    "TwoLevelLatents",
    "TwoStageLatents",
    "context_of",
]

LATENTS: dict[str, type[Latents]] = {
    "flat": FlatLatents,
    "two-level": TwoLevelLatents,
    "two-stage": TwoStageLatents,
    "hamiltonian": HamiltonianLatents,
    "riemannian": RiemannianLatents,
    "labelled": LabelledLatents,
}
"""The latents axis: recipe name -> class."""
