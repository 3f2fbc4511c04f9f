"""What a user can do wrong, as exceptions: each message names the value, the cause and the cure."""

__all__ = ["ArtifactError", "DataError", "RecipeError", "TrainingError", "VaeworksError"]


class VaeworksError(Exception):
    """Base of every error that a user can mend; the command line prints it and exits with code 2."""


class DataError(VaeworksError):
    """The data cannot be read, or cannot be learned from."""


class RecipeError(VaeworksError):
    """A recipe names an unknown part or knob, or gives one a value outside its range."""


class ArtifactError(VaeworksError):
    """A run folder or a saved model is missing, truncated or of another kind."""


class TrainingError(VaeworksError):
    """Training cannot go on; what was learned so far is kept."""
