"""Batching: what waits for the model at one time, and asks for the same, becomes one call of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from vaeworks.serving.metrics import Metrics

__all__ = ["Batcher", "Call", "Expired"]

Call = Callable[[Sequence[Any], Callable[[], None]], Sequence[Any]]
"""From the arguments of jobs to a result of each; what it is also given raises Expired once nobody waits for the results."""


class Expired(Exception):  # noqa: N818
    """Nobody waits any longer for what is being computed."""


@dataclass(eq=False)
class _Job:
    """One request's part of a call."""

    kind: Hashable
    call: Call
    argument: Any
    size: int
    result: asyncio.Future[Any]

    @property
    def awaited(self) -> bool:
        """Whether somebody still waits for it; may be asked from any thread."""
        return not self.result.done()


class Batcher:
    """One thread that has the model to itself, and the jobs that wait for it.

    Nothing waits to be joined by others: while one call runs the next ones gather, and the first of these takes along all of its kind, up to ``most`` items.
    """

    def __init__(self, most: int, metrics: Metrics):
        self.most, self.metrics = most, metrics
        self._waiting: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "model")
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._loop = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End; jobs that still wait are cancelled."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        for job in self._waiting:
            job.result.cancel()
        self._thread.shutdown(wait=True)

    async def do(self, kind: Hashable, call: Call, argument: Any, size: int) -> Any:
        """The result of one job of ``size`` items; jobs of one ``kind`` may share a ``call``. Where this is cancelled, so is the job, as long as no other shares its call."""
        job = _Job(kind, call, argument, size, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self.metrics.queued.set(len(self._waiting))
        self._arrived.set()
        return await job.result

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            jobs = self._next()
            if jobs:
                for job, result in zip(jobs, await loop.run_in_executor(self._thread, self._together, jobs), strict=True):
                    if job.result.done():
                        continue
                    if isinstance(result, BaseException):
                        job.result.set_exception(result)
                    else:
                        job.result.set_result(result)

    def _next(self) -> list[_Job]:
        """The first job, and those of its kind that fit beside it; jobs that nobody waits for are dropped."""
        chosen: list[_Job] = []
        others: deque[_Job] = deque()
        size = 0
        for job in self._waiting:
            if not job.awaited:
                continue
            if not chosen or (job.kind == chosen[0].kind and size + job.size <= self.most):
                chosen.append(job)
                size += job.size
            else:
                others.append(job)
        self._waiting = others
        self.metrics.queued.set(len(others))
        if not others:
            self._arrived.clear()
        return chosen

    def _together(self, jobs: Sequence[_Job]) -> Sequence[Any]:
        """The results of one call for all jobs, or where it fails for some reason of a call for each: the fault of one is not that of others."""

        def check() -> None:
            if not any(job.awaited for job in jobs):
                raise Expired

        name = str(jobs[0].kind[0] if isinstance(jobs[0].kind, tuple) else jobs[0].kind)
        self.metrics.batches.labels(name).observe(sum(job.size for job in jobs))
        try:
            with self.metrics.calls.labels(name).time():
                return jobs[0].call([job.argument for job in jobs], check)
        except Exception as error:
            if len(jobs) == 1 or isinstance(error, Expired):
                return [error] * len(jobs)
        return [self._together([job])[0] for job in jobs]
