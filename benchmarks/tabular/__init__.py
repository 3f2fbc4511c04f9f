"""The four comparisons of `benchmarks/tables.py`, and the data they share."""

__all__: list[str] = []
