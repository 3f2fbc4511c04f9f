"""The report of a run: one HTML page that needs nothing else, to read in any browser, light or dark, wide or narrow."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from vaeworks.evaluation import Figures
from vaeworks.files import replace_file
from vaeworks.reporting.pictures import png
from vaeworks.reporting.sections import curve_section, dimension_section, figure_section, headline, prose, reproduction, section

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = ["IMAGE_BYTES", "Report", "render", "save_report"]

IMAGE_BYTES = 3_000_000
"""What all pictures of a page may weigh together; larger ones are made smaller. Base64 adds a third."""
LONGEST_EDGE = 2400
"""Most pixels along an edge of a picture on the page."""

KNOWN_IMAGES = {
    "samples": (
        "Samples",
        "Pictures that the model generated: codes drawn from the prior, shown as the mean that the decoder gives.",
        "A grid of generated pictures.",
    ),
    "reconstructions": (
        "Reconstructions",
        "Held-out pictures that the model never trained on, each above what is left of it after encoding and decoding.",
        "Rows of original pictures, each with a row of their reconstructions below.",
    ),
    "interpolation": (
        "Interpolation",
        "A path through latent space from one held-out picture to another.",
        "A row of pictures that change gradually.",
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
    images: Mapping[str, Image | Figure | bytes] = field(default_factory=dict)
    """By name, in the order shown: samples, reconstructions, interpolation, latent or any other; bytes are a PNG file."""
    recipe_toml: str = ""
    command: str = ""
    """The command that made this run."""
    versions: Mapping[str, str] = field(default_factory=dict)


def render(report: Report) -> str:
    """The page, complete: styles, charts and pictures lie inside it, and it reaches for nothing outside."""
    figures = report.figures.to_json() if isinstance(report.figures, Figures) else dict(report.figures or {})
    budget = IMAGE_BYTES // max(1, len(report.images))
    content = [
        headline(figures),
        section("data", "The data", prose(report.notes)),
        section("choices", "What was chosen, and why", prose(report.choices)),
        curve_section(report.lines, report.best_step),
        *(_image_section(name, picture, budget) for name, picture in report.images.items()),
        figure_section(figures),
        dimension_section(figures.get("protocol", {}).get("kl_per_dimension") or []),
        reproduction(report.command, report.recipe_toml, report.versions),
    ]
    template = Template(files("vaeworks.reporting").joinpath("report.html").read_text("utf-8"))
    return template.substitute(title=escape(report.title), content="\n".join(part for part in content if part))


def save_report(report: Report, path: Path | str) -> None:
    """Write the page; a file that was there is replaced at once and whole. ArtifactError where the disk refuses."""
    replace_file(Path(path), render(report).encode("utf-8", "backslashreplace"))  # file names need not be text


def _image_section(name: str, picture: Image | Figure | bytes, budget: int) -> str:
    words = name.replace("_", " ")
    heading, caption, alternative = KNOWN_IMAGES.get(name, (words[:1].upper() + words[1:], "", f"{words}."))
    content, width, height = _fitted(picture, budget)
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    scrolling = ' class="wide scroll" tabindex="0"' if width > 2 * height else ""
    figure = f'<figure{scrolling}><img src="{source}" width="{width}" height="{height}" alt="{escape(alternative)}"></figure>'
    return section(name, heading, (f"<p>{escape(caption)}</p>" if caption else "") + figure)


def _fitted(picture: Image | Figure | bytes, budget: int) -> tuple[bytes, int, int]:
    """A PNG file of at most ``budget`` bytes, the picture made smaller where it is large, with the width and height to show it at."""
    from PIL import Image as Pillow

    image = picture if isinstance(picture, Pillow.Image) else Pillow.open(io.BytesIO(picture if isinstance(picture, bytes) else png(picture)))
    image = image if image.mode in {"L", "LA", "RGB", "RGBA"} else image.convert("RGBA")
    dense = max(1.0, image.info.get("dpi", (0, 0))[0] / 100)  # figures are drawn with more pixels than they are to be shown at
    factor = min(1.0, LONGEST_EDGE / max(image.size))
    while True:
        width, height = (max(1, round(edge * factor)) for edge in image.size)
        content = png(image if (width, height) == image.size else image.resize((width, height), Pillow.Resampling.LANCZOS))
        if len(content) <= budget or max(width, height) <= 64:
            return content, round(width / dense), round(height / dense)
        factor *= max(0.5, min(0.9, (budget / len(content)) ** 0.5))
