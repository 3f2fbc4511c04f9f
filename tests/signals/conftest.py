import pytest


@pytest.fixture(autouse=True)
def _signals_are_exact(exact: None) -> None:
    """Every one of them."""
