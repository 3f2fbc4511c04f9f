"""Guard: what a request has to pass before its body is looked at, and the bounds of reading it."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers

from vaeworks.serving.faults import Refusal
from vaeworks.serving.metrics import Metrics
from vaeworks.serving.settings import Settings, is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard"]

HEALTH: Final = ("/healthz", "/readyz")
"""Paths that need no token, and are answered however busy the service is."""


class Guard:
    """Middleware that refuses, in this order: a Host by which nobody calls this machine (421), a page of another origin (403), a wrong token (401), too many requests (503),
    a body that is no JSON (415), too large (413) or too slow (408). What it lets through is one whole body, in memory."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics):
        self.app, self.settings, self.metrics = app, settings, metrics
        own = {socket.gethostname().lower()} if not is_loopback(settings.host) else set()
        self.names = {"localhost", settings.host.lower(), *own, *(name.lower() for name in settings.hosts)}
        self.active, self.held = 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status: int | None = None
        healthy = scope["path"] in HEALTH

        async def sent(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.active += not healthy
        self.metrics.active.set(self.active)
        claim = 0
        try:
            headers = Headers(scope=scope)
            self._admit(headers, healthy)
            claim = self._claim(scope, headers)
            self.held += claim
            body = b"" if not claim else await self._body(receive)
            self.held -= claim - len(body)
            claim = len(body)
            async with asyncio.timeout(None if healthy else self.settings.seconds):
                await self.app(scope, _replayed(body, receive), sent)
        except Refusal as refusal:
            await refusal.answer()(scope, receive, sent)
        except TimeoutError:
            if status is not None:
                raise  # what was begun cannot be taken back: the connection ends
            late = Refusal(504, f"it takes longer than {self.settings.seconds:g} s: ask for less, or again", Retry_After="5")
            await late.answer()(scope, receive, sent)
        finally:
            self.held -= claim
            self.active -= not healthy
            self.metrics.active.set(self.active)
            verb = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(verb, str(status or 500)).inc()
            self.metrics.seconds.labels(verb).observe(time.perf_counter() - began)

    def _admit(self, headers: Headers, healthy: bool) -> None:
        """Refusal of who may not ask, or not now."""
        host = headers.get("host", "")
        if not self._known(host):
            raise Refusal(421, "the Host header names another machine: ask by address or by localhost, or let this name in with --allow-host")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host and origin not in self.settings.origins:
            raise Refusal(403, "a page of another origin may not ask: let it with --allow-origin")
        if healthy:
            return
        token = self.settings.token
        if token is not None and not hmac.compare_digest(headers.get("authorization", "").encode(), f"Bearer {token}".encode()):
            raise Refusal(401, "the token is missing or wrong: send Authorization: Bearer TOKEN", WWW_Authenticate="Bearer")
        if self.active > self.settings.waiting:
            raise Refusal(503, f"{self.settings.waiting} requests are being answered: ask again", Retry_After="1")

    def _known(self, host: str) -> bool:
        """Whether this machine is called so. An address always is: names alone can be made to lead here by somebody else (DNS rebinding)."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return name.lower().rstrip(".") in self.names
        return True

    def _claim(self, scope: Scope, headers: Headers) -> int:
        """The bytes that a body may take; Refusal where that is too much, or it is no JSON."""
        told = headers.get("content-length")
        if told in {None, "0"} and not headers.get("transfer-encoding"):
            return 0
        most = self.settings.body
        if told is not None and (not told.isdecimal() or len(told) > 18 or int(told) > most):
            raise Refusal(413, f"the body has {told[:20]} bytes, and at most {most:,} are read")
        if scope["method"] == "POST" and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "the body is not said to be JSON: send Content-Type: application/json")
        claim = most if told is None else int(told)
        if self.held and self.held + claim > self.settings.memory:
            raise Refusal(503, "the requests that are being answered fill the memory that is meant for them: ask again", Retry_After="1")
        return claim

    async def _body(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.settings.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "the connection was closed before the body was whole")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self.settings.body:
                        raise Refusal(413, f"the body is longer than {self.settings.body:,} bytes")
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise Refusal(408, f"the body did not arrive within {self.settings.seconds:g} s") from None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A channel that gives ``body``, and then what follows it."""
    given = False

    async def channel() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return channel
