"""The explorer as one file that works alone: page, scene, items, the model as ONNX, and ONNX Runtime Web to run it in the browser."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaeworks.distributions.margins import COUNTS
from vaeworks.errors import ArtifactError
from vaeworks.export import Graph, decoder_graph, encoder_graph, onnx_bytes, sampler_graph
from vaeworks.files import replace_file
from vaeworks.model import AudioSchema, ImageSchema, TableSchema, TextSchema
from vaeworks.serving.explorer import MOST, items_on_the_wire
from vaeworks.serving.ort_web import OrtWeb
from vaeworks.serving.page import document
from vaeworks.serving.scene import Scene
from vaeworks.serving.verbs import description
from vaeworks.signals import LogMel

__all__ = ["write_page"]

CARRIED = 6 << 20
"""Bytes of items that a page carries along; the rest are shown as they are decoded."""
SCORED_SECONDS = 10.0
BANK = 512
"""Codes of the prior that a page carries where its sampler is no graph."""


def write_page(path: Path, scene: Scene, ort: OrtWeb) -> list[str]:
    """Write the page to ``path``, atomically; what to tell of it, a sentence each. ArtifactError where the decoder is no graph."""
    model, schema = scene.model, scene.model.schema
    graphs: dict[str, str] = {}
    ports: dict[str, Any] = {}
    limits = ["log p(x), p-values and filling in need the service: run vae explore on the model."]
    wanted: dict[str, Any] = {
        "decoder": lambda: decoder_graph(model.vae),
        "sampler": lambda: sampler_graph(model.vae, schema.context_size),
        "encoder": lambda: encoder_graph(model.vae, schema),
    }
    if not _encodes(schema):
        del wanted["encoder"]
        limits.append(
            f"Encoding {'sounds' if schema.kind == 'audio' else 'texts' if schema.kind == 'text' else 'rows'} of your own needs the service, too."
        )
    for name, make in wanted.items():
        try:
            graph: Graph = make()
            content, _ = onnx_bytes(graph)
        except ArtifactError as error:
            if name == "decoder":
                raise
            if name == "sampler":
                limits.append(
                    f"Samples are drawn from {BANK} codes{' of each label' if schema.context == 'label' else ''} that this page carries, at temperature 1: {error}."
                )
            else:
                limits.append(f"Items of your own need the service, too: {error}.")
            continue
        graphs[name] = base64.b64encode(content).decode()
        ports[name] = {
            "inputs": list(graph.inputs),
            "outputs": list(graph.outputs),
            "noises": [{"name": n.name, "kind": n.kind, "shape": n.shape} for n in getattr(graph.module, "noises", ())],
        }
    log_px = None if model.point else _numbers(scene.score(SCORED_SECONDS))
    items = _items(scene)
    if len(items) < len(scene.codes):
        limits.append(f"This page carries {len(items)} of its {len(scene.codes)} items; the others are shown as they are decoded.")
    carried = {
        "model": description(model, 0).model_dump() | {"has_log_prob": False, "calibrated": False},
        "scene": scene.facts() | {"log_px": log_px is not None},
        "codes": _numbers(scene.codes),
        "planes": {method: _numbers(scene.plane(method)) for method in scene.methods},
        "channels": [_numbers(channel.values) for channel in scene.channels],
        "log_px": log_px,
        "items": items,
        "form": _form(scene),
        "graphs": graphs,
        "ports": ports,
        "bank": None if "sampler" in graphs else _bank(scene),
        "limits": limits,
    }
    packed = {"carried": _packed(json.dumps(carried).encode()), "ort-script": _packed(ort.script), "ort-wasm": _packed(ort.wasm)}
    page = document(f"{schema.source}: {model.recipe.name}", carried=packed).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, page)
    return [
        f"Wrote {path}, {len(page) / 1e6:.1f} MB: it opens in a browser from disk, or from any web server, and needs neither this program nor a network.",
        *limits,
    ]


def _encodes(schema: Any) -> bool:
    """Whether the page knows how to make x of an item."""
    return isinstance(schema, ImageSchema) or (isinstance(schema, TextSchema) and schema.unit in {"characters", "bytes"})


def _bank(scene: Scene) -> list[str]:
    """Codes drawn from the prior, (BANK, D), of each label where the model is conditional on it."""
    model = scene.model
    wishes: list[dict[str, str] | None] = [{"label": name} for name in model.schema.classes] if model.schema.context == "label" else [None]
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = [model.vae.latents.generate(model.vae.prior, BANK, model.context(BANK, wish)) for wish in wishes]
    return [_numbers(z.float().cpu().numpy()) for z in drawn]


def _items(scene: Scene) -> list[dict[str, Any]]:
    """The first items, as many as ``CARRIED`` bytes hold."""
    found: list[dict[str, Any]] = []
    size = 0
    for start in range(0, len(scene.codes), MOST):
        for item in items_on_the_wire(scene, list(range(start, min(start + MOST, len(scene.codes))))):
            size += len(json.dumps(item))
            if size > CARRIED and found:
                return found
            found.append(item)
    return found


def _form(scene: Scene) -> dict[str, Any]:
    """How x becomes an item, of each kind."""
    schema = scene.model.schema
    base: dict[str, Any] = {"size": schema.context_size, "means": schema.column_means, "scales": schema.column_scales, "names": schema.columns}
    if isinstance(schema, ImageSchema):
        return base | {"mode": schema.mode, "levels": schema.levels, "binarisation": schema.binarisation}
    if isinstance(schema, TextSchema):
        return base | {"unit": schema.unit, "length": schema.shape[0], "pieces": _pieces(schema)}
    if isinstance(schema, TableSchema):
        return base | {"columns": [_column(column) for column in schema.table]}
    assert isinstance(schema, AudioSchema)
    return base | {"rate": schema.rate, "representation": schema.representation} | (_mel(schema) if schema.representation == "mel" else {})


def _mel(schema: AudioSchema) -> dict[str, Any]:
    """What takes a log-mel spectrogram back to a waveform."""
    mel = LogMel(schema.rate, window=schema.window, hop=schema.hop, mels=schema.shape[1])
    arrays = {"filters": mel.filters, "inverse": mel.inverse_filters}
    return {
        "window": schema.window, "hop": schema.hop, "mels": schema.shape[1], "floor": mel.floor, "scale": mel.scale,
        "mel_means": schema.mel_means, "mel_scales": schema.mel_scales,
    } | {name: _numbers(array.numpy()) for name, array in arrays.items()}  # fmt: skip


def _pieces(schema: TextSchema) -> list[str]:
    """The bytes of every token, in base64: what a text is joined from."""
    vocabulary: dict[str, int] = json.loads(schema.tokenizer)["model"]["vocab"]
    byte_of = {} if schema.unit == "characters" else _byte_letters()
    pieces = [""] * schema.vocabulary
    for piece, i in vocabulary.items():
        content = bytes(byte_of[letter] for letter in piece) if byte_of and i > 2 else piece.encode()
        pieces[i] = base64.b64encode(content).decode()
    return pieces


def _byte_letters() -> dict[str, int]:
    """The byte that each letter of a byte-level tokenizer stands for (Radford et al. 2019): printable ones for themselves, the others in order from U+0100."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(256 + i): byte for i, byte in enumerate(others)}


def _column(column: Any) -> dict[str, Any]:
    """How a coordinate of x becomes a cell."""
    told: dict[str, Any] = {
        "name": column.name,
        "kind": column.kind,
        "categories": column.categories,
        "decimals": column.decimals,
        "dtype": column.dtype,
    }
    margin = column.margin
    if margin is None:
        return told | {"constant": column.constant if column.kind == "constant" else None, "margin": None}
    step, low = margin.step, margin.low
    through_zero = bool(step) and abs(low / step - round(low / step)) <= 1e-6 * max(1.0, abs(low / step) * 1e-6)
    found = {"kind": "count" if margin.kind in COUNTS else margin.kind, "step": step, "low": low, "high": margin.high, "shift": margin.shift, "scale": margin.scale,
             "origin": margin.origin, "tails": margin.tails, "through_zero": through_zero}  # fmt: skip
    if margin.kind == "ordinal":
        found |= {"knots": margin.knots, "upper": margin.upper}
    if margin.kind == "quantile":
        raw, scores, _ = margin.breaks()
        found |= {"raw": raw.tolist(), "scores": scores.tolist()}
    return told | {"unit": column.unit, "form": column.form, "margin": found}


def _numbers(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
