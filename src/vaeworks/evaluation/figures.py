"""The figures of a trained model on held-out items, each with what it was measured with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vaeworks.data import Items
from vaeworks.distributions import PointMass
from vaeworks.evaluation.importance import LogProb, log_prob
from vaeworks.evaluation.streams import item_batches, item_seeds
from vaeworks.model import VAE, Schema, TableSchema, TextSchema
from vaeworks.objectives import kl_per_dimension

__all__ = ["ACTIVE_VARIANCE", "Figure", "Figures", "evaluate", "hidden", "mean_figure", "posterior_means"]

ACTIVE_VARIANCE = 0.01
"""A latent dimension is active when its posterior mean varies by more than this over the data (Burda et al. 2016, arXiv:1509.00519)."""


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    value: float
    unit: str
    standard_error: float | None = None
    """Over items: how far the mean of another test set of this size would lie."""
    meaning: str = ""


@dataclass(frozen=True)
class Figures:
    """What was measured, and how."""

    figures: dict[str, Figure]
    protocol: dict[str, Any]
    warnings: tuple[str, ...] = ()

    def joined(self, other: Figures) -> Figures:
        """These and those."""
        return Figures({**self.figures, **other.figures}, {**self.protocol, **other.protocol}, (*self.warnings, *other.warnings))

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        figures = {
            name: {"value": f.value, "unit": f.unit, "standard_error": f.standard_error, "meaning": f.meaning} for name, f in self.figures.items()
        }
        return {"figures": figures, "protocol": self.protocol, "warnings": list(self.warnings)}


def hidden(items: Items, schema: Schema) -> Items:
    """The items with their labels hidden from a model that can do without: log p(x) sums over what it is not told."""
    return replace(items, labels=None) if schema.context == "partial-label" else items


@torch.inference_mode()
def posterior_means(vae: VAE, items: Items, schema: Schema, *, device: torch.device | str = "cpu", seed: int = 0, batch_size: int = 500) -> Tensor:
    """The posterior mean of every item, (N, D), on the CPU: deterministic."""
    vae.eval()
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([vae.latents.means(vae, batch).cpu() for batch in (raw.to(device) for raw in items.batches(schema, batch_size, generator))])


def evaluate(
    vae: VAE,
    items: Items,
    schema: Schema,
    *,
    samples: int = 1000,
    seed: int = 0,
    device: torch.device | str = "cpu",
    language_model: VAE | None = None,
    found: LogProb | None = None,
    progress: Callable[[int], None] | None = None,
) -> Figures:
    """log p(x), ELBO, KL, bits per dimension and active units of ``vae`` on ``items``.

    Dynamic binarisation and the samples of z are drawn from a stream of each item's own, seeded by ``seed``, so the same call gives the same figures. ``found`` is what ``log_prob``
    makes of the items with that seed and as many samples, where it is known already.
    Labels that the model can do without are hidden from it; where it infers them, its accuracy is told. Figures of text are also told per token, word and character, and beside those
    of ``language_model``, the same decoder without z, where it is given.
    """
    vae.eval()
    torch.manual_seed(seed)
    batches = [batch.to(device) for batch in item_batches(hidden(items, schema), schema, 500, seed)]
    protocol: dict[str, Any] = {
        "items": len(items),
        "importance_samples": samples,
        "seed": seed,
        **schema.protocol,
        "data": schema.source,
    }
    with torch.inference_mode():
        latents = [vae.latents.infer(vae, batch, 1) for batch in batches]
        means = torch.cat([vae.latents.means(vae, batch) for batch in batches])
    activity = means.var(0) if len(items) > 1 else torch.zeros(means.shape[1])
    active = Figure(
        float((activity > ACTIVE_VARIANCE).sum()),
        f"of {means.shape[1]}",
        meaning="latent dimensions whose posterior mean varies over the data by more than 0.01",
    )
    if isinstance(latents[0][0].q, PointMass):
        return _autoencoder_figures(vae, batches, active, protocol, progress)
    result = log_prob(vae, batches, samples, seeds=item_seeds(items, seed), progress=progress) if found is None else found
    with torch.inference_mode():  # a learned prior's parameters want gradients elsewhere
        kl = torch.cat([torch.cat([kl_per_dimension(level).flatten(0, -2) for level in levels], -1) for levels in latents])
    discrete = _discrete(vae)
    figures = {
        "log_px": mean_figure(
            result.value, "nats", f"log p(x) per item by importance sampling, {samples} samples: a lower bound, tight as samples grow"
        )
    }
    if samples > 1:
        error = float(result.standard_error.square().sum().sqrt()) / len(items)
        figures["monte_carlo_error"] = Figure(error, "nats", meaning="the part of log p(x)'s error due to finite samples")
    figures |= {
        "elbo": mean_figure(result.elbo, "nats", "evidence lower bound per item"),
        "log_likelihood": mean_figure(result.log_likelihood, "nats", "E_q[log p(x | z)] per item"),
        "kl": mean_figure(kl.sum(-1), "nats", "KL(q(z | x) || p(z)) per item"),
    }
    if discrete and not schema.trims and schema.kind != "table":
        scale = -1 / (schema.dimensions * math.log(2))
        log_px = figures["log_px"]
        spread = None if log_px.standard_error is None else log_px.standard_error * -scale
        figures["bits_per_dim"] = Figure(log_px.value * scale, "bits", spread, f"-log2 p(x) / {schema.dimensions}")
    elif not discrete:
        protocol["density"] = schema.density
    figures["active_units"] = active
    if (accuracy := _accuracy(vae, items, schema, device, seed)) is not None:
        figures["accuracy"] = accuracy
    figures["effective_sample_size"] = Figure(
        float(result.effective_sample_size.median()), f"of {samples}", meaning="median over items of the importance weights' effective sample size"
    )
    warnings = []
    few = float((result.effective_sample_size < 5).double().mean())
    if samples >= 50 and few > 0.1:
        warnings.append(f"{few:.0%} of the items have an effective sample size below 5: their log p(x) is likely too low; raise --samples")
    protocol["kl_per_dimension"] = [round(v, 4) for v in kl.mean(0).tolist()]
    told = Figures(figures, protocol, tuple(warnings))
    if isinstance(schema, TextSchema):
        from vaeworks.evaluation.texts import beside_language_model, text_figures

        told = told.joined(text_figures(vae, items, schema, result.value, seed=seed, device=device))
        if language_model is not None:
            told = told.joined(beside_language_model(language_model, items, schema, result.value, device=device))
    if isinstance(schema, TableSchema):
        from vaeworks.evaluation.tables import row_figures

        told = told.joined(row_figures(vae, items, schema, seed=seed, device=device))
    return told


def _discrete(vae: VAE) -> bool:
    """Whether p(x | z) is a probability mass."""
    likelihood: Any = vae.decoder.likelihood
    return bool(likelihood.discrete)


@torch.inference_mode()
def _accuracy(vae: VAE, items: Items, schema: Schema, device: torch.device | str, seed: int) -> Figure | None:
    """How often the most probable label is the true one, where the latents infer labels and some are known."""
    classify = getattr(vae.latents, "classify", None)
    known = None if items.labels is None else (items.labels >= 0).nonzero()[:, 0]
    if classify is None or known is None or not len(known):
        return None
    told = items[known]
    generator = torch.Generator().manual_seed(seed)
    guesses = torch.cat([classify(vae, batch.to(device)).argmax(-1).cpu() for batch in hidden(told, schema).batches(schema, 500, generator)])
    assert told.labels is not None
    return mean_figure((guesses == told.labels.cpu()).double(), "accuracy", f"most probable label q(y | x) is the true one, {len(told)} items")


def _autoencoder_figures(vae: VAE, batches: list[Any], active: Figure, protocol: dict[str, Any], progress: Callable[[int], None] | None) -> Figures:
    with torch.inference_mode():
        likelihood = torch.cat([vae(batch, 1).log_likelihood(batch)[0] for batch in batches])
    if progress is not None:
        progress(len(likelihood))
    protocol = {**protocol, "importance_samples": 0, "note": "a plain autoencoder has a point-mass posterior: it gives no bound on log p(x)"}
    figures = {
        "log_likelihood": mean_figure(likelihood, "nats", "log p(x | z) at the item's own code: a reconstruction score, not log p(x)"),
        "active_units": active,
    }
    return Figures(figures, protocol)


def mean_figure(values: Tensor, unit: str, meaning: str) -> Figure:
    """The mean of values (N,), with its standard error over items."""
    error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
    return Figure(float(values.mean()), unit, error, meaning)
