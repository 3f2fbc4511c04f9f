"""Training: one readable loop, its checkpoints and its record."""

from vaeworks.training.hardware import choose_device, keep_memory, threads_for
from vaeworks.training.loop import History, Progress
from vaeworks.training.metrics import Record
from vaeworks.training.tracking import TRACKERS, Tracker, Tracking, check_trackers
from vaeworks.training.trainer import Trainer

__all__ = [
    "TRACKERS",
    "History",
    "Progress",
    "Record",
    "Tracker",
    "Tracking",
    "Trainer",
    "check_trackers",
    "choose_device",
    "keep_memory",
    "threads_for",
]
