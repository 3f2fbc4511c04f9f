"""torch.export: a graph as a program of torch operators, which torch itself loads without this library."""

from __future__ import annotations

import io

import torch

from vaeworks.errors import ArtifactError
from vaeworks.export.graphs import BATCHES, Graph
from vaeworks.export.onnx import TOLERANCE, first_cause, quiet

__all__ = ["program_bytes"]


def program_bytes(graph: Graph) -> tuple[bytes, float]:
    """``graph`` as a .pt2 file with a free batch size, and its greatest difference from the module on batches of 1, 2 and 7, once ``torch.export.load`` has read it back.

    ArtifactError where torch cannot trace it, or it differs by more than ``TOLERANCE``.
    """
    with quiet(), torch.no_grad():
        try:
            program = torch.export.export(graph.module, graph.traced(), dynamic_shapes=graph.free_shapes(), strict=False)
            file = io.BytesIO()
            torch.export.save(program, file)
            file.seek(0)
            loaded = torch.export.load(file).module()
            worst = 0.0
            for seed, n in enumerate(BATCHES, 1):
                inputs = graph.examples(n, seed)
                made = loaded(*inputs)
                worst = max(worst, graph.difference(made if isinstance(made, tuple) else (made,), inputs))
        except Exception as error:
            raise ArtifactError(f"the {graph.name} cannot be written by torch.export: {first_cause(error)}") from error
    if not worst <= TOLERANCE:
        raise ArtifactError(f"the {graph.name} of torch.export differs from the model by {worst:.2g}, more than {TOLERANCE:g}: nothing was written")
    return file.getvalue(), worst
