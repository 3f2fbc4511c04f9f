from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _double_and_seeded() -> Iterator[None]:
    """Laws are exact: float64 throughout, and the same numbers in every run."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)
