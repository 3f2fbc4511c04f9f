"""How a notebook shows models and items: the HTML is parsed, and what it holds compared with the items themselves."""

from __future__ import annotations

import base64
import functools
import io
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image

from vaeworks.data import Options, open_data
from vaeworks.errors import VaeworksError
from vaeworks.evaluation.anomalies import Reference
from vaeworks.recipes import build_vae
from vaeworks.reporting import grid
from vaeworks.runs import Model, ScoreCalibration, plan_recipe

VOID = {"img", "br", "meta", "link", "input"}


class Page(HTMLParser):
    """Text by tag, sources, and whether tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.sources: dict[str, list[bytes]] = {}
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        found = dict(attrs)
        if "src" in found:
            kind, _, content = str(found["src"]).partition(";base64,")
            assert kind in {"data:image/png", "data:audio/wav"}
            self.sources.setdefault(tag, []).append(base64.b64decode(content, validate=True))
        assert tag != "img" or found["alt"]
        assert not any(name.startswith("on") for name in found)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text.setdefault(self.open[-1], []).append(data)


@functools.cache
def model(kind: str) -> Model:
    """Untrained, of one kind of data."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    sources = {
        "image": lambda: "digits",
        "text": lambda: [" ".join(rng.choice(["a<b", "cat", "sat"], 3)) for _ in range(40)],
        "audio": lambda: [0.1 * rng.normal(size=1024).astype(np.float32) for _ in range(12)],
        "table": lambda: pd.DataFrame({"<i>x": rng.normal(size=40), "y": rng.choice(["one & two", "three"], 40)}),
    }
    data = open_data(sources[kind](), options=Options(kind=kind, rate=8000 if kind == "audio" else None, limit=40))  # type: ignore[arg-type]
    recipe, _ = plan_recipe(data.schema, None)
    return Model(build_vae(recipe, data.schema), data.schema, recipe)


def test_pictures() -> None:
    of = model("image")
    x = of.sample(5, seed=3)
    (content,) = Page(of.show(x)._repr_html_()).sources["img"]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), np.asarray(grid(of.schema, x)))  # type: ignore[arg-type]
    assert repr(of.show({"one": x, "two": x})) == "<5 items of image: one, two>"
    assert len(of.sample(2)) == 2
    assert isinstance(of.sample(2), torch.Tensor)


def test_texts() -> None:
    of = model("text")
    x = of.items(["cat sat a<b", "sat sat cat"]).batch(of.schema, slice(None)).x
    assert Page(of.show(x)._repr_html_()).text["li"] == ["cat sat a<b", "sat sat cat"]


def test_sounds() -> None:
    of = model("audio")
    x = of.sample(2, seed=0)
    page = Page(of.show(x)._repr_html_())
    for content, wave in zip(page.sources["audio"], of.raw(x), strict=True):
        heard, rate = soundfile.read(io.BytesIO(content), dtype="float32")
        assert rate == 8000
        np.testing.assert_allclose(heard, wave, atol=2e-4)


def test_rows() -> None:
    of = model("table")
    x = of.sample(4, seed=0)
    page = Page(of.show(x)._repr_html_())
    assert page.text["th"] == ["<i>x", "y"]
    assert page.text["td"][1::2] == of.frame(x)["y"].to_list()
    np.testing.assert_allclose([float(cell) for cell in page.text["td"][::2]], of.frame(x)["<i>x"].to_list(), rtol=1e-4)


@pytest.mark.parametrize("kind", ["image", "text", "audio", "table"])
def test_a_model_tells_what_it_is(kind: str) -> None:
    of = model(kind)
    state = torch.get_rng_state()
    html = of._repr_html_()
    assert torch.equal(torch.get_rng_state(), state)
    page = Page(html)
    told = dict(zip(page.text["th"][:3], page.text["td"][:3], strict=True))
    assert of.schema.source in told["learned from"]
    assert f"{sum(p.numel() for p in of.vae.parameters()):,} parameters" in told["size"]
    assert told["recipe"].startswith(of.recipe.name)
    assert "log p(x)" not in page.text["th"]
    assert html == of._repr_html_()
    assert len(html) < 1_500_000


def test_a_model_tells_what_held_out_items_scored() -> None:
    of = model("image")
    log_px = torch.tensor([-20.0, -10.0, -30.0, -40.0])
    seen = Model(of.vae, of.schema, of.recipe, calibration=ScoreCalibration(Reference(log_px, 50), None, 0, ""))
    error = np.std(log_px.numpy(), ddof=1) / 2
    assert f"-25.00 ± {error:.2f} nats, the mean of 4 held-out items at 50 importance samples" in Page(seen._repr_html_()).text["td"]


def test_what_is_no_item_cannot_be_shown() -> None:
    of = model("image")
    with pytest.raises(VaeworksError, match=r"holds no items of this model: give \(N, 1, 8, 8\)"):
        of.show(torch.zeros(3, 64))
    with pytest.raises(VaeworksError, match="nothing to show"):
        of.show({"one": of.sample(2), "two": of.sample(3)})
    with pytest.raises(VaeworksError, match="nothing to show"):
        of.show(of.sample(2)[:0])
