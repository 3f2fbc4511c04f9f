"""A real process: it keeps its OpenAPI description, loses nothing under load, its memory stays, and SIGTERM ends it once all that was accepted is answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import chain
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, negative_data_rejection, response_schema_conformance, status_code_conformance

CLIENTS = 64
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance, negative_data_rejection]


def test_what_is_described_is_what_is_answered(served: Any) -> None:
    """Whatever schemathesis makes of the OpenAPI description, in it and out of it, of every operation."""
    seen: Counter[str] = Counter()

    def check(case: schemathesis.Case) -> None:
        seen[case.operation.label] += 1
        case.call_and_validate(checks=CHECKS)

    few = settings(max_examples=5, derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    for found in schemathesis.openapi.from_url(f"{served.url}/openapi.json").get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)[: 2 if operation.method == "post" else 1]:
            few(given(operation.as_strategy(generation_mode=mode))(check))()
    verbs = ("sample", "encode", "decode", "reconstruct", "score", "impute", "interpolate")
    assert {f"POST /v1/{verb}" for verb in verbs} | {"GET /v1/model", "GET /healthz", "GET /readyz", "GET /metrics"} == set(seen)
    assert all(seen[f"POST /v1/{verb}"] >= 6 for verb in verbs)


async def load(url: str, requests: int, clients: int = CLIENTS) -> list[int]:
    """The statuses of many requests by clients at one time, of several verbs."""
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        items = (await client.post("/v1/sample", json={"n": 2, "seed": 0})).json()["items"]
        bodies: list[tuple[str, dict[str, Any]]] = [
            ("sample", {"n": 2, "seed": 1}),
            ("encode", {"items": items}),
            ("decode", {"codes": [[0.5] * 16]}),
            ("reconstruct", {"items": items}),
            ("score", {"items": items[:1], "samples": 10}),
        ]

        async def one(number: int) -> list[int]:
            return [
                (await client.post(f"/v1/{verb}", json=body)).status_code for verb, body in (bodies[i % 5] for i in range(number, requests, clients))
            ]

        return list(chain.from_iterable(await asyncio.gather(*(one(number) for number in range(clients)))))


def test_many_clients_lose_no_request_and_memory_stays(served: Any) -> None:
    """By the metrics, too, all were answered, and calls of the model were fewer than requests."""
    asyncio.run(load(served.url, 2 * CLIENTS))
    before = served.memory
    statuses = asyncio.run(load(served.url, 6 * CLIENTS))
    assert len(statuses) == 6 * CLIENTS
    assert set(statuses) == {200}
    assert served.memory - before < 16
    told = httpx.get(f"{served.url}/metrics").text
    numbers = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in told.splitlines() if not line.startswith("#")}
    assert numbers['vae_requests_total{status="200",verb="/v1/encode"}'] >= CLIENTS
    assert numbers['vae_batch_items_count{kind="score"}'] < numbers['vae_requests_total{status="200",verb="/v1/score"}']


def test_what_was_accepted_is_answered_after_sigterm(served: Any) -> None:
    """Requests that take a while wait for the model when the signal comes. This ends the process: it is the last test here."""

    async def run() -> tuple[list[int], int]:
        async with httpx.AsyncClient(base_url=served.url, timeout=60, limits=httpx.Limits(max_connections=40)) as client:
            items = (await client.post("/v1/sample", json={"n": 32, "seed": 0})).json()["items"]
            asked = [asyncio.create_task(client.post("/v1/score", json={"items": items, "samples": 300 + i})) for i in range(16)]
            while "vae_requests_active 17.0" not in (await client.get("/metrics")).text:
                await asyncio.sleep(0.01)
            code = asyncio.create_task(asyncio.to_thread(served.stop))
            statuses = [answer.status_code for answer in await asyncio.gather(*asked)]
            return statuses, await code

    began = time.monotonic()
    statuses, code = asyncio.run(run())
    assert statuses == [200] * 16
    assert code == 0
    assert time.monotonic() - began < 60
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{served.url}/healthz")
