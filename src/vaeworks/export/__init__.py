"""From a model in memory to files that rebuild it anywhere."""

from vaeworks.export.artifact import load_artifact, save_artifact
from vaeworks.export.bundle import GRAPHS, Format, bundle
from vaeworks.export.decoding import decoder_graph, sampler_graph
from vaeworks.export.encoding import encoder_graph
from vaeworks.export.graphs import Graph
from vaeworks.export.onnx import onnx_bytes
from vaeworks.export.programs import program_bytes

__all__ = [
    "GRAPHS",
    "Format",
    "Graph",
    "bundle",
    "decoder_graph",
    "encoder_graph",
    "load_artifact",
    "onnx_bytes",
    "program_bytes",
    "sampler_graph",
    "save_artifact",
]
