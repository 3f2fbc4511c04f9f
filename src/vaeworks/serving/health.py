"""Health: whether the process lives, whether it answers, and what it did."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from vaeworks.serving.faults import Faults, Refusal
from vaeworks.serving.metrics import Metrics
from vaeworks.serving.service import Service

__all__ = ["Status", "health", "healthz", "metrics", "readyz"]

health = APIRouter(tags=["health"])


class Status(BaseModel):
    """That all is well."""

    status: Literal["ok"] = "ok"


@health.get("/healthz")
async def healthz() -> Status:
    """The process lives."""
    return Status()


@health.get("/readyz", responses={503: {"model": Faults, "description": "Not yet, or no longer."}})
async def readyz(request: Request) -> Status:
    """The model is loaded, and requests are answered."""
    service: Service = request.app.state.service
    if not service.ready:
        raise Refusal(503, "the service is starting, or ending", Retry_After="1")
    return Status()


@health.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text form."}})
async def metrics(request: Request) -> Response:
    """Counts, latencies, queue and batch sizes."""
    told: Metrics = request.app.state.metrics
    return Response(told.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
