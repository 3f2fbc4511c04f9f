"""Time and interruption: the rate of training, what is due, the plan that fits into the time given, and Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol

__all__ = ["Pace", "Plan", "deferred_interrupt"]


class Plan(Protocol):
    """What is known of a run's course: steps planned, steps done, seconds spent."""

    steps: int
    step: int
    seconds: float


class Pace:
    """The rate of training, what is due, and the plan of at most ``most`` steps that fits into ``max_minutes``."""

    def __init__(self, plan: Plan, max_minutes: float | None, most: int | None = None):
        self.plan, self.most, self.began, self.before, self.rate = plan, most or plan.steps, time.perf_counter(), plan.seconds, 0.0
        self.last = {"report": self.began, "checkpoint": self.began}
        self.marked, self.marked_step = self.began, plan.step
        self.seconds = None if max_minutes is None else 60 * max_minutes

    def tick(self, batch_size: int) -> None:
        """A step is done."""
        now, plan = time.perf_counter(), self.plan
        plan.seconds = self.before + now - self.began
        if now - self.marked > 0.3:
            self.rate = (plan.step - self.marked_step) * batch_size / (now - self.marked)
            self.marked, self.marked_step = now, plan.step
            if self.seconds is not None and plan.seconds > 0.05 * self.seconds:
                # what fits at the rate so far, up to the ``most`` that was asked for: the schedule ends with the time, also on a machine of changing speed
                plan.steps = min(self.most, max(plan.step + 1, int(0.98 * self.seconds * plan.step / plan.seconds)))

    @property
    def over(self) -> bool:
        """True when the time given is spent."""
        return self.seconds is not None and self.plan.seconds > self.seconds

    def due(self, what: str, seconds: float) -> bool:
        """True once every ``seconds``."""
        now = time.perf_counter()
        if now - self.last[what] < seconds:
            return False
        self.last[what] = now
        return True


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
    """While inside, the first Ctrl-C sets the event, so that the step in hand ends cleanly; the second interrupts as ever."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    previous = signal.getsignal(signal.SIGINT)

    def handle(*_: Any) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, handle)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
