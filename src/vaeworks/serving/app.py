"""The app: the JSON API as FastAPI serves it, with health, metrics and one form of refusal."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vaeworks.errors import VaeworksError
from vaeworks.serving.faults import Fault, Faults, Refusal, answer
from vaeworks.serving.guard import Guard
from vaeworks.serving.health import health
from vaeworks.serving.metrics import Metrics
from vaeworks.serving.service import Service
from vaeworks.serving.settings import Settings
from vaeworks.serving.verbs import api

if TYPE_CHECKING:
    from vaeworks.runs import Model

__all__ = ["create_app"]

_log = logging.getLogger("vaeworks.serving")


def create_app(model: Model, *, settings: Settings | None = None) -> FastAPI:
    """A service of ``model``; ``app.state.service`` is what it asks, for those who add routes of their own. VaeworksError where its items have no form on the wire."""
    settings = settings or Settings()
    metrics = Metrics()
    service = Service(model, settings, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="vaeworks",
        version=metadata.version("vaeworks"),
        description=f"A variational autoencoder of {model.schema.kind}s: sample, encode, decode, reconstruct, score, impute, interpolate.",
        docs_url=None,  # these pages come from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service, app.state.settings, app.state.metrics = service, settings, metrics
    app.include_router(health)
    app.include_router(api, responses={code: {"model": Faults, "description": text} for code, text in _REFUSALS.items()})
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    if settings.origins:
        from starlette.middleware.cors import CORSMiddleware

        app.add_middleware(
            CORSMiddleware, allow_origins=settings.origins, allow_methods=["GET", "POST"], allow_headers=["Authorization", "Content-Type"]
        )
    for kind, handler in ((Refusal, _refused), (RequestValidationError, _invalid), (HTTPException, _http), (VaeworksError, _wrong)):
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, _defect)
    return app


_REFUSALS: dict[int | str, str] = {
    400: "The body is no JSON.",
    401: "The token is missing or wrong.",
    403: "The request comes from a page of another origin.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The body is not said to be JSON.",
    421: "The Host header names another machine.",
    422: "Something in the body is wrong; each fault names its field.",
    503: "Too many requests; Retry-After says when to ask again.",
    504: "It took too long; Retry-After says when to ask again.",
}


async def _refused(_: Request, error: Any) -> JSONResponse:
    refusal: Refusal = error
    return refusal.answer()


async def _invalid(_: Request, error: Any) -> JSONResponse:
    """What pydantic found, told once for each field, without what was sent."""
    invalid: RequestValidationError = error
    faults: dict[str, list[str]] = {}
    for fault in invalid.errors():
        faults.setdefault(_field(fault, invalid.body), []).append(str(fault["msg"]))
    faults = {field: messages for field, messages in faults.items() if not any(other.startswith(f"{field}.") for other in faults if field)}
    unread = any(fault["type"] == "json_invalid" for fault in invalid.errors())
    told = [Fault(field=field or None, message="; or: ".join(dict.fromkeys(messages))) for field, messages in list(faults.items())[:20]]
    return answer(400 if unread else 422, told)


def _field(fault: Any, body: Any) -> str:
    """Where a fault is in the body that was sent: not which of several types was tried there."""
    place, here = [], body
    for part in fault["loc"][1:]:
        if (isinstance(here, dict) and part in here) or (isinstance(here, list) and isinstance(part, int) and part < len(here)):
            place.append(str(part))
            here = here[part]
    if fault["type"] == "missing" and isinstance(here, dict):
        place.append(str(fault["loc"][-1]))
    return ".".join(place)


async def _http(_: Request, error: Any) -> JSONResponse:
    return answer(error.status_code, [Fault(field=None, message=str(error.detail))], dict(error.headers or {}))


async def _wrong(_: Request, error: Any) -> JSONResponse:
    """A user's mistake that the model found."""
    return answer(422, [Fault(field=None, message=str(error))])


async def _defect(request: Request, error: Any) -> JSONResponse:
    _log.error("a defect in answering %s", request.url.path, exc_info=error)
    return answer(500, [Fault(field=None, message="this is a defect of the service: its log says more")])
