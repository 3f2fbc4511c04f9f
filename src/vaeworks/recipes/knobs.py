"""The recipe's schema, derived from constructor signatures: a keyword-only parameter is a knob, its annotation the check, its default the default."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from vaeworks.latents import LATENTS
from vaeworks.likelihoods import LIKELIHOODS
from vaeworks.model import Context
from vaeworks.networks import DECODER_NETWORKS, ENCODER_NETWORKS
from vaeworks.objectives import OBJECTIVES, SCHEDULES, Schedule
from vaeworks.posteriors import POSTERIORS
from vaeworks.priors import PRIORS
from vaeworks.training import Trainer

__all__ = ["AXES", "RecipeModel", "knobs"]

AXES: dict[str, Mapping[str, type]] = {
    "encoder": ENCODER_NETWORKS,
    "posterior": POSTERIORS,
    "latents": LATENTS,
    "prior": PRIORS,
    "decoder": DECODER_NETWORKS,
    "likelihood": LIKELIHOODS,
    "objective": OBJECTIVES,
}
"""Every axis of a recipe, and the parts that can stand on it."""

DEFAULTS = {"posterior": "diagonal", "latents": "flat", "prior": "standard-normal", "objective": "elbo"}
"""The part that stands on an axis which a recipe leaves out; the likelihood is chosen from the data."""


def knobs(part: type) -> dict[str, tuple[Any, Any]]:
    """name -> (annotation, default) of the keyword-only parameters of ``part``."""
    hints = typing.get_type_hints(part.__init__, include_extras=True)  # type: ignore[misc]
    found = {}
    for name, parameter in inspect.signature(part).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            annotation = hints[name]
            found[name] = (_union(SCHEDULES) | None if annotation == Schedule | None else annotation, parameter.default)
    return found


@functools.cache
def _model(kind: str, part: type) -> type[BaseModel]:
    fields: dict[str, Any] = {"kind": (Literal[kind], kind), **knobs(part)}
    return create_model(part.__name__, __config__=ConfigDict(extra="forbid"), **fields)


def _union(parts: Mapping[str, type]) -> Any:
    models = tuple(_model(kind, part) for kind, part in parts.items())
    return models[0] if len(models) == 1 else Annotated[typing.Union[models], Field(discriminator="kind")]  # noqa: UP007


def _recipe_model() -> type[BaseModel]:
    training = create_model("Training", __config__=ConfigDict(extra="forbid"), **knobs(Trainer))  # type: ignore[call-overload]
    fields: dict[str, Any] = {
        "name": (str, "custom"),
        "summary": (str, ""),
        "paper": (str, ""),
        "data": (Literal["image", "text", "audio", "table"], "image"),
        "latent_size": (Annotated[int, Field(gt=0)], 32),
        "context": (Context, "none"),
        "training": (training, Field(default_factory=training)),
    }
    for axis, parts in AXES.items():
        if axis in DEFAULTS:
            default = _model(DEFAULTS[axis], parts[DEFAULTS[axis]])
            fields[axis] = (_union(parts), Field(default_factory=default))
        else:
            fields[axis] = (_union(parts) | None, None) if axis == "likelihood" else (_union(parts), ...)
    return create_model("Recipe", __config__=ConfigDict(extra="forbid"), **fields)


RecipeModel: Any = _recipe_model()
"""The pydantic model of a recipe file."""
