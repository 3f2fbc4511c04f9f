"""How z is drawn: flat today; hierarchies and codebooks are further members of the same axis."""

from vaeworks.latents.base import Latents
from vaeworks.latents.flat import FlatLatents

__all__ = ["LATENTS", "FlatLatents", "Latents"]

LATENTS: dict[str, type[Latents]] = {"flat": FlatLatents}
"""The latents axis: recipe name -> class."""
