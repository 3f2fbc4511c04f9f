"""Files that are replaced atomically, so that a crash or a full disk loses nothing; tensors as safetensors, which never unpickles."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vaeworks.errors import ArtifactError

__all__ = ["read_tensors", "replace_file", "write_tensors"]


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file to write, which then takes the place of ``path`` at once; whatever goes wrong, it leaves ``path`` as it was and nothing beside it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}; what was there is unchanged") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds, at every moment, either all of the old or all of the new; ArtifactError where the disk refuses."""
    with _replacing(path) as temporary:
        temporary.write_bytes(content)


def write_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """``tensors`` by name and JSON-ready ``facts`` into one file, as ``replace_file`` does."""
    with _replacing(path) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file({name: t.detach().contiguous() for name, t in tensors.items()}, temporary, {"facts": json.dumps(facts)})
        temporary.chmod(mode)  # safetensors writes for the owner alone


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What ``write_tensors`` wrote; ArtifactError where the file is missing, truncated or something else."""
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (not a mapping)
    except (SafetensorError, ValueError, OSError) as error:
        raise ArtifactError(f"{path} is damaged or is no safetensors file ({error}); restore it, or train again") from error
