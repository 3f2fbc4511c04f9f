"""Metrics: what the service did, for Prometheus, in a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

__all__ = ["Metrics"]

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counts, times and sizes of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter("vae_requests", "Requests answered.", ["verb", "status"], registry=self.registry)
        self.seconds = Histogram("vae_request_seconds", "From a request's head to its answer.", ["verb"], buckets=_SECONDS, registry=self.registry)
        self.active = Gauge("vae_requests_active", "Requests being answered.", registry=self.registry)
        self.queued = Gauge("vae_jobs_queued", "Jobs that wait for the model.", registry=self.registry)
        self.batches = Histogram("vae_batch_items", "Items of one call of the model.", ["kind"], buckets=_ITEMS, registry=self.registry)
        self.calls = Histogram("vae_call_seconds", "One call of the model.", ["kind"], buckets=_SECONDS, registry=self.registry)

    def text(self) -> bytes:
        """All of it in Prometheus' text form."""
        return generate_latest(self.registry)
