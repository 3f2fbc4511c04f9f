"""The explorer in a real browser: every tool, for each kind of data, by pointer and by keys, and what axe finds."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vaeworks.serving import wire_of
from vaeworks.serving.scene import Scene

NAMES = ("image", "text", "audio", "table", "conditional", "vector")


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page that may not raise, nor complain."""
    page = chromium.new_page(viewport={"width": 1300, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert not errors


def opened(page: Any, address: str) -> Any:
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    page.wait_for_function("explorer.state.current !== null")
    return page


def until_decoded(page: Any, act: Any) -> Any:
    """What is shown after ``act`` has made the page decode again."""
    page.evaluate("explorer.state.current = null")
    act()
    page.wait_for_function("explorer.state.current !== null")
    return page.evaluate("explorer.state.current")


@pytest.mark.parametrize("name", NAMES)
def test_every_tool_works(page: Any, addresses: dict[str, str], scenes: dict[str, Scene], name: str) -> None:
    opened(page, addresses[name])
    model, kind = scenes[name].model, scenes[name].model.schema.kind

    def decoded() -> Any:
        """What the model makes of the code that the page looks at."""
        import torch

        code, given = page.evaluate("[Array.from(explorer.state.code), explorer.state.given]")
        return wire_of(model, model.decode(torch.tensor([code]), model.context(1, given)))[0]

    assert page.evaluate("explorer.frameTimes().length") > 0
    shown = until_decoded(page, lambda: page.locator("#map").click(position={"x": 100, "y": 120}))
    assert alike(kind, shown, decoded())
    slider = page.locator(".slider input").first
    shown = until_decoded(page, lambda: slider.press("ArrowRight"))
    assert alike(kind, shown, decoded())
    page.click("#tab-path")
    page.click("text=Two items at random")
    page.wait_for_selector(".strip .step")
    until_decoded(page, lambda: page.locator("#along").press("ArrowRight"))
    assert page.locator(".strip .step").count() == 7
    page.click("#tab-samples")
    page.select_option("#count", "4")
    page.click("#draw")
    page.wait_for_selector(".samples .sample, .samples tbody tr")
    page.click("#tab-your-own")
    page.click("#panel-your-own >> text=A random item")
    page.wait_for_selector(".score strong")
    assert "log p(x) = " in page.inner_text(".score")
    assert "p-value" in page.inner_text(".score")
    assert page.locator(".neighbour").count() == 8
    page.click("#tab-fill-in")
    page.click("#panel-fill-in >> text=A random item")
    hide(page, kind)
    page.wait_for_selector("#filled > *")
    if kind == "image":
        assert page.locator("#filled img").count() == 4
    assert page.is_hidden("#problem")


def alike(kind: str, shown: Any, expected: Any) -> bool:
    """Whether two items on the wire are the same, to what the rounding of a code in JSON changes."""
    if kind == "image":
        a, b = (np.asarray(Image.open(io.BytesIO(base64.b64decode(item.partition(",")[2]))), dtype=int) for item in (shown, expected))
        return bool(np.abs(a - b).max() <= 1)
    return True if kind == "audio" else bool(shown == expected)


def hide(page: Any, kind: str) -> None:
    """Something of the item in the panel, so that it is filled in."""
    if kind == "image":
        page.click("text=Bottom half")
    elif kind == "text":
        value = page.input_value("#gapped")
        page.fill("#gapped", value[:-1] + "_")
        page.press("#gapped", "Enter")
    elif kind == "table":
        page.locator(".editor [aria-label='Blank eyes']").click()
    else:
        page.press("#gap-to", "ArrowRight")


def test_keys_alone_reach_places_and_items(page: Any, addresses: dict[str, str]) -> None:
    opened(page, addresses["conditional"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.evaluate("document.getElementById('map').focus()")
    before = page.evaluate("explorer.viewNow().cross")
    for key in ("ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    after = page.evaluate("explorer.viewNow().cross")
    assert after["x"] > before["x"]
    assert after["y"] > before["y"]
    until_decoded(page, lambda: page.keyboard.press("Enter"))
    place = page.evaluate("Array.from(explorer.state.code)")
    assert place == pytest.approx([after["x"], after["y"]], abs=1e-4) or "The code of item" in page.inner_text("#where")
    until_decoded(page, lambda: page.keyboard.press("Space"))
    page.wait_for_function("document.getElementById('where').textContent.startsWith('The code of item')")
    page.keyboard.press("a")
    page.keyboard.press("+")
    assert page.evaluate("explorer.state.ends.a !== null")
    page.focus("#tab-sliders")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-path"
    assert page.is_visible("#panel-path")


def test_a_picture_of_ones_own_is_dropped_in_and_lies_where_the_encoder_says(
    page: Any, addresses: dict[str, str], scenes: dict[str, Scene], tmp_path: Path
) -> None:
    scene = scenes["image"]
    x = scene.model.schema.to_x(scene.items.values[7:8])
    scene.model.images(x)[0].save(tmp_path / "own.png")
    opened(page, addresses["image"])
    page.click("#tab-your-own")
    page.set_input_files("#panel-your-own input[type=file]", str(tmp_path / "own.png"))
    page.wait_for_selector(".score strong")
    assert page.evaluate("Array.from(explorer.state.marks[0].code)") == pytest.approx(scene.codes[7].tolist(), abs=1e-4)
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "digits-decoded.png"


def test_painting_hides_what_is_painted_over_and_no_more(page: Any, addresses: dict[str, str]) -> None:
    opened(page, addresses["image"])
    page.click("#tab-fill-in")
    page.click("#panel-fill-in >> text=What is shown")
    page.wait_for_selector("#paint")
    with page.expect_request("**/v1/impute") as asked:
        page.locator("#paint").click(position={"x": 36, "y": 36})
    mask = asked.value.post_data_json["mask"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(mask.partition(",")[2]))).convert("L"))
    assert pixels.shape == (8, 8)
    assert set(np.argwhere(pixels < 128).ravel().tolist()) <= {0, 1, 2}
    assert (pixels < 128).any()
    page.wait_for_selector("#filled img")


def test_a_legend_hides_a_class_and_colours_by_log_px(page: Any, addresses: dict[str, str]) -> None:
    opened(page, addresses["image"])
    key = page.locator("#legend .key").first
    key.click()
    assert page.locator("#legend .key").first.get_attribute("aria-pressed") == "false"
    page.select_option("#colour", label="log p(x)")
    page.wait_for_selector("#legend .ramp")
    assert "nats" in page.inner_text("#legend")


@pytest.mark.parametrize("name", ["audio", "table"])
def test_axe_finds_nothing_in_light_and_dark_on_a_phone(page: Any, addresses: dict[str, str], name: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, addresses[name])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for tab in ("samples", "fill-in", "your-own"):
        page.click(f"#tab-{tab}")
        if tab == "samples":
            page.click("#draw")
            page.wait_for_selector(".samples .sample, .samples tbody tr")
            page.click("#theme-button")
        else:
            page.click(f"#panel-{tab} >> text=A random item")
            page.wait_for_selector("#panel-your-own .score strong" if tab == "your-own" else ".editor > *")
        found = axe.run(page)
        assert not found.violations_count, found.generate_report()
