"""Models to and from folders and the Hugging Face hub, by the conventions of the hub's libraries. Nothing that is loaded runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vaeworks.errors import ArtifactError, VaeworksError
from vaeworks.files import replace_file
from vaeworks.runs.card import card_files

if TYPE_CHECKING:
    from vaeworks.runs.model import Model

__all__ = ["FILES", "fetched", "push_to_hub", "save_pretrained"]

FILES: Final = (
    "model.safetensors",
    "schema.json",
    "recipe.toml",
    "calibration.safetensors",
    "language-model.safetensors",
    "figures.json",
)
"""What a model is loaded from, and what is known of it; nothing else of a repository is fetched."""
_EXTRA = ("language-model.safetensors", "figures.json")


def save_pretrained(model: Model, folder: str | Path, *, license: str | None = None, repo_id: str | None = None) -> Path:
    """Write the model, what is known of it and its card README.md into ``folder``, each file atomically; a card that is there is replaced."""
    path = model.save(folder)
    for name, content in card_files(model, license=license, repo_id=repo_id).items():
        replace_file(path / name, content)
    for name in _EXTRA if model.home is not None and model.home.resolve() != path.resolve() else ():
        source = Path(model.home or "") / name
        if source.is_file():
            replace_file(path / name, source.read_bytes())
    return path


def fetched(
    name: str | Path, *, revision: str | None = None, token: str | bool | None = None, cache_dir: str | Path | None = None,
    local_files_only: bool = False, force_download: bool = False,
) -> Path:  # fmt: skip
    """The folder that ``name`` is: a folder of this machine, or a repository of the hub, "org/name", as the cache holds it after what it lacked was fetched.

    ArtifactError where there is no such repository or revision, it holds no model of this library, or the hub cannot be reached; VaeworksError where the extra is not installed.
    """
    if Path(name).is_dir():
        return Path(name)
    hub = _hub()
    text = str(name).removeprefix("hf://")
    try:
        folder = hub.snapshot_download(
            text, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only, force_download=force_download,
            allow_patterns=list(FILES), library_name="vaeworks",
        )  # fmt: skip
    except Exception as error:  # the hub's client raises its own, requests' or httpx's errors, and OSError
        raise _told(error, text, revision, local_files_only) from error
    found = Path(folder)
    if missing := [part for part in FILES[:3] if not (found / part).is_file()]:
        raise ArtifactError(f"{text} holds no model of vaeworks: {', '.join(missing)} missing; give a repository that Model.push_to_hub wrote")
    return found


def push_to_hub(
    model: Model, repo_id: str, *, license: str | None = None, commit_message: str = "A model of vaeworks", private: bool | None = None,
    token: str | None = None, branch: str | None = None, create_pr: bool | None = None,
    allow_patterns: Sequence[str] | str | None = None, ignore_patterns: Sequence[str] | str | None = None, delete_patterns: Sequence[str] | str | None = None,
) -> str:  # fmt: skip
    """Put the model and its card into the repository ``repo_id`` of the hub, made where there is none; returns the commit's address. ArtifactError where the hub refuses."""
    hub = _hub()
    aside = Path(tempfile.mkdtemp(prefix="vaeworks-"))
    try:
        save_pretrained(model, aside, license=license, repo_id=repo_id)
        api = hub.HfApi(token=token)
        named = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        done: Any = api.upload_folder(
            repo_id=named, folder_path=aside, commit_message=commit_message, revision=branch, create_pr=create_pr,
            allow_patterns=allow_patterns, ignore_patterns=ignore_patterns, delete_patterns=delete_patterns,
        )  # fmt: skip
        return str(done.commit_url)
    except VaeworksError:
        raise
    except Exception as error:
        raise _told(error, repo_id, branch, False) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise VaeworksError("models of the hub need the extra 'hub': pip install 'vaeworks[hub]'; or give a folder") from error
    return huggingface_hub


def _told(error: Exception, repo_id: str, revision: str | None, offline: bool) -> ArtifactError:
    """One error for people: what was asked for, why it failed, what to do."""
    kind = type(error).__name__
    if kind == "GatedRepoError":
        return ArtifactError(f"{repo_id} is gated: ask for access on its page, then `hf auth login` or give token=...")
    if kind == "RepositoryNotFoundError":
        return ArtifactError(f"the hub has no repository {repo_id}, or it is private: check the name, `hf auth login`, or give token=...")
    if kind == "RevisionNotFoundError":
        return ArtifactError(f"{repo_id} has no revision {revision}: leave it out for the main branch")
    if kind == "HFValidationError":
        return ArtifactError(f"{repo_id!r} is no folder of this machine and no name of a repository: give a folder, or organisation/name")
    if kind == "LocalEntryNotFoundError":
        why = "local_files_only=True fetches nothing" if offline else "the hub cannot be reached"
        return ArtifactError(f"{repo_id} is not in the cache, and {why}: fetch it once while online, or give a folder")
    reason = next((line for line in str(error).splitlines() if line.strip()), kind)
    return ArtifactError(f"the hub would not serve {repo_id} ({reason}): check the network, the name and the token")
