"""How z is drawn: all at once, level by level, or along a path."""

from vaeworks.latents.base import Latents, Parts, context_of
from vaeworks.latents.flat import FlatLatents
from vaeworks.latents.hamiltonian import HamiltonianLatents
from vaeworks.latents.two_level import TwoLevelLatents

__all__ = ["LATENTS", "FlatLatents", "HamiltonianLatents", "Latents", "Parts", "TwoLevelLatents", "context_of"]

LATENTS: dict[str, type[Latents]] = {"flat": FlatLatents, "two-level": TwoLevelLatents, "hamiltonian": HamiltonianLatents}
"""The latents axis: recipe name -> class."""
