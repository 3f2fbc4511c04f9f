"""Training: one readable loop, its checkpoints and its record."""

from vaeworks.training.hardware import choose_device, keep_memory, threads_for
from vaeworks.training.loop import History, Progress
from vaeworks.training.metrics import Record
from vaeworks.training.trainer import Trainer

__all__ = ["History", "Progress", "Record", "Trainer", "choose_device", "keep_memory", "threads_for"]
