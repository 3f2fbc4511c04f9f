"""How z is drawn: flat today; hierarchies and codebooks are further members of the same axis."""

from vaeworks.latents.base import Latents, Parts, context_of
from vaeworks.latents.flat import FlatLatents

__all__ = ["LATENTS", "FlatLatents", "Latents", "Parts", "context_of"]

LATENTS: dict[str, type[Latents]] = {"flat": FlatLatents}
"""The latents axis: recipe name -> class."""
