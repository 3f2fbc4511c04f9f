"""The page in a real browser: without faults that axe finds, in light and dark, and no wider than a telephone, for every kind of data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from vaeworks.data import Options, open_data
from vaeworks.recipes import build_vae, conditioned
from vaeworks.reporting import Report, save_report
from vaeworks.runs import Model, plan_recipe
from vaeworks.runs.doctor import Patient, diagnose
from vaeworks.runs.show import exhibits_of, page
from vaeworks.runs.story import Story

KINDS = {"image": "mlp", "text": "text", "audio": "sound-mel", "table": "table"}
SMALL = {
    "image": ["encoder.hidden=[8]", "decoder.hidden=[8]"],
    "text": ["encoder.width=8", "decoder.width=8", "latent_size=4"],
    "audio": ["encoder.channels=[8]", "decoder.channels=[8]", "encoder.hidden=[8]", "decoder.hidden=[8]", "latent_size=4"],
    "table": ["encoder.hidden=[8]", "decoder.hidden=[8]", "latent_size=4", "prior.components=4"],
}


def source(kind: str) -> Any:
    generator = np.random.default_rng(0)
    if kind == "image":
        return "digits"
    if kind == "text":
        return ["".join(generator.choice(list("abcde fghij"), 30)) for _ in range(60)]
    if kind == "audio":
        return [0.5 * np.sin(np.arange(2400) * generator.uniform(0.1, 1)).astype(np.float32) for _ in range(40)]
    columns = {f"a rather long name of column {i}": generator.normal(size=80).round(3) for i in range(14)}
    return pl.DataFrame({**columns, "group": generator.choice(["one", "two"], 80)})


def report_of(kind: str, tmp: Path) -> Report:
    """The page of a model that has learned nothing, with everything that a page can show."""
    data = open_data(source(kind), options=Options(limit=120, kind=kind, rate=8000))  # type: ignore[arg-type]
    recipe, choices = plan_recipe(data.schema, KINDS[kind], SMALL[kind])
    torch.manual_seed(0)
    schema = conditioned(recipe, data.schema)
    vae = build_vae(recipe, schema)
    vae.settle(data.train.mean(schema), data.train[:10].batch(schema, slice(None)).x)
    model = Model(vae, schema, recipe)
    figures = model.evaluate(data.test, 50)
    lines = tuple(
        {"step": 10 * i, "epoch": i, "validation_elbo": -100.0 + i, "validation_loss": 100.0 - i, "train_elbo": -99.0 + i} for i in range(1, 5)
    )
    story = Story(
        data.notes, choices, f"vae train {'a/long/path/' * 9}data -o run", 40, "Training finished.", {"fingerprint": "0123456789abcdef" * 3}, lines
    )
    patient = Patient.after(model, tmp / "a-run", story, figures, data.train, data.test, "data", 0)
    diagnosis = diagnose(patient)
    assert diagnosis.problems
    return page(model, story, figures, exhibits_of(model, data.test, patient.use), diagnosis, patient.use, warning="The data have changed.")


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_page_can_be_read_by_anyone_anywhere(kind: str, chromium: Any, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    report = report_of(kind, tmp_path)
    save_report(report, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 5_000_000
    for scheme, width in (("light", 360), ("dark", 1200)):
        context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, offline=True)
        asked: list[str] = []
        tab = context.new_page()
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        wrong: list[str] = []
        tab.on("console", lambda message, wrong=wrong: wrong.append(message.text))
        tab.goto((tmp_path / "report.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, "the page does not move sideways"
        assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert wrong == []
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
        found = axe.Axe().run(tab)
        assert found.violations_count == 0, [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found.response["violations"]]
        context.close()
    sections = [
        "findings",
        "data",
        "choices",
        "training",
        "samples",
        "reconstructions",
        "traversals",
        "interpolation",
        "latent",
        "figures",
        "dimensions",
        "reproduce",
    ]
    if kind == "table":
        sections.insert(6, "columns")
    assert re.findall(r'<section id="([^"]+)">', (tmp_path / "report.html").read_text("utf-8")) == sections
