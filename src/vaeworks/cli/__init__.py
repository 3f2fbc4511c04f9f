"""The command ``vae``: verbs only. Everything heavy is imported inside a verb, so that ``vae --help`` answers at once."""

from vaeworks.cli.main import main

__all__ = ["main"]
