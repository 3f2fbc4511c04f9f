"""Graphs: the functions of a VAE that leave this library, each from named tensors to named tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["BATCHES", "Graph", "Port", "worst_difference"]

BATCHES: Final = (1, 2, 7)
"""Sizes of the batches on which an exported graph is compared with torch; it is traced on one of 11, so that none is taken for a constant."""
TRACED: Final = 11


@dataclass(frozen=True)
class Port:
    """One input or output of a graph."""

    name: str
    shape: tuple[str | int, ...]
    """``batch`` where the number of items stands, and other names where a length is free."""
    dtype: str
    meaning: str


@dataclass(frozen=True)
class Graph:
    """A function of a VAE: a module of tensors that takes its inputs as *inputs, with names for what goes in and comes out.

    ``examples``: (n, seed) -> n items' inputs, such as the model itself makes. ``free``: by input the axes beside the first whose length is free, and what it is called.
    """

    name: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    examples: Callable[[int, int], tuple[Tensor, ...]]
    meanings: dict[str, str] = field(default_factory=dict)
    """Of inputs and outputs by name, for people."""
    free: dict[str, dict[int, str]] = field(default_factory=dict)
    noises: dict[str, str] = field(default_factory=dict)
    """Of inputs that are noise, normal or uniform."""
    truth: Callable[..., Tensor] | None = None
    """What the model itself makes of the inputs where the first output is computed in another way than it does: the two are compared as well."""

    def traced(self) -> tuple[Tensor, ...]:
        """The inputs that a graph is traced on."""
        return self.examples(TRACED, 0)

    @torch.no_grad()
    def run(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What the module itself makes of ``inputs``."""
        made = self.module(*inputs)
        return made if isinstance(made, tuple) else (made,)

    def difference(self, made: Sequence[Any], inputs: tuple[Tensor, ...]) -> float:
        """The greatest difference of arrays ``made`` of ``inputs`` from torch."""
        worst = worst_difference(made, self.run(inputs))
        if self.truth is not None:
            with torch.no_grad():
                worst = max(worst, worst_difference(made[:1], [self.truth(*inputs)]))
        return worst

    def ports(self) -> tuple[list[Port], list[Port]]:
        """The inputs and the outputs."""
        inputs = self.traced()
        outputs = self.run(inputs)
        return (
            [self._port(name, t) for name, t in zip(self.inputs, inputs, strict=True)],
            [self._port(name, t) for name, t in zip(self.outputs, outputs, strict=True)],
        )

    def axes(self, name: str) -> dict[int, str]:
        """The axes of an input or output whose length is free, and what they are called."""
        return {0: "batch", **self.free.get(name, {})}

    def free_shapes(self) -> tuple[Any, ...]:
        """What may change of every input, in the form that torch's exporters ask for of a module that takes them as *inputs."""
        return (tuple(dict.fromkeys(self.axes(name), torch.export.Dim.DYNAMIC) for name in self.inputs),)

    def _port(self, name: str, value: Tensor) -> Port:
        free = self.axes(name)
        shape = tuple(free.get(axis, size) for axis, size in enumerate(value.shape))
        return Port(name, shape, str(value.dtype).removeprefix("torch."), self.meanings.get(name, ""))


def worst_difference(made: Sequence[Any], wanted: Sequence[Tensor]) -> float:
    """The greatest difference of arrays from tensors, relative where numbers are above 1; infinite where shapes, or what is no number, do not agree."""
    worst = 0.0
    for a, b in zip(made, wanted, strict=True):
        x, y = np.asarray(a, dtype=np.float64), b.detach().cpu().numpy().astype(np.float64)
        if x.shape != y.shape or not np.array_equal(np.isfinite(x), np.isfinite(y)):
            return float("inf")
        here = np.isfinite(y)
        if here.any():
            worst = max(worst, float((np.abs(x[here] - y[here]) / np.maximum(1, np.abs(y[here]))).max()))
    return worst
