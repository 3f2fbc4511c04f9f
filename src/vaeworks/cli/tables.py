"""Figures as tables for people, on standard output."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaeworks.check import CheckResult
    from vaeworks.evaluation import Figures
    from vaeworks.recipes import Recipe
    from vaeworks.runs import Comparison

__all__ = ["check_table", "comparison_table", "figures_table", "parts_table", "recipe_table"]

NAMES = {
    "log_px": "log p(x)",
    "monte_carlo_error": "  its Monte Carlo error",
    "elbo": "ELBO",
    "log_likelihood": "E[log p(x|z)]",
    "kl": "KL",
    "bits_per_dim": "bits per dimension",
    "active_units": "active units",
    "effective_sample_size": "effective sample size",
    "reconstruction_mse": "reconstruction error",
    "code_norm": "size of the codes",
    "accuracy": "accuracy of q(y|x)",
    "annealed_log_px": "log p(x), annealed",
    "annealed_monte_carlo_error": "  its Monte Carlo error",
    "importance_log_px": "log p(x), same items",
    "annealed_gain": "  gain of annealing",
    "sandwich_gap": "  gap of the sandwich",
    "inference_gap": "inference gap",
    "approximation_gap": "  approximation gap",
    "amortisation_gap": "  amortisation gap",
    "mutual_information": "I(x; z)",
    "aggregate_kl": "KL(q(z) || p(z))",
    "linear_probe": "linear probe",
    "nearest_neighbours": "nearest neighbours",
    "frechet": "Frechet distance",
    "mig": "MIG",
    "dci_disentanglement": "DCI disentanglement",
    "dci_completeness": "DCI completeness",
    "dci_informativeness": "DCI informativeness",
    "sap": "SAP",
    "factor_vae_score": "FactorVAE score",
    "beta_vae_score": "beta-VAE score",
    "column_shape_error": "error of columns",
    "pair_trend_error": "error of pairs",
    "missing_share_error": "error of missing cells",
    "efficacy_f1": "F1, taught by samples",
    "efficacy_f1_of_real": "F1, taught by real rows",
    "efficacy_auroc": "AUROC, taught by samples",
    "efficacy_auroc_of_real": "AUROC, taught by real rows",
    "efficacy_r2": "R2, taught by samples",
    "efficacy_r2_of_real": "R2, taught by real rows",
    "efficacy_rmse": "RMSE, taught by samples",
    "efficacy_rmse_of_real": "RMSE, taught by real rows",
    "closest_record_share": "nearer to training rows",
    "closest_record_distance": "distance to the nearest",
    "copies": "copies of training rows",
    "membership_auroc": "membership, AUROC",
    "perplexity_per_token": "perplexity / token",
    "perplexity_per_word": "perplexity / word",
    "bits_per_character": "bits / character",
    "language_model_log_px": "LM: log p(x)",
    "language_model_perplexity_per_token": "LM: perplexity / token",
    "language_model_perplexity_per_word": "LM: perplexity / word",
    "language_model_bits_per_character": "LM: bits / character",
    "over_language_model": "beyond the LM",
    "over_language_model_percent": "beyond the LM, share",
}


FORM = ("binarisation", "tokens", "representation")
"""What of the data's form is told beside the figures."""


def figures_table(figures: Figures) -> None:
    """Each figure with its standard error, unit and meaning; then the protocol and the warnings."""
    from rich.markup import escape

    table = _table("figure", "value", "unit", "meaning")
    for name, figure in figures.figures.items():
        error = f" ± {figure.standard_error:.3g}" if figure.standard_error is not None else ""
        table.add_row(*map(escape, (NAMES.get(name, name), _number(figure.value) + error, figure.unit, figure.meaning)))
    _print(table)
    protocol = figures.protocol
    line = (
        f"Measured on {protocol['items']} items of {protocol['data']}, {protocol['importance_samples']} importance samples, seed {protocol['seed']}"
    )
    form = "".join(f", {name} {protocol[name]}" for name in FORM if protocol.get(name, "none") != "none")
    print(f"{line}{form}; ± is one standard error over items.")
    if "features" in protocol:
        print(f"Samples are {protocol['samples_are']}, compared in {protocol['features']}.")
    for key in ("density", "note"):
        if key in protocol:
            print(f"Note: {protocol[key]}.")
    for warning in figures.warnings:
        print(f"Warning: {warning}.")


