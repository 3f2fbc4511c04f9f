"""The page, read back with the standard library's HTML parser."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from vaeworks.evaluation import Figure, Figures
from vaeworks.reporting import Report, latent_map, png, render, save_report
from vaeworks.reporting.charts import bars, curves, ticks

VOID = {"meta", "img"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> $title ${content} &amp; \x00"


class Page(HTMLParser):
    """Tags, text and whether they are nested properly."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


LINES = [
    {"step": 100 * i, "epoch": i, "seconds": 1.5 * i, "loss": 9.0, "train_elbo": -90 / i, "validation_elbo": -100 / i, "validation_kl": 2.0 + i}
    for i in range(1, 9)
]
FIGURES = Figures(
    {"log_px": Figure(-97.7261, "nats", 0.99095, "log p(x) per item"), "active_units": Figure(2.0, "of 4", meaning="dimensions in use")},
    {"items": 180, "importance_samples": 50, "binarisation": "none", "kl_per_dimension": [0.001, 2.5, 1.25, 0.0]},
    ("few items",),
)


def full(**changes) -> Report:
    images = {"samples": Image.new("L", (40, 30)), "reconstructions": png(Image.new("RGB", (50, 10)))}
    values = {
        "title": "digits",
        "notes": ["1797 digits"],
        "choices": ["mlp, because they are small"],
        "lines": LINES,
        "best_step": 700,
        "figures": FIGURES,
        "exhibits": images,
        "recipe_toml": 'name = "mlp"',
        "command": "vae train digits",
        "versions": {"torch": "2.13"},
    }
    return Report(**{**values, **changes})


def test_the_page_tells_everything():
    page = Page(render(full()))
    for text in (
        "1797 digits",
        "mlp, because",
        "log p(x)",
        "-97.73",
        "± 0.99",
        "of 4",
        "few items",
        "importance samples",
        "180",
        'name = "mlp"',
        "vae train digits",
    ):
        assert text in page.text
    assert "800 steps, 8 epochs, 12 seconds" in page.text
    assert "best: 700" in page.text
    assert "3.75 in all" in page.text
    assert "2 of them carry less than 0.01" in page.text
    assert len(page.all("h1")) == 1
    assert len(page.all("h2")) == len(page.all("section")) == 8
    assert len(page.all("img")) == 2
    ids = [attributes["id"] for attributes in page.all("section")]
    assert len(set(ids)) == len(ids)


def test_the_page_can_be_read_without_seeing_it():
    page = Page(render(full()))
    assert page.all("html")[0]["lang"] == "en"
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in page.all("svg"))
    assert all("scope" in attributes for attributes in page.all("th"))
    assert page.all("meta")[1]["content"] == "width=device-width, initial-scale=1"


def test_an_empty_report_is_a_page():
    page = Page(render(Report("nothing yet")))
    assert page.text.count("nothing yet") == 2
    assert not page.all("section")


def test_figures_as_json_give_the_same_page():
    assert render(full()) == render(full(figures=FIGURES.to_json()))


def test_what_comes_from_outside_is_shown_and_not_run():
    figures = {
        "figures": {HOSTILE: {"value": 1.0, "unit": HOSTILE, "standard_error": None, "meaning": HOSTILE}},
        "protocol": {HOSTILE: HOSTILE, "data": [HOSTILE]},
        "warnings": [HOSTILE],
    }
    lines = [{"step": i, f"validation_{HOSTILE}": float(i)} for i in range(3)]
    images = {HOSTILE: Image.new("L", (4, 4))}
    report = Report(HOSTILE, [HOSTILE], [HOSTILE], lines, 1, figures, images, HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    text = render(report)
    page = Page(text)
    assert "<script" not in text
    assert not page.all("script")
    assert len(page.all("img")) == 1
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") >= 12, "shown as it was written"
    assert page.text.count("${content}") >= 12, "the template's own marks are no exception"


def test_the_page_reaches_for_nothing_outside():
    text = render(full(notes=["see https://example.org/a.png"]))
    page = Page(text)
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "xlink:href", "action", "data"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert not page.all("link") + page.all("a") + page.all("iframe") + page.all("script")
    assert not re.search(r"url\(|@import", text)
    assert "default-src 'none'" in text


def test_pictures_arrive_unchanged_where_they_are_small():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
    (image,) = Page(render(Report("t", exhibits={"samples": Image.fromarray(pixels)}))).all("img")
    content = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
    assert (np.asarray(Image.open(io.BytesIO(content))) == pixels).all()
    assert (image["width"], image["height"]) == ("40", "30")


def test_heavy_pictures_are_made_lighter():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1000, 2000, 3), dtype=np.uint8))
    text = render(Report("t", exhibits={"samples": noise, "reconstructions": noise}))
    assert len(text) < 5_000_000
    image = Page(text).all("img")[0]
    assert int(image["width"]) / int(image["height"]) == pytest.approx(2, rel=0.02)
    assert int(image["width"]) > 500


def test_a_matplotlib_figure_can_be_given():
    import torch

    page = Page(render(Report("t", exhibits={"latent": latent_map(torch.randn(20, 2))})))
    assert len(page.all("img")) == 1
    assert "Latent map" in page.text


@pytest.mark.parametrize("lines", [[], [{"step": 1}], [{"step": 5, "validation_elbo": -1.0}], [{"step": 5, "validation_elbo": float("nan")}]])
def test_short_or_broken_training_is_no_trouble(lines):
    text = render(full(lines=lines, best_step=None))
    Page(text)
    assert "nan" not in text.split("</style>")[1].replace("data:image", "").split('<section id="samples"')[0]


def test_a_curve_runs_where_its_numbers_say():
    points = [(0.0, 1.0), (50.0, 2.0), (100.0, 3.0)]
    chart = curves({"validation": points}, label="l", x_label="step", best=50)
    drawn = [tuple(map(float, p.split(","))) for p in re.search(r'points="([^"]+)"', chart).group(1).split()]
    (x0, y0), (x1, y1), (x2, y2) = drawn
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y2 < y0, "up is more"
    assert float(re.search(r'class="best" x1="([\d.]+)"', chart).group(1)) == pytest.approx(x1, abs=0.1)


def test_an_early_extreme_does_not_flatten_the_curve():
    points = [(float(i), -1e9 if i == 0 else -100 + i / 10) for i in range(50)]
    chart = curves({"validation": points}, label="l", x_label="step")
    assert "1 early value outside the chart" in chart
    ys = [float(p.split(",")[1]) for p in re.search(r'points="([^"]+)"', chart).group(1).split()]
    assert len(ys) == 49
    assert max(ys) - min(ys) > 100


def test_bars_are_as_high_as_their_values():
    chart = bars([4.0, 2.0, 0.0], label="l", x_label="x")
    heights = [float(h) for h in re.findall(r'class="bar".*?height="([\d.]+)"', chart)]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.02)
    assert heights[2] == 0


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-98.7, -12.3), (0.001, 0.002), (0, 1e7), (5, 5)])
def test_ticks_are_round_and_inside(low, high):
    values = ticks(low, high)
    assert len(values) <= 6
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in values)
    assert len(values) >= (2 if high > low else 1)


def test_the_file_is_replaced_and_holds_the_page(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    save_report(full(notes=["un\udcffdecodable.png"]), path)  # a file name that is no text
    text = path.read_bytes().decode("utf-8")
    assert text.endswith("</html>\n")
    assert "decodable.png" in text
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
