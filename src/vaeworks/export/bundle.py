"""A bundle: the graphs of a model as files, a JSON that says how raw items become their inputs, and a script that uses both with numpy and onnxruntime alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any, Final, Literal

from vaeworks.export.decoding import decoder_graph, sampler_graph
from vaeworks.export.encoding import encoder_graph
from vaeworks.export.facts import data_facts
from vaeworks.export.graphs import Graph, Port
from vaeworks.export.onnx import TOLERANCE, onnx_bytes
from vaeworks.export.programs import program_bytes
from vaeworks.model import VAE, Schema

__all__ = ["GRAPHS", "Format", "GraphFormat", "bundle"]

Format = Literal["onnx", "torch", "safetensors"]
GraphFormat = Literal["onnx", "torch"]
GRAPHS: Final = ("encoder", "decoder", "sampler")
_WRITERS: Final[dict[str, tuple[Callable[[Graph], tuple[bytes, float]], str]]] = {"onnx": (onnx_bytes, ".onnx"), "torch": (program_bytes, ".pt2")}


def bundle(
    vae: VAE,
    schema: Schema,
    kind: GraphFormat,
    *,
    only: Iterable[str] = GRAPHS,
    facts: dict[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[dict[str, bytes], dict[str, float]]:
    """The files of a bundle by name, and each graph's greatest difference from torch. Nothing is written: ArtifactError leaves nothing behind.

    ``facts``: what else export.json says.
    """
    write, suffix = _WRITERS[kind]
    made, differences, told = {}, {}, {}
    for name in only:
        graph = _graph(name, vae, schema)
        content, differences[name] = write(graph)
        made[f"{name}{suffix}"] = content
        inputs, outputs = graph.ports()
        told[name] = {
            "file": f"{name}{suffix}",
            "inputs": [_port(port, graph) for port in inputs],
            "outputs": [_port(port, graph) for port in outputs],
            "max_difference_from_torch": differences[name],
        }
        if progress is not None:
            progress(f"{name}{suffix}: differs from torch by {differences[name]:.1e} at most")
    described = {
        "format": "vaeworks-export",
        "version": 1,
        **(facts or {}),
        "tolerance": TOLERANCE,
        "graphs": told,
        "data": data_facts(schema),
    }
    made["export.json"] = json.dumps(described, indent=1).encode()
    if kind == "onnx" and set(told) == set(GRAPHS):
        usage = files("vaeworks.export").joinpath("usage")
        made["example.py"] = b"".join(usage.joinpath(f"{part}.py.txt").read_bytes() for part in ("shared", schema.kind))
    return made, differences


def _graph(name: str, vae: VAE, schema: Schema) -> Graph:
    if name == "encoder":
        return encoder_graph(vae, schema)
    return decoder_graph(vae) if name == "decoder" else sampler_graph(vae, schema.context_size)


def _port(port: Port, graph: Graph) -> dict[str, Any]:
    return {
        "name": port.name,
        "shape": list(port.shape),
        "dtype": port.dtype,
        "noise": graph.noises.get(port.name, ""),
        "meaning": port.meaning,
    }