def comparison_table(result: Comparison) -> None:
    """A column for each contestant."""
    from rich.markup import escape

    table = _table("figure", *map(escape, result.table))
    for figure in dict.fromkeys(figure for measured in result.table.values() for figure in measured):
        cells = []
        for measured in result.table.values():
            m = measured.get(figure)
            cells.append("-" if m is None else _number(m.value) + (f" ± {m.half_width:.2g}" if m.half_width is not None else ""))
        table.add_row(escape(NAMES.get(figure, figure)), *cells)
    _print(table)
    p = result.protocol
    print(f"On {p['items']} items of {p['data']}, {p['importance_samples']} importance samples; ±: {p['interval']}.")


def recipe_table(recipes: Iterable[Recipe]) -> None:
    """Two lines each: what was measured, what it is, what stands on the axes where it is not the ordinary part, and the paper; then the protocol."""
    from vaeworks.recipes import measured
    from vaeworks.recipes.knobs import DEFAULTS

    table, found = _table("recipe", "measured", "what it is, on the axes, and in which paper"), measured()
    table.columns[0].no_wrap, table.columns[1].max_width = True, 20
    for recipe in sorted(recipes, key=lambda recipe: ("image", "text", "audio", "table").index(recipe["data"])):
        parts = [f"{axis} {recipe[axis]['kind']}" for axis, usual in DEFAULTS.items() if recipe[axis]["kind"] != usual]
        axes = ", ".join([recipe["encoder"]["kind"], f"z {recipe['latent_size']}", *parts])
        table.add_row(recipe.name, _measured(found["figures"].get(recipe.name)), f"{recipe['summary']}\n{recipe['data']}: {axes}; {recipe['paper']}")
    _print(table)
    print(f"Measured, log p(x) where nothing else is said: {found['protocol']}. Figures of text and sounds: docs/results.md.")


def _measured(figure: dict[str, Any] | None) -> str:
    """Two digits of the standard error, and as many of the value as they allow."""
    if figure is None:
        return "-"
    error = figure["standard_error"]
    digits = max(0, 1 - math.floor(math.log10(error)))
    what = "" if figure["meaning"] == "log p(x)" else f", {figure['meaning']}"
    return f"{figure['value']:.{digits}f} ± {error:.{digits}f} {figure['unit']}{what}"


def parts_table() -> None:
    """What can stand on each axis, with its knobs and their defaults."""
    from rich.markup import escape

    from vaeworks.recipes.knobs import AXES, knobs

    table = _table("axis", "kind", "what it is", "knobs")
    for axis, parts in AXES.items():
        for kind, part in parts.items():
            told = ", ".join(f"{name} {default}" for name, (_, default) in knobs(part).items())
            table.add_row(axis, kind, escape((part.__doc__ or "").strip().split("\n")[0]), escape(told))
    _print(table)


def check_table(results: Iterable[CheckResult]) -> None:
    """Each check with what was measured and what is exact."""
    table = _table("check", "measured", "exact", "tolerance", "", "seconds")
    for r in results:
        table.add_row(r.name, _number(r.measured), _number(r.expected), f"{r.tolerance:.2g}", "ok" if r.passed else "FAILED", f"{r.seconds:.1f}")
    _print(table)


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _print(table: Any) -> None:
    from rich.console import Console

    Console().print(table)


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.4g}" if abs(value) < 1 else f"{value:.3f}"
