"""The verbs of the API: from a request to what the service is asked, and back to the wire."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any

import torch
from fastapi import APIRouter, Depends, Request
from torch import Tensor

from vaeworks.errors import VaeworksError
from vaeworks.model import TableSchema
from vaeworks.serving import messages as m
from vaeworks.serving.faults import Refusal
from vaeworks.serving.filling import filled, missing_of
from vaeworks.serving.service import Service
from vaeworks.serving.wire import context_of, items_of, wire_of

if TYPE_CHECKING:
    from vaeworks.runs import Model

__all__ = ["api", "decode", "description", "encode", "impute", "interpolate", "model", "reconstruct", "sample", "score"]

api = APIRouter(prefix="/v1", tags=["model"])


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Asked = Annotated[Service, Depends(_service)]


@contextmanager
def _field(name: str | None) -> Iterator[None]:
    """A user's mistake within is that of a field."""
    try:
        yield
    except VaeworksError as error:
        raise Refusal(422, str(error), name) from error


@api.get("/model")
async def model(service: Asked) -> m.Description:
    """What is served: the kind of its items, their columns and classes, and what may be asked."""
    return description(service.model, service.settings.body)


@api.post("/sample")
async def sample(asked: m.Sample, service: Asked) -> m.Sampled:
    """New items, drawn from the model."""
    with _field(None if asked.given is None else "given"):
        x, seed = await service.sample(asked.n, seed=asked.seed, temperature=asked.temperature, given=asked.given)
    return m.Sampled(items=await service.aside(wire_of, service.model, x), seed=seed)


@api.post("/encode")
async def encode(asked: m.Encode, service: Asked) -> m.Codes:
    """The posterior mean of each item."""
    items = await service.aside(items_of, service.model, asked.items, asked.given)
    return m.Codes(codes=(await service.encode(items)).tolist())


@api.post("/decode")
async def decode(asked: m.Decode, service: Asked) -> m.Items:
    """The item at each code."""
    x = await service.decode(_codes(asked.codes), context_of(service.model, len(asked.codes), asked.given))
    return m.Items(items=await service.aside(wire_of, service.model, x))


@api.post("/reconstruct")
async def reconstruct(asked: m.Reconstruct, service: Asked) -> m.Items:
    """What the model makes of each item."""
    items = await service.aside(items_of, service.model, asked.items, asked.given)
    return m.Items(items=await service.aside(wire_of, service.model, await service.reconstruct(items)))


@api.post("/score")
async def score(asked: m.Score, service: Asked) -> m.Scores:
    """How probable, and how strange, each item is."""
    items = await service.aside(items_of, service.model, asked.items, asked.given)
    with _field(None):
        found = await service.score(items, asked.samples)
    log_prob = found.log_prob
    columns = {
        "value": found.values,
        "log_px": log_prob.value,
        "standard_error": log_prob.standard_error,
        "effective_sample_size": log_prob.effective_sample_size,
        "p_value": found.p_values,
    }
    told = zip(*(_numbers(column, len(items)) for column in columns.values()), strict=True)
    scores = [m.ScoredItem(**dict(zip(columns, numbers, strict=True))) for numbers in told]
    return m.Scores(scores=scores, statistic=found.statistic, samples=log_prob.samples)


@api.post("/impute")
async def impute(asked: m.Impute, service: Asked) -> m.Imputed:
    """What is missing of each item filled in, several times."""
    missing = await service.aside(missing_of, service.model, asked)
    with _field(None):
        found = await service.impute(missing, draws=asked.draws, samples=asked.samples, seed=asked.seed)
    return m.Imputed(items=await service.aside(filled, service.model, asked.items, found))


@api.post("/interpolate")
async def interpolate(asked: m.Interpolate, service: Asked) -> m.Items:
    """Items on the way from one to another."""
    ends = await service.aside(items_of, service.model, [asked.a, asked.b], asked.given, names=("a", "b"))
    return m.Items(items=await service.aside(wire_of, service.model, await service.interpolate(ends, asked.n)))


def _codes(codes: Sequence[Sequence[float]]) -> Tensor:
    """Codes (N, D); Refusal where they differ in length."""
    wrong = next((i for i, code in enumerate(codes) if len(code) != len(codes[0])), None)
    if wrong is not None:
        raise Refusal(422, f"the code has {len(codes[wrong])} numbers, and the first has {len(codes[0])}", f"codes.{wrong}")
    return torch.tensor(codes, dtype=torch.float32)


def _numbers(column: Tensor | None, n: int) -> list[float | None]:
    """What JSON can tell of numbers: null for none that is finite."""
    return [None] * n if column is None else [value if math.isfinite(value) else None for value in column.tolist()]


def description(model: Model, body: int) -> m.Description:
    """What the API tells of a model."""
    schema = model.schema
    numbers = [m.Column(name=name, kind="continuous") for name in schema.columns]
    limits = {"body": body, "items": m.ITEMS, "samples": m.SAMPLES, "codes": m.CODES, "draws": m.DRAWS, "proposals": m.PROPOSALS}
    return m.Description(
        version=metadata.version("vaeworks"),
        kind=schema.kind,  # type: ignore[arg-type]
        source=schema.source,
        shape=list(schema.shape),
        latent_size=model.vae.latents.code_size,
        classes=list(schema.classes),
        context=schema.context,
        columns=[_column(column) for column in schema.table] if isinstance(schema, TableSchema) else numbers,
        recipe=model.recipe.name,
        parameters=sum(p.numel() for p in model.vae.parameters()),
        has_log_prob=not model.point,
        calibrated=model.calibration is not None,
        protocol=schema.protocol,
        limits=limits,
    )


def _column(column: Any) -> m.Column:
    margin = column.margin
    bounds = {} if margin is None or column.categories else {"low": margin.low, "high": margin.high}
    finite = {name: float(value) for name, value in bounds.items() if math.isfinite(value)}
    return m.Column(name=column.name, kind=column.kind, categories=list(column.categories) or None, **finite)
