"""The sections of the report as HTML; every text from outside is escaped here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from vaeworks.reporting.charts import bars, curves

__all__ = ["Dimensions", "curve_section", "dimension_section", "figure_section", "headline", "prose", "reproduction", "section"]

NAMES = {
    "log_px": "log p(x)",
    "elbo": "ELBO",
    "log_likelihood": "log-likelihood",
    "kl": "KL divergence",
    "bits_per_dim": "bits per dimension",
    "monte_carlo_error": "Monte Carlo error",
}
CURVES = {
    "elbo": "Evidence lower bound (ELBO): higher is better",
    "log_likelihood": "Log-likelihood E[log p(x | z)]: how well items are rebuilt",
    "kl": "KL divergence: how much the codes tell about the items",
    "iwae": "Importance-weighted bound: higher is better",
    "loss": "Loss, what training minimises: lower is better",
}


def section(name: str, heading: str, content: str) -> str:
    """A section with its heading; empty where there is no content."""
    anchor = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "section"
    return f'<section id="{anchor}"><h2>{escape(heading)}</h2>{content}</section>' if content else ""


def prose(sentences: Sequence[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>" if sentences else ""


def headline(figures: Mapping[str, Any]) -> str:
    """The most telling figures, large."""
    measured = figures.get("figures", {})
    chosen = [name for name in ("log_px", "bits_per_dim", "elbo", "kl", "active_units") if name in measured]
    tiles = (
        f"<div><dt>{escape(_name(name))}</dt><dd>{_value(measured[name]['value'])} <small>{escape(measured[name]['unit'])}</small></dd></div>"
        for name in chosen
    )
    return f'<dl class="headline">{"".join(tiles)}</dl>' if chosen else ""


def curve_section(lines: Sequence[Mapping[str, Any]], best_step: int | None) -> str:
    """A chart for every quantity that was validated: on validation items, and on training batches where recorded."""
    names = list(dict.fromkeys(key.removeprefix("validation_") for line in lines for key in line if key.startswith("validation_")))
    names.sort(key=lambda name: list(CURVES).index(name) if name in CURVES else len(CURVES))
    if all(math.isclose(-line.get("validation_loss", 0), line.get("validation_elbo", 1), rel_tol=1e-3) for line in lines):
        names = [name for name in names if name != "loss"]  # which is the bound upside down
    charts = []
    for name in names:
        series = {
            label: [(float(line["step"]), float(line[key])) for line in lines if line.get(key) is not None]
            for label, key in (("one training batch", f"train_{name}"), ("validation", f"validation_{name}"))
        }
        title = CURVES.get(name, _name(name))
        if max(map(len, series.values())) < 2:
            continue
        chart = curves(series, label=f"Learning curve. {title}.", x_label="step", best=best_step)
        charts.append(f"<figure><figcaption>{escape(title)}</figcaption>{chart}</figure>" if chart else "")
    values = [value for line in lines for key, value in line.items() if key.startswith("validation_") and value is not None]
    if not any(math.isfinite(value) for value in values):
        return ""
    last = lines[-1]
    facts = [f"{last['step']:,} steps"]
    facts += [f"{last['epoch']:g} epochs"] if "epoch" in last else []
    facts += [_duration(float(last["seconds"]))] if "seconds" in last else []
    told = "Values are nats per item." if any(charts) else "Validation items were looked at too seldom to draw a curve."
    best = f" The weights of step {best_step:,}, the best on validation items, were kept." if best_step is not None else ""
    return section(
        "training",
        "Learning curves",
        f"<p>Trained for {', '.join(facts)}.{best} {told}</p>" + (f'<div class="charts">{"".join(charts)}</div>' if any(charts) else ""),
    )


def figure_section(figures: Mapping[str, Any]) -> str:
    """The table of figures, the warnings above it and the protocol under it."""
    measured, protocol = figures.get("figures", {}), figures.get("protocol", {})
    if not measured:
        return ""
    warnings = "".join(f'<p class="warning"><strong>Note:</strong> {escape(str(warning))}</p>' for warning in figures.get("warnings", ()))
    columns = ("Figure", "Value", '<abbr title="standard error over items">± s.e.</abbr>', "Unit")
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(_figure_row(name, figure) for name, figure in measured.items())
    facts = _facts({_name(key): value for key, value in protocol.items() if key != "kl_per_dimension"})
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    table = f'<div class="scroll" tabindex="0" role="region" aria-label="Figures">{table}</div>'
    return section("figures", "Figures on held-out items", f"{warnings}{table}<h3>Measured with</h3>{facts}")


def _figure_row(name: str, figure: Mapping[str, Any]) -> str:
    first = f'<th scope="row">{escape(_name(name))}<small>{escape(figure.get("meaning") or "")}</small></th>'
    error = figure.get("standard_error")
    spread = "" if error is None else f"± {error:,.0f}" if error >= 100 else f"± {error:#.2g}".rstrip(".")
    return f"<tr>{first}<td>{_value(figure['value'])}</td><td>{spread}</td><td>{escape(figure['unit'])}</td></tr>"


@dataclass(frozen=True)
class Dimensions:
    """What is known of D latent dimensions."""

    activity: Sequence[float] | None
    """Variance of the posterior mean over items."""
    kl: Sequence[float] | None
    """Nats; None where they cannot be told apart by dimension."""
    first: int = 0
    """Numbers of the code before them."""


def dimension_section(dimensions: Dimensions) -> str:
    """KL and activity of every latent dimension, in the order of the KL, or else of the activity, largest first."""
    kl, activity = dimensions.kl, dimensions.activity
    leading = kl if kl else activity
    if leading is None or len(leading) < 2:
        return ""
    order = sorted(range(len(leading)), key=lambda d: -leading[d])
    names = [f"z{d + 1 + dimensions.first}" for d in order]
    text, charts = [], []
    if kl:
        idle = sum(value < 0.01 for value in kl)
        tail = f" {idle} of them carr{'ies' if idle == 1 else 'y'} less than 0.01 nats: nothing." if idle else ""
        text.append(f"How many nats each of the {len(kl)} latent dimensions carries about an item, largest first; {sum(kl):.2f} in all.{tail}")
        charts.append(("KL divergence, nats", [kl[d] for d in order]))
    if activity is not None:
        active = sum(value > 0.01 for value in activity)
        text.append(
            f"Activity is how much the mean of a code varies from item to item; {active} of {len(activity)} dimensions are active, with a variance above 0.01."
            + ("" if kl else " This model's KL cannot be told apart by dimension.")
        )
        charts.append(("Activity, variance of the mean", [activity[d] for d in order]))
    drawn = "".join(
        f"<figure><figcaption>{caption}</figcaption>"
        + bars(
            values,
            label=f"Bar chart of {caption} of {len(values)} latent dimensions, from {max(values):.2f} to {min(values):.2f}.",
            x_label=f"latent dimension: {names[0]} first, {names[-1]} last",
            names=names,
        )
        + "</figure>"
        for caption, values in charts
    )
    return section("dimensions", "Latent dimensions", f'{"".join(f"<p>{line}</p>" for line in text)}<div class="charts">{drawn}</div>')


def reproduction(command: str, recipe: str, versions: Mapping[str, str], again: str = "") -> str:
    """The command, that which makes the page ``again``, the recipe and the versions."""
    told = (("This command made the run:", command), ("This one makes the page anew:", again))
    parts = [f'<p>{words}</p><pre tabindex="0"><code>{escape(line)}</code></pre>' for words, line in told if line]
    if recipe:
        parts.append(
            f'<details><summary>The recipe, with every knob resolved</summary><pre tabindex="0"><code>{escape(recipe)}</code></pre></details>'
        )
    if versions:
        parts.append(_facts(versions))
    return section("reproduce", "How to reproduce", "".join(parts))


def _facts(facts: Mapping[str, Any]) -> str:
    return f'<dl class="facts">{"".join(f"<div><dt>{escape(k)}</dt><dd>{escape(_text(v))}</dd></div>" for k, v in facts.items())}</dl>'


def _name(key: str) -> str:
    return NAMES.get(key, key.replace("_", " "))


def _value(value: float) -> str:
    """Four significant digits at least, and whole numbers as such."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.4g}"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return _value(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
