import pytest


@pytest.fixture(autouse=True)
def _laws_are_exact(exact: None) -> None:
    """Every one of them."""
