"""The explorer: its page, and what the page needs beside the JSON service, added to the service's app."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

import numpy as np
import torch
from fastapi import FastAPI, HTTPException, Path, Query
from fastapi.responses import HTMLResponse, Response
from numpy.typing import NDArray

from vaeworks.model import AudioSchema, ImageSchema
from vaeworks.runs import originals_of
from vaeworks.serving.media import picture_urls, sound_urls
from vaeworks.serving.page import assets, document
from vaeworks.serving.scene import SCORED_SECONDS, Scene
from vaeworks.serving.wire import wire_of

__all__ = ["add_explorer", "items_on_the_wire"]

MOST = 64
"""Items that one request may ask for."""


def items_on_the_wire(scene: Scene, index: list[int]) -> list[dict[str, Any]]:
    """The items at ``index`` as they were given, not as the model reads them: {item, label, name} each."""
    model, schema = scene.model, scene.model.schema
    chosen = scene.items[torch.tensor(index, dtype=torch.int64)]
    wire: list[Any]
    if isinstance(schema, ImageSchema) and schema.mode:
        wire = picture_urls(schema, schema.shown(chosen.values))
    elif isinstance(schema, AudioSchema):
        assert chosen.lengths is not None
        wire = sound_urls(
            [wave[0, : int(n)].numpy().astype(np.float32) / 32768 for wave, n in zip(chosen.values, chosen.lengths, strict=True)], schema.rate
        )
    else:
        wire = wire_of(model, originals_of(model, chosen))
    if chosen.observed is not None and schema.kind == "table":
        for row, seen in zip(wire, chosen.observed.tolist(), strict=True):
            row.update({name: None for name, here in zip(schema.coordinate_names, seen, strict=True) if not here})
    labels = (
        [None] * len(chosen)
        if chosen.labels is None
        else [schema.classes[i] if 0 <= i < len(schema.classes) else None for i in chosen.labels.tolist()]
    )
    names = chosen.names or (None,) * len(chosen)
    contexts = [None] * len(chosen) if chosen.context is None else chosen.context.tolist()
    return [
        {"index": i, "item": item, "label": label, "name": name, "columns": None if told is None else dict(zip(schema.columns, told, strict=True))}
        for i, item, label, name, told in zip(index, wire, labels, names, contexts, strict=True)
    ]


def add_explorer(app: FastAPI, scene: Scene) -> None:
    """Add the page at /, and what it needs of ``scene`` under /explore, to an app that ``create_app`` made of the same model."""
    service = app.state.service
    scoring = asyncio.Lock()
    page = document(f"{scene.model.schema.source}: {scene.model.recipe.name}")

    def numbers(values: NDArray[np.float32]) -> Response:
        return Response(np.ascontiguousarray(values, dtype="<f4").tobytes(), media_type="application/octet-stream")

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/explore/page/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in assets():
            raise HTTPException(404, "no such part of the page")
        content, kind = assets()[name]
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    @app.get("/explore/scene", include_in_schema=False)
    async def facts() -> dict[str, Any]:
        return scene.facts()

    @app.get("/explore/codes", include_in_schema=False)
    async def codes() -> Response:
        return numbers(scene.codes)

    @app.get("/explore/plane/{method}", include_in_schema=False)
    async def plane(method: str) -> Response:
        if method not in scene.methods:
            raise HTTPException(404, f"the codes can be seen by {', '.join(scene.methods)}")
        return numbers(await service.aside(scene.plane, method))

    @app.get("/explore/channel/{number}", include_in_schema=False)
    async def channel(number: Annotated[int, Path(ge=0)]) -> Response:
        if number >= len(scene.channels):
            raise HTTPException(404, f"there are {len(scene.channels)} channels")
        return numbers(scene.channels[number].values)

    @app.get("/explore/log-px", include_in_schema=False)
    async def log_px() -> Response:
        if scene.model.point:
            raise HTTPException(404, "a plain autoencoder has no log p(x)")
        async with scoring:
            end = time.monotonic() + SCORED_SECONDS
            while await service.alone("log_px", lambda _: scene.score_some()) and time.monotonic() < end:
                pass  # a part at a time, so that others have the model in between
        return numbers(scene.log_px)

    @app.get("/explore/items", include_in_schema=False)
    async def items(i: Annotated[list[int], Query(max_length=MOST)]) -> list[dict[str, Any]]:
        if any(not 0 <= one < len(scene.codes) for one in i):
            raise HTTPException(404, f"items have the numbers 0 to {len(scene.codes) - 1}")
        found: list[dict[str, Any]] = await service.aside(items_on_the_wire, scene, i)
        return found
