"""vaeworks: variational autoencoders that train with one command, and numbers that can be trusted."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaeworks import data, distributions, evaluation, likelihoods, networks, objectives, posteriors, priors, recipes, sklearn, training
    from vaeworks.model import VAE, Decoder, Encoder, Schema
    from vaeworks.runs import Model, load, train
    from vaeworks.trace import Batch, Latent, Trace

__version__ = "0.1.0"

_HOMES = {
    "Batch": "trace",
    "Latent": "trace",
    "Trace": "trace",
    "VAE": "model",
    "Encoder": "model",
    "Decoder": "model",
    "Schema": "model",
    "Model": "runs",
    "load": "runs",
    "train": "runs",
}
_ROOMS = ("data", "distributions", "evaluation", "likelihoods", "networks", "objectives", "posteriors", "priors", "recipes", "sklearn", "training")

__all__ = [
    "VAE",
    "Batch",
    "Decoder",
    "Encoder",
    "Latent",
    "Model",
    "Schema",
    "Trace",
    "data",
    "distributions",
    "evaluation",
    "likelihoods",
    "load",
    "networks",
    "objectives",
    "posteriors",
    "priors",
    "recipes",
    "sklearn",
    "train",
    "training",
]


def __getattr__(name: str) -> Any:
    """Imports on first use, so that ``import vaeworks`` and ``vae --help`` do not wait for torch."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"vaeworks.{_HOMES[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"vaeworks.{name}")
    raise AttributeError(f"module 'vaeworks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
