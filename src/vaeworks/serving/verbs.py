"""The verbs of the API: from a request to what the service is asked, and back to the wire."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from importlib import metadata
from typing import Annotated, Any

import torch
from fastapi import APIRouter, Depends, Request

from vaeworks.data import Items as Read
from vaeworks.errors import VaeworksError
from vaeworks.model import Schema, TableSchema
from vaeworks.serving import messages as m
from vaeworks.serving.batching import Expired
from vaeworks.serving.faults import Refusal
from vaeworks.serving.filling import filled, missing_of
from vaeworks.serving.service import Service
from vaeworks.serving.wire import context_of, items_of, wire_of

__all__ = ["api"]

api = APIRouter(prefix="/v1", tags=["model"])


async def _service(request: Request) -> AsyncIterator[Service]:
    """The service, for no longer than a request may take."""
    service: Service = request.app.state.service
    yield service


Asked = Annotated[Service, Depends(_service)]
