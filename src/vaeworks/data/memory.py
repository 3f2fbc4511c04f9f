"""Whether data will fit into memory, asked before it is read."""

from __future__ import annotations

from pathlib import Path

from vaeworks.errors import DataError

__all__ = ["available", "require"]

_SHARE = 0.8


def available() -> int | None:
    """Bytes of memory that can still be taken, or None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def require(needed: int, what: str) -> None:
    """DataError where ``needed`` bytes are more than this machine can give."""
    free = available()
    if free is not None and needed > free * _SHARE:
        raise DataError(
            f"{what} needs {min(needed, 1 << 62) / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: "
            f"choose a smaller size (--size; of sounds --seconds), give fewer items (--limit), or use a machine with more"
        )
