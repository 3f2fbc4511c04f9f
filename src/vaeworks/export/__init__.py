"""From a model in memory to files that rebuild it anywhere."""

from vaeworks.export.artifact import load_artifact, save_artifact

__all__ = ["load_artifact", "save_artifact"]
