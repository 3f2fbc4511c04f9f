"""Who may ask, how much, and how long: each bound with the status that says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import vaeworks as vw
from vaeworks.errors import VaeworksError
from vaeworks.serving import Settings, create_app
from vaeworks.serving.guard import Guard
from vaeworks.serving.metrics import Metrics


@pytest.fixture
def client(image: vw.Model) -> Callable[..., AbstractContextManager[TestClient]]:
    return lambda **settings: TestClient(create_app(image, settings=Settings(**settings)), base_url="http://localhost")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((host, 200) for host in ("localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]", "LOCALHOST", "10.0.0.7")),
        *((host, 421) for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "", "localhost@evil.example")),
    ],
)
def test_a_name_that_is_not_this_machines_is_refused(clients: dict[str, TestClient], host: str, status: int) -> None:
    """A page whose name is made to lead to this machine (DNS rebinding) still sends its own name."""
    assert clients["image"].get("/v1/model", headers={"Host": host}).status_code == status


def test_a_name_may_be_let_in(client: Callable[..., Any]) -> None:
    with client(hosts=("evil.example",)) as own:
        assert own.get("/v1/model", headers={"Host": "evil.example:80"}).status_code == 200


def test_pages_of_other_origins_may_not_ask_unless_they_are_let(client: Callable[..., Any]) -> None:
    foreign = {"Origin": "https://page.example"}
    with client() as own:
        assert own.post("/v1/sample", json={"n": 1}, headers=foreign).status_code == 403
        assert own.post("/v1/sample", json={"n": 1}, headers={"Origin": "http://localhost"}).status_code == 200
        assert "access-control-allow-origin" not in own.options("/v1/sample", headers={**foreign, "Access-Control-Request-Method": "POST"}).headers
    with client(origins=("https://page.example",)) as own:
        answer = own.post("/v1/sample", json={"n": 1}, headers=foreign)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://page.example")


def test_a_token_is_needed_where_there_is_one(client: Callable[..., Any]) -> None:
    with client(token="a-long-secret") as own:
        for header in ("", "Bearer", "Bearer a-long-secre", "Bearer a-long-secret2", "Basic a-long-secret", "Bearer é"):
            answer = own.post("/v1/sample", json={"n": 1}, headers={"Authorization": header.encode()})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert own.post("/v1/sample", json={"n": 1}, headers={"Authorization": "Bearer a-long-secret"}).status_code == 200
        assert own.get("/metrics").status_code == own.get("/openapi.json").status_code == 401
        assert own.get("/healthz").status_code == own.get("/readyz").status_code == 200


def test_settings_that_let_nothing_through_or_anybody_are_told() -> None:
    for wrong in ({"body": 0}, {"seconds": -1}, {"token": "short"}, {"token": "with a blank in it"}):
        with pytest.raises(VaeworksError):
            Settings(**wrong)  # type: ignore[arg-type]
    assert Settings(host="0.0.0.0").open
    assert Settings(host="::").open
    assert not Settings(host="0.0.0.0", token="a-long-secret").open
    assert not Settings(host="::1").open
    assert "secret" not in repr(Settings(token="a-long-secret"))


def test_a_body_is_read_up_to_its_bound(client: Callable[..., Any]) -> None:
    def chunks() -> Any:
        for _ in range(100):
            yield b" " * 100

    json = {"Content-Type": "application/json"}
    with client(body=1000) as own:
        assert own.post("/v1/sample", content=b'{"n": 1}' + b" " * 992, headers=json).status_code == 200
        assert own.post("/v1/sample", content=b'{"n": 1}' + b" " * 993, headers=json).status_code == 413
        assert own.post("/v1/sample", content=chunks(), headers=json).status_code == 413
        assert own.post("/v1/sample", content=b"{}", headers={**json, "Content-Length": "9" * 30}).status_code == 413
        assert own.get("/v1/model").json()["limits"]["body"] == 1000


def test_a_body_that_does_not_come_is_not_waited_for(image: vw.Model) -> None:
    """Its head has come, and then a part each tenth of a second: the connection is given up, and the status says why."""
    sent: list[Any] = []

    async def run() -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.1)
            return {"type": "http.request", "body": b" ", "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        guard = Guard(lambda *_: pytest.fail("no body, no request"), Settings(seconds=0.35), Metrics())
        headers = [(b"host", b"localhost"), (b"content-length", b"100"), (b"content-type", b"application/json")]
        await guard({"type": "http", "method": "POST", "path": "/v1/sample", "headers": headers}, receive, send)
        assert (guard.held, guard.active) == (0, 0)

    asyncio.run(run())
    assert sent[0]["status"] == 408


def test_what_comes_when_all_places_are_taken_is_told_to_come_back(client: Callable[..., Any]) -> None:
    """Two places: two requests wait for a model that is busy, a third is refused, and health is answered all along."""
    with client(waiting=2) as own, ThreadPoolExecutor(2) as threads:
        busy, free = threading.Event(), threading.Event()
        service = own.app.state.service  # type: ignore[attr-defined]

        def hold(_: object) -> None:
            busy.set()
            free.wait()

        own.portal.start_task_soon(service.alone, "hold", hold)
        assert busy.wait(10)
        waiting = [threads.submit(own.post, "/v1/sample", json={"n": 1}) for _ in range(2)]
        while "vae_requests_active 2.0" not in service.metrics.text().decode():
            pass
        answer = own.post("/v1/sample", json={"n": 1})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert own.get("/healthz").status_code == own.get("/readyz").status_code == 200
        free.set()
        assert [w.result().status_code for w in waiting] == [200, 200]


def test_bodies_share_a_bound_of_memory(client: Callable[..., Any]) -> None:
    with client(memory=1000) as own, ThreadPoolExecutor(1) as threads:
        begun, go = threading.Event(), threading.Event()
        service = own.app.state.service  # type: ignore[attr-defined]

        def hold(_: object) -> None:
            begun.set()
            go.wait()

        own.portal.start_task_soon(service.alone, "hold", hold)
        assert begun.wait(10)
        json, body = {"Content-Type": "application/json"}, b'{"n": 1}' + b" " * 600
        first = threads.submit(own.post, "/v1/sample", content=body, headers=json)
        while "vae_requests_active 1.0" not in service.metrics.text().decode():
            pass
        assert own.post("/v1/sample", content=body, headers=json).status_code == 503
        go.set()
        assert first.result().status_code == 200
        assert own.post("/v1/sample", content=body, headers=json).status_code == 200


def test_what_takes_too_long_is_given_up(client: Callable[..., Any]) -> None:
    with client(seconds=0.2) as own:
        go, begun = threading.Event(), threading.Event()
        service = own.app.state.service  # type: ignore[attr-defined]

        def hold(_: object) -> None:
            begun.set()
            go.wait()

        own.portal.start_task_soon(service.alone, "hold", hold)
        assert begun.wait(10)
        answer = own.post("/v1/sample", json={"n": 1})
        assert (answer.status_code, answer.headers["retry-after"]) == (504, "5")
        go.set()
        assert own.get("/metrics").text.count('vae_requests_total{status="504",verb="/v1/sample"} 1.0') == 1


def test_the_command_warns_where_anybody_may_ask(image: vw.Model, tmp_path: Path, vae: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from vaeworks import serving

    told: list[Any] = []
    monkeypatch.setattr(serving, "run_server", lambda _, settings, *__, **___: told.append(settings))
    run, token = image.save(tmp_path / "run"), tmp_path / "token"
    assert "Warning: anybody" in vae("serve", run, "--host", "0.0.0.0").err
    assert "Warning" not in vae("serve", run).err
    token.write_text("a-long-secret\n")
    assert "Warning" not in vae("serve", run, "--host", "0.0.0.0", "--token-file", token).err
    monkeypatch.setenv("VAE_TOKEN", "another-secret")
    vae("serve", run)
    assert [settings.token for settings in told] == [None, None, "a-long-secret", "another-secret"]
    token.write_text(" \n")
    for wrong in (token, tmp_path / "nothing", tmp_path):
        done = vae("serve", run, "--token-file", wrong)
        assert done.code == 2
        assert "--token-file" in done.err
