"""The report of a run: one HTML page that needs nothing else, to read in any browser, light or dark, wide or narrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from vaeworks.evaluation import Figures
from vaeworks.files import replace_file
from vaeworks.reporting.exhibits import Exhibit, Remains
from vaeworks.reporting.findings import Diagnosis, findings_html
from vaeworks.reporting.pictures import picture_html
from vaeworks.reporting.sections import Dimensions, curve_section, dimension_section, figure_section, headline, prose, reproduction, section

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = ["EXHIBIT_BYTES", "Report", "render", "save_report"]

EXHIBIT_BYTES = 3_000_000
"""What all pictures and sounds of a page may weigh together. Base64 adds a third."""

KNOWN = {
    "samples": (
        "Samples",
        "Items that the model generated from codes drawn from the prior.",
        "Generated items.",
    ),
    "reconstructions": (
        "Reconstructions",
        "Held-out items that the model never trained on, each beside what is left of it after encoding and decoding.",
        "Original items, each with its reconstruction.",
    ),
    "columns": (
        "Columns",
        "The values of each column among held-out rows, and among rows that the model generated.",
        "Histograms and bars of each column, held out and generated.",
    ),
    "traversals": (
        "Traversals",
        "What each dimension means: one held-out item with one number of its code moved across the middle of its range over all items, "
        "the dimensions that tell most first.",
        "An item that changes as one dimension of its code moves, dimension by dimension.",
    ),
    "interpolation": (
        "Interpolation",
        "Straight paths through latent space from one held-out item to another.",
        "Items that change gradually from one to another.",
    ),
    "latent": (
        "Latent map",
        "Where the encoder puts held-out items: items that lie close together look alike to the model.",
        "A scatter plot of posterior means.",
    ),
}


@dataclass(frozen=True)
class Report:
    """What the page tells; every text is shown as it is, never read as HTML. Sections without content are left out."""

    title: str
    notes: Sequence[str] = ()
    """What the data were, a sentence each."""
    choices: Sequence[str] = ()
    """What was chosen and why, a sentence each."""
    lines: Sequence[Mapping[str, Any]] = ()
    """Lines of metrics.jsonl."""
    best_step: int | None = None
    figures: Figures | Mapping[str, Any] | None = None
    """Figures, or what ``Figures.to_json`` gave."""
    exhibits: Mapping[str, Exhibit[Any] | Remains | Image | Figure | bytes] = field(default_factory=dict)
    """By name, in the order shown: samples, reconstructions, interpolation, latent or any other; bytes are a PNG file."""
    recipe_toml: str = ""
    command: str = ""
    """The command that made this run."""
    versions: Mapping[str, str] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    """What the doctor found."""
    dimensions: Dimensions | None = None
    """Activity and KL of every latent dimension; what figures tell of them where it is None."""
    again: str = ""
    """The command that makes this page."""
    warning: str = ""
    """What a reader must know before anything else."""


def render(report: Report) -> str:
    """The page, complete: styles, charts and pictures lie inside it, and it reaches for nothing outside."""
    figures = report.figures.to_json() if isinstance(report.figures, Figures) else dict(report.figures or {})
    budget = EXHIBIT_BYTES // max(1, len(report.exhibits))
    kl = figures.get("protocol", {}).get("kl_per_dimension") or []
    content = [
        f'<p class="warning" role="note">{escape(report.warning)}</p>' if report.warning else "",
        headline(figures),
        section("findings", "The doctor's findings", findings_html(report.diagnosis)) if report.diagnosis is not None else "",
        section("data", "The data", prose(report.notes)),
        section("choices", "What was chosen, and why", prose(report.choices)),
        curve_section(report.lines, report.best_step),
        *(_exhibit_section(name, shown, budget) for name, shown in report.exhibits.items()),
        figure_section(figures),
        dimension_section(report.dimensions or Dimensions(None, kl)),
        reproduction(report.command, report.recipe_toml, report.versions, report.again),
    ]
    template = Template(files("vaeworks.reporting").joinpath("report.html").read_text("utf-8"))
    return template.substitute(title=escape(report.title), content="\n".join(part for part in content if part))


def save_report(report: Report, path: Path | str) -> None:
    """Write the page; a file that was there is replaced at once and whole. ArtifactError where the disk refuses."""
    replace_file(Path(path), render(report).encode("utf-8", "backslashreplace"))  # file names need not be text


def _exhibit_section(name: str, shown: Exhibit[Any] | Remains | Image | Figure | bytes, budget: int) -> str:
    words = name.replace("_", " ")
    heading, caption, alternative = KNOWN.get(name, (words[:1].upper() + words[1:], "", f"{words}."))
    content = shown.html(alternative, budget) if isinstance(shown, Exhibit | Remains) else picture_html(shown, alternative, budget)
    return section(name, heading, (f"<p>{escape(caption)}</p>" if caption else "") + content)
