"""ONNX: a graph written by torch's exporter and compared with torch by ONNX Runtime before anybody gets it."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

from vaeworks.errors import ArtifactError, VaeworksError
from vaeworks.export.graphs import BATCHES, Graph

__all__ = ["TOLERANCE", "first_cause", "onnx_bytes", "quiet"]

TOLERANCE: Final = 1e-4
"""Greatest difference from torch, of numbers below 1 in absolute, of others relative to themselves."""


def onnx_bytes(graph: Graph) -> tuple[bytes, float]:
    """``graph`` as an ONNX file with a free batch size, and its greatest difference from torch on batches of 1, 2 and 7.

    ArtifactError where it cannot be written as ONNX, or differs by more than ``TOLERANCE``; VaeworksError where the extra is not installed.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise VaeworksError("an export to ONNX needs the extra 'export': pip install 'vaeworks[export]'") from error
    with quiet(), torch.no_grad():
        try:
            program: Any = torch.onnx.export(
                graph.module,
                graph.traced(),
                dynamo=True,
                input_names=graph.inputs,
                output_names=graph.outputs,
                dynamic_shapes=graph.free_shapes(),
                verbose=False,
            )
        except Exception as error:  # the exporter wraps whatever went wrong in errors of its own
            raise ArtifactError(f"the {graph.name} cannot be written as ONNX: {first_cause(error)}") from error
    proto = program.model_proto  # made anew each time
    _named(proto, graph)
    content = bytes(proto.SerializeToString())
    difference = _parity(content, graph)
    return content, difference


def _named(proto: Any, graph: Graph) -> None:
    """The free axes by the names that the graph gives them; what goes in and comes out with its meaning."""
    for value in (*proto.graph.input, *proto.graph.output):
        for axis, called in graph.axes(value.name).items():
            value.type.tensor_type.shape.dim[axis].dim_param = called
        value.doc_string = graph.meanings.get(value.name, "")


def _parity(content: bytes, graph: Graph) -> float:
    """The greatest difference from torch; ArtifactError where it is beyond ``TOLERANCE``."""
    onnxruntime: Any = importlib.import_module("onnxruntime")

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        worst = 0.0
        for seed, n in enumerate(BATCHES, 1):
            inputs = graph.examples(n, seed)
            made = session.run(list(graph.outputs), {name: t.cpu().numpy() for name, t in zip(graph.inputs, inputs, strict=True)})
            worst = max(worst, graph.difference(made, inputs))
    except Exception as error:  # onnxruntime's own classes have no common base
        raise ArtifactError(f"the {graph.name} was written as ONNX, and ONNX Runtime cannot run it: {first_cause(error)}") from error
    if not worst <= TOLERANCE:
        raise ArtifactError(
            f"the {graph.name} in ONNX differs from torch by {worst:.2g}, more than {TOLERANCE:g}: nothing was written; use --format safetensors or torch"
        )
    return worst


def first_cause(error: BaseException) -> str:
    """The first line of what went wrong first."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the exporter tells of itself."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
