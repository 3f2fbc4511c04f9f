"""The server: a socket, and a process that answers on it until it is told to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from vaeworks.errors import VaeworksError
from vaeworks.serving.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["bind", "run_server"]

GRACE = 60
"""Seconds that accepted requests are given to end after SIGTERM."""
KEPT = 75
"""Seconds that a connection is kept without a request: longer than busy clients take between two, for what is sent while it is closed would be lost."""


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; VaeworksError where the address is not this machine's, or taken. Port 0 takes one that is free."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except (OSError, OverflowError, UnicodeError) as error:
        raise VaeworksError(
            f"cannot listen at {host}, port {port} ({getattr(error, 'strerror', None) or error}): give another --host or --port"
        ) from error
    return listening


def run_server(app: FastAPI, settings: Settings, port: int, *, ready: Callable[[str], None]) -> None:
    """Answer at ``settings.host`` until SIGTERM or SIGINT, and then end once every accepted request is answered. ``ready`` is called with the address."""
    import uvicorn

    listening = bind(settings.host, port)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=KEPT,
        server_header=False,
        lifespan="on",
        proxy_headers=False,
    )
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}  # uvicorn raises a signal again when it has ended
    host = f"[{settings.host.strip('[]')}]" if listening.family == socket.AF_INET6 else settings.host
    try:
        ready(f"http://{host}:{listening.getsockname()[1]}")
        server.run(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        listening.close()
