"""What the tests of the data room share: where real data lie, and a cache that is never the user's."""

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "images"


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"real data are not on this machine: {SHARED} does not exist")
    return SHARED


@pytest.fixture(autouse=True)
def cached(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for built-in sets."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("VAEWORKS_CACHE", str(folder))
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
