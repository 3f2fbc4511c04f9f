"""Settings: who may ask the service, and how much."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from vaeworks.errors import VaeworksError

__all__ = ["Settings", "is_loopback"]


@dataclass(frozen=True)
class Settings:
    """What bounds a service. VaeworksError where a bound leaves nothing."""

    host: str = "127.0.0.1"
    """The address to listen at."""
    token: str | None = field(default=None, repr=False)
    """What ``Authorization: Bearer`` has to say; None: anybody may ask."""
    hosts: tuple[str, ...] = ()
    """Names, beside localhost and addresses, that requests may call this machine by."""
    origins: tuple[str, ...] = ()
    """Origins whose pages may read answers (CORS), such as https://example.org; none by default."""
    body: int = 16 << 20
    """Bytes of one request."""
    memory: int = 256 << 20
    """Bytes of all requests that are being answered together."""
    waiting: int = 512
    """Requests that are being answered, or wait for it."""
    seconds: float = 30.0
    """The longest that a request takes, and that its body is waited for."""
    batch: int = 128
    """Items of one call of the model that requests share; 1: each request is a call of its own."""

    def __post_init__(self) -> None:
        bounds = {"body": self.body, "memory": self.memory, "waiting": self.waiting, "seconds": self.seconds, "batch": self.batch}
        for name, value in bounds.items():
            if not value > 0:
                raise VaeworksError(f"{name}={value} lets no request through: give more than 0")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and len(self.token) >= 8 and " " not in self.token):
            raise VaeworksError("the token is shorter than 8 characters, or holds blanks or what is no ASCII: make one with openssl rand -hex 32")

    @property
    def open(self) -> bool:
        """Whether other machines may ask, and need no token."""
        return self.token is None and not is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
