"""The figures of a model of text: per token, word and character, and beside a language model."""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.errors import VaeworksError
from vaeworks.evaluation.figures import Figure, Figures, mean_figure
from vaeworks.evaluation.importance import log_prob
from vaeworks.evaluation.information import information
from vaeworks.model import VAE, TextSchema
from vaeworks.model.text_schema import UNKNOWN

__all__ = ["COLLAPSED", "beside_language_model", "ratio", "text_figures"]

COLLAPSED = 0.5
"""Nats between items and codes below which a model of text is told to be collapsed."""


def text_figures(vae: VAE, items: Items, schema: TextSchema, log_px: Tensor, *, seed: int = 0, device: torch.device | str = "cpu") -> Figures:
    """Perplexities and bits per character of ``items`` whose log p(x) is ``log_px`` (N,), and what their codes tell of them, where the latents let that be known."""
    found, warnings = _per_unit(log_px, items, schema, ""), []
    unknown = float((items.values == UNKNOWN).sum() / _counts(items, schema)[0].sum())
    if unknown > 0:
        warnings.append(
            f"{unknown:.1%} of the tokens are unknown to the tokenizer: log p(x) is that of the text with a mark in their place; --tokenizer bytes knows all"
        )
    with contextlib.suppress(VaeworksError, NotImplementedError):  # latents of which it cannot be told
        told = information(vae, items, schema, seed=seed, device=device)
        meaning = f"I(x; z) between {told.items} items and their codes, at most {math.log(told.items):.1f}"
        found["mutual_information"] = Figure(told.mutual_information, "nats", told.standard_error, meaning)
        found["aggregate_kl"] = Figure(told.aggregate_kl, "nats", told.standard_error, "KL(q(z) || p(z)): what sampling from the prior misses")
        if told.mutual_information < COLLAPSED:
            warnings.append(
                f"posterior collapse: the codes tell {told.mutual_information:.2f} nats of an item, and the decoder writes without them;"
                " use --recipe text, or more of --set objective.free_bits, training.pretrain, decoder.word_dropout"
            )
    return Figures(found, {"counts": "END is a token and a word of each item, and no character"}, tuple(warnings))


def beside_language_model(model: VAE, items: Items, schema: TextSchema, log_px: Tensor, *, device: torch.device | str = "cpu") -> Figures:
    """The same figures of a language model, a ``VAE`` whose code has no dimension, and how much less the items cost to write with z, ``log_px`` (N,) being theirs with it."""
    batches = (batch.to(device) for batch in items.batches(schema, 500))
    plain = log_prob(model.to(device), batches, 1).value.to(log_px)
    figures = {"language_model_log_px": mean_figure(plain, "nats", "log p(x) per item, exact, of the same decoder without z, trained the same way")}
    figures |= _per_unit(plain, items, schema, "language_model_")
    more, error = ratio(plain - log_px, -plain)
    figures["over_language_model"] = mean_figure(
        plain - log_px, "nats", "-log p(x) per item beyond the language model's, at most: with z it is an upper bound; below 0, z helps"
    )
    figures["over_language_model_percent"] = Figure(
        100 * more, "%", None if error is None else 100 * error, "the same as a share of the language model's -log p(x)"
    )
    return Figures(figures, {"language_model": f"{sum(p.numel() for p in model.parameters()):,} parameters, no z"})


def ratio(values: Tensor, counts: Tensor) -> tuple[float, float | None]:
    """sum of values (N,) / sum of counts (N,), and its standard error over items by the delta method; None for one item."""
    values, counts = values.double(), counts.double()
    found, n = float(values.sum() / counts.sum()), len(values)
    error = float((values - found * counts).square().sum().div((n - 1) * n).sqrt() / counts.mean()) if n > 1 else None
    return found, error


def _per_unit(log_px: Tensor, items: Items, schema: TextSchema, prefix: str) -> dict[str, Figure]:
    """Perplexity per token and per word, bits per character; a unit that no item has is left out."""
    tokens, characters, words = (count.to(log_px.device) for count in _counts(items, schema))
    told = {
        "perplexity_per_token": (tokens, f"exp(-log p(x) / token), tokens being {schema.unit} and END"),
        "perplexity_per_word": (words + 1, "exp(-log p(x) / word), words being what white space parts and END"),
    }
    figures = {}
    for name, (counts, meaning) in told.items():
        rate, error = ratio(-log_px, counts)
        figures[prefix + name] = Figure(math.exp(rate), "perplexity", None if error is None else math.exp(rate) * error, meaning)
    if characters.any():
        rate, error = ratio(-log_px / math.log(2), characters)
        figures[f"{prefix}bits_per_character"] = Figure(rate, "bits", error, "-log2 p(x) / character, END being none")
    return figures


def _counts(items: Items, schema: TextSchema) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, characters and words of each item, (N,) each."""
    assert items.lengths is not None
    return schema.counts(items.values, items.lengths)
