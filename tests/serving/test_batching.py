"""What is asked at one time is one call of the model, and nobody's answer depends on who else asks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from starlette.testclient import TestClient

import vaeworks as vw
from vaeworks.data import Items
from vaeworks.serving.batching import Batcher
from vaeworks.serving.metrics import Metrics
from vaeworks.serving.service import Service, joined
from vaeworks.serving.settings import Settings

WORDS = ["ba", "doki", "lulubado", "ki", "babababa", "lu"]
ROWS = [{"height": 160 + i, "eyes": "blue" if i % 2 else None, "weight": None if i % 3 else 60} for i in range(6)]


def together(client: TestClient, verb: str, bodies: Sequence[dict[str, Any]]) -> list[Any]:
    """The answers to requests that all wait while the model is busy with something else."""
    service = client.app.state.service  # type: ignore[attr-defined]
    busy, free = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        busy.set()
        free.wait()

    client.portal.start_task_soon(service.alone, "hold", hold)  # type: ignore[union-attr]
    assert busy.wait(10)
    with ThreadPoolExecutor(len(bodies)) as threads:
        answers = [threads.submit(client.post, f"/v1/{verb}", json=body) for body in bodies]
        while len(service.batcher._waiting) < len(bodies):
            pass
        free.set()
        return [answer.result().json() for answer in answers]


def sizes(client: TestClient, kind: str) -> tuple[float, float]:
    """How many calls of a kind there were, and of how many items."""
    registry = client.app.state.metrics.registry  # type: ignore[attr-defined]
    calls, items = (registry.get_sample_value(f"vae_batch_items_{what}", {"kind": kind}) or 0.0 for what in ("count", "sum"))
    return calls, items


def near(a: Any, b: Any) -> bool:
    """Whether two answers are the same up to the rounding of sums of another order."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(near(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(near(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == pytest.approx(b, rel=1e-4, abs=1e-5)) if isinstance(a, float) else a == b


@pytest.mark.parametrize(
    ("name", "verb", "kind", "bodies"),
    [
        ("text", "encode", "encode", [{"items": [word]} for word in WORDS]),
        ("text", "score", "score", [{"items": [word]} for word in WORDS]),
        ("table", "encode", "encode", [{"items": [row]} for row in ROWS]),
        ("table", "score", "score", [{"items": [row, row]} for row in ROWS]),
        ("image", "decode", "decode", [{"codes": [[i / 3] * 16] * (1 + i % 2)} for i in range(6)]),
        ("image", "sample", "draw", [{"n": 1 + i, "seed": i, "temperature": 1 + i / 9} for i in range(6)]),
        ("conditional", "sample", "draw", [{"n": 2, "seed": i, "given": {"label": str(i)}} for i in range(6)]),
    ],
)
def test_answers_are_those_of_requests_that_come_alone(
    clients: dict[str, TestClient], name: str, verb: str, kind: str, bodies: list[dict[str, Any]]
) -> None:
    client = clients[name]
    alone = [client.post(f"/v1/{verb}", json=body).json() for body in bodies]
    before = sizes(client, kind)
    answers = together(client, verb, bodies)
    assert sizes(client, kind)[0] == before[0] + 1, "one call"
    assert near(answers, alone)


def test_pixels_that_are_drawn_anew_do_not_depend_on_what_comes_before(binary: vw.Model) -> None:
    items = binary.items([Image.fromarray((p * 15).astype("uint8")) for p in load_digits().images[:5]])

    async def run() -> list[Any]:
        service = Service(binary, Settings(), Metrics())
        await service.start()
        codes = [await service.encode(items[:1]), await service.encode(items), await service.encode(items[3:])]
        await service.stop()
        return codes

    first, whole, last = asyncio.run(run())
    torch.testing.assert_close(whole[:1], first)
    torch.testing.assert_close(whole[3:], last)


def test_the_fault_of_one_is_not_that_of_others() -> None:
    calls: list[list[int]] = []

    def halve(arguments: Sequence[int], check: Any) -> list[int]:
        calls.append(list(arguments))
        if any(n % 2 for n in arguments):
            raise ValueError("odd")
        return [n // 2 for n in arguments]

    async def run() -> list[Any]:
        batcher = Batcher(10, Metrics())
        batcher.start()
        found = await asyncio.gather(*(batcher.do("halve", halve, n, 1) for n in (2, 3, 8)), return_exceptions=True)
        await batcher.stop()
        return found

    found = asyncio.run(run())
    assert (found[0], found[2], str(found[1])) == (1, 4, "odd")
    assert calls == [[2, 3, 8], [2], [3], [8]]


def test_batches_are_of_one_kind_and_no_larger_than_they_may_be_and_in_order() -> None:
    calls: list[tuple[str, list[int]]] = []

    def note(kind: str) -> Any:
        return lambda arguments, _: calls.append((kind, list(arguments))) or arguments

    async def run() -> list[Any]:
        batcher = Batcher(4, Metrics())
        wanted = [("a", 1, 1), ("b", 2, 1), ("a", 3, 2), ("a", 4, 2), ("a", 5, 9), ("b", 6, 3)]
        jobs = [asyncio.ensure_future(batcher.do(kind, note(kind), n, size)) for kind, n, size in wanted]
        await asyncio.sleep(0)
        jobs[3].cancel()
        await asyncio.sleep(0)
        batcher.start()
        found = await asyncio.gather(*jobs, return_exceptions=True)
        await batcher.stop()
        return found

    found = asyncio.run(run())
    assert calls == [("a", [1, 3]), ("b", [2, 6]), ("a", [5])]
    assert found[:3] == [1, 2, 3]
    assert isinstance(found[3], asyncio.CancelledError)


def test_items_of_several_requests_keep_what_is_known_of_each() -> None:
    a, b = Items(torch.zeros(2, 1), labels=torch.tensor([1, 2])), Items(torch.ones(1, 1), observed=torch.tensor([[False]]))
    both = joined([a, b])
    assert both.labels is not None
    assert both.observed is not None
    assert both.labels.tolist() == [1, 2, -1]
    assert both.observed.tolist() == [[True], [True], [False]]
