"""What a user without this library needs to know of the data: how raw items become x, and back, as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaeworks.distributions.margins import COUNTS, Margin
from vaeworks.distributions.tokens import END, PAD
from vaeworks.errors import ArtifactError
from vaeworks.model import AudioSchema, Column, ImageSchema, Schema, TableSchema, TextSchema
from vaeworks.signals import LogMel

__all__ = ["data_facts"]


def data_facts(schema: Schema) -> dict[str, Any]:
    """The kind of data, the shape of x, what generation is conditioned on, and how values become x and back; what units they are in is said beside."""
    shared = {
        "kind": schema.kind,
        "source": schema.source,
        "shape": list(schema.shape),
        "classes": list(schema.classes),
        "context": {
            "kind": schema.context,
            "size": schema.context_size,
            "columns": list(schema.columns),
            "means": list(schema.column_means),
            "scales": list(schema.column_scales),
            "meaning": _CONTEXTS[schema.context],
        },
    }
    if isinstance(schema, ImageSchema):
        return shared | _image(schema)
    if isinstance(schema, TextSchema):
        return shared | _text(schema)
    if isinstance(schema, AudioSchema):
        return shared | _audio(schema)
    if isinstance(schema, TableSchema):
        return shared | {"columns": [_column(column) for column in schema.table], "preprocessing": _ROW}
    raise ArtifactError(f"data of kind {schema.kind!r} cannot be exported: how its items become x is not written down")


_CONTEXTS = {
    "none": "no context",
    "label": "a one-hot vector of the class, in the order of classes",
    "partial-label": "a one-hot vector of the class, in the order of classes; zeros where it is not known",
    "vector": "(number - mean) / scale of each of the columns",
}
_ROW = (
    "x has a number for each column that has a map, in order; observed is False where a cell is missing. affine: x = (v - shift) / scale. log: x = (log(v - origin) - shift) / scale."
    " scores: x is the normal score of v, interpolated between raw and scores, beyond them at the slope of the tails; atoms have a score of their own. index: the number of the category."
    " count: v itself. Dates are units of unit seconds since 1970-01-01. Back: the inverse, rounded to the grid of width step through low, within low and high."
)


def _image(schema: ImageSchema) -> dict[str, Any]:
    how = {
        "none": "x = value / (levels - 1)" if schema.levels else "x = (value - low) / (high - low)",
        "threshold": "x = 1 where value >= levels / 2, else 0",
        "dynamic": "x ~ Bernoulli(value / (levels - 1)), drawn anew each time",
        "static": "x = value, 0 or 1",
    }[schema.binarisation]
    return {
        "mode": schema.mode,
        "levels": schema.levels,
        "low": schema.low,
        "high": schema.high,
        "binarisation": schema.binarisation,
        "preprocessing": f"channels first, {how}; x lies in [0, 1], and a picture of it is 255 x",
    }


def _text(schema: TextSchema) -> dict[str, Any]:
    return {
        "vocabulary": schema.vocabulary,
        "unit": schema.unit,
        "tokenizer": schema.tokenizer,
        "pad": PAD,
        "end": END,
        "preprocessing": "x are token numbers of the tokenizer (JSON of the tokenizers library), then end, then pad up to the length in shape",
    }


def _audio(schema: AudioSchema) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "rate": schema.rate,
        "representation": schema.representation,
        "samples": schema.samples,
        "loudness": schema.loudness,
        "trim": schema.trim,
        "hop": schema.hop,
        "preprocessing": "x is the waveform in [-1, 1], zero beyond its end, observed False there; in what the decoder writes, NaN is beyond the end",
    }
    if schema.representation == "wave":
        return facts
    transform = LogMel(schema.rate, window=schema.window, hop=schema.hop, mels=schema.shape[1])
    return facts | {
        "window": schema.window,
        "floor": transform.floor,
        "magnitude_scale": transform.scale,
        "mel_filters": [[round(float(v), 9) for v in row] for row in transform.filters],
        "mel_means": list(schema.mel_means),
        "mel_scales": list(schema.mel_scales),
        "preprocessing": (
            "x = (log(mel_filters |STFT| / magnitude_scale + floor) - mel_means) / mel_scales, in nepers, of the waveform in [-1, 1]; the STFT has a periodic Hann window of"
            " window samples, and frame f is centred on sample (f + 1/2) hop; observed is False beyond the frames of an item, ceil(n / hop) for n samples; in what the decoder writes,"
            " NaN is beyond the end"
        ),
    }


def _column(column: Column) -> dict[str, Any]:
    facts = {
        "name": column.name,
        "kind": column.kind,
        "categories": list(column.categories),
        "decimals": column.decimals,
        "form": column.form,
        "unit": column.unit,
        "other": column.other,
        "constant": column.constant,
    }
    return facts | {"map": None if column.margin is None else _map(column.margin)}


def _map(margin: Margin) -> dict[str, Any]:
    """How a raw number becomes x."""
    within = {"step": margin.step, "low": margin.low, "high": margin.high}
    if margin.kind in ("categorical", "boolean"):
        return {"type": "index", "size": margin.size}
    if margin.kind in COUNTS:
        return {"type": "count", **within}
    if margin.kind in ("quantile", "ordinal"):
        raw, scores, _ = margin.breaks()
        atom = [lower < upper for lower, upper in zip(margin.lower, margin.upper, strict=True)]
        middle = margin.to_x(np.asarray(margin.knots)).tolist()
        facts = {"type": "scores", **within, "raw": raw.tolist(), "scores": scores.tolist(), "tails": list(margin.tails) or [0.0, 0.0]}
        facts["atoms"] = [[knot, x] for knot, x, here in zip(margin.knots, middle, atom, strict=True) if here]
        facts["ordinal"] = [[knot, upper] for knot, upper in zip(margin.knots, margin.upper, strict=True)] if margin.kind == "ordinal" else []
        return facts
    facts = {"type": "log" if margin.kind == "log-normal" else "affine", **within, "shift": margin.shift, "scale": margin.scale}
    return facts | ({"origin": margin.origin} if margin.kind == "log-normal" else {})
