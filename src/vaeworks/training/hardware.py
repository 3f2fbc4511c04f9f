"""What the machine offers, and how to use it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import torch
from torch import nn

from vaeworks.data import Items
from vaeworks.errors import VaeworksError

__all__ = ["choose_device", "compilation_pays", "compiled", "cpu_multiplies_bf16", "keep_memory", "resident", "threads_for", "using_threads"]

P = ParamSpec("P")
T = TypeVar("T")


@functools.cache
def keep_memory() -> bool:
    """Tell glibc to keep freed blocks rather than return each to the kernel: 1.3-1.5x on convolutions, whose activations are freed at every step.

    Does nothing, and returns False, where there is no glibc or VAEWORKS_KEEP_MEMORY=0.
    """
    if os.environ.get("VAEWORKS_KEEP_MEMORY") == "0" or platform.libc_ver()[0] != "glibc":
        return False
    m_trim_threshold, m_mmap_threshold = -1, -3
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(m_mmap_threshold, 1 << 30)) and bool(libc.mallopt(m_trim_threshold, 2**31 - 1))


def cpu_multiplies_bf16() -> bool:
    """True where the CPU has instructions for it, avx512_bf16 or amx; without them it is emulated, slowly."""
    cpu = torch.cpu
    return bool(getattr(cpu, "_is_avx512_bf16_supported", lambda: False)() or getattr(cpu, "_is_amx_tile_supported", lambda: False)())


def compilation_pays(module: nn.Module, device: torch.device, items: int) -> bool:
    """True where compiling the step takes less time than it saves: fully connected networks trained for many minutes, or any on a GPU.

    Decided from the plan alone, never from a clock, so that a resumed run decides alike.
    """
    if not any(shutil.which(name) for name in (os.environ.get("CXX") or "g++", "clang++")):
        return False
    if device.type == "cuda":
        return items > 2_000_000
    connected = not any(isinstance(part, nn.Conv2d | nn.ConvTranspose2d) for part in module.modules())
    operations = 6 * items * sum(p.numel() for p in module.parameters())
    return device.type == "cpu" and connected and operations > 5e13  # some ten minutes at 100 GFLOP/s


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """``function`` compiled on its first call; where the compiler fails, the function itself from then on."""
    chosen: Callable[P, T] | None = None

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        nonlocal chosen
        if chosen is not None:
            return chosen(*args, **kwargs)
        attempt = torch.compile(function)
        try:
            result = attempt(*args, **kwargs)
        except Exception as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            chosen = function
            return function(*args, **kwargs)
        chosen = attempt
        return result

    return call


def threads_for(module: nn.Module, batch_size: int, device: torch.device) -> int:
    """As many threads as torch has; one where a step is too little work to share: threads that wait for each other cost more than they bring, and ruin it on a busy machine."""
    shared = device.type != "cpu" or 6 * batch_size * sum(p.numel() for p in module.parameters()) >= 2e8
    return torch.get_num_threads() if shared else 1


@contextlib.contextmanager
def using_threads(count: int) -> Iterator[None]:
    """``count`` threads while inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def resident(items: Items, device: torch.device) -> Items:
    """``items`` on ``device``, as the compact values they are stored as, where they take no more than half of its free memory."""
    if device.type == "cuda" and items.values.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        return items
    return items.to(device)


def choose_device(name: str) -> torch.device:
    """auto, cpu, cuda or mps as a device; VaeworksError where this machine does not have it."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name not in available:
        raise VaeworksError(f"--device {name!r} is unknown: choose auto, cpu, cuda or mps")
    if not available[name]:
        raise VaeworksError(f"--device {name}: this machine, or this build of torch {torch.__version__}, has none; use --device cpu")
    return torch.device(name)
