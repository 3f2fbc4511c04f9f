"""Text and sound as people look at them: files read back, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from vaeworks.data.tokens import learn
from vaeworks.errors import ArtifactError
from vaeworks.model import AudioSchema, TextSchema
from vaeworks.reporting import Report, Sounds, Texts, exhibit, render

STRINGS = ["Anna", "Bo <b>", "Cyril & co"]
RATE = 8000


def text(strings: list[str]) -> tuple[TextSchema, torch.Tensor]:
    tokenizer, vocabulary = learn("characters", strings, 0)
    schema = TextSchema((max(map(len, strings)) + 1,), vocabulary, tokenizer)
    return schema, schema.to_x(schema.encode(strings)[0])


def beeps(*seconds: float) -> tuple[AudioSchema, torch.Tensor]:
    """Waveforms of 440 Hz, each as long as asked."""
    schema = AudioSchema((1, RATE), rate=RATE, representation="wave")
    t = torch.arange(RATE) / RATE
    return schema, torch.stack([(0.5 * torch.sin(2 * torch.pi * 440 * t)).masked_fill(t >= s, torch.nan) for s in seconds])[:, None]


def test_text_is_a_line_an_item_or_json(tmp_path: Path) -> None:
    schema, x = text(STRINGS)
    shown = exhibit(schema, {"samples": x})
    assert isinstance(shown, Texts)
    assert shown.write(tmp_path / "a.txt") == str(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text("utf-8").splitlines() == STRINGS
    shown.write(tmp_path / "a.jsonl")
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()] == [{"text": s} for s in STRINGS]
    shown.write(tmp_path / "a.npy")
    assert schema.to_raw(torch.from_numpy(np.load(tmp_path / "a.npy"))) == STRINGS
    assert shown.write(tmp_path / "each") == f"3 texts in {tmp_path / 'each'}"
    assert (tmp_path / "each" / "1.txt").read_text("utf-8") == "Bo <b>"


def test_items_with_line_breaks_are_paragraphs(tmp_path: Path) -> None:
    schema, x = text(["one\ntwo", "three"])
    exhibit(schema, {"samples": x}).write(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text("utf-8") == "one\ntwo\n\nthree\n"


def test_versions_of_text_stand_below_each_other(tmp_path: Path) -> None:
    schema, x = text(STRINGS)
    exhibit(schema, {"original": x, "reconstruction": x.flip(0)}).write(tmp_path / "a.txt")
    blocks = (tmp_path / "a.txt").read_text("utf-8").strip().split("\n\n")
    assert [[line.split(":", 1)[1].strip() for line in block.splitlines()] for block in blocks] == [
        list(p) for p in zip(STRINGS, STRINGS[::-1], strict=True)
    ]


def test_the_page_shows_text_as_it_is() -> None:
    schema, x = text(STRINGS)
    page = render(Report("t", exhibits={"samples": exhibit(schema, {"samples": x}), "reconstructions": exhibit(schema, {"original": x, "again": x})}))
    assert page.count("Bo &lt;b&gt;") == 3
    assert page.count("Cyril &amp; co") == 3


def test_sounds_are_files_as_long_as_they_are_with_a_sheet(tmp_path: Path) -> None:
    schema, x = beeps(0.25, 1.0, 0.5)
    shown = exhibit(schema, {"samples": x}, ("a/one.wav", "two.wav", "three.flac"))
    assert isinstance(shown, Sounds)
    assert shown.write(tmp_path / "all") == f"3 sounds and sheet.png in {tmp_path / 'all'}"
    lengths = {path.name: soundfile.info(path).frames for path in (tmp_path / "all").glob("*.wav")}
    assert lengths == {"one-0.wav": 2000, "two-1.wav": 8000, "three-2.wav": 4000}
    with Image.open(tmp_path / "all" / "sheet.png") as sheet:
        assert sheet.width > sheet.height > 100
    shown.write(tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes() == (tmp_path / "all" / "sheet.png").read_bytes()
    with pytest.raises(ArtifactError, match=r"holds one sound, and there are 3"):
        shown.write(tmp_path / "a.wav")
    exhibit(schema, {"samples": x[:1]}).write(tmp_path / "a.wav")
    assert soundfile.info(tmp_path / "a.wav").frames == 2000


def test_the_page_plays_sounds_from_within() -> None:
    schema, x = beeps(0.25, 0.5)
    page = render(Report("t", exhibits={"reconstructions": exhibit(schema, {"original": x, "reconstruction": x})}))
    assert page.count('<audio controls src="data:audio/wav;base64,') == 4
    assert "media-src data:" in page
    assert len(page) < 5_000_000


def test_silence_and_a_sound_that_has_ended_at_once_can_be_looked_at(tmp_path: Path) -> None:
    schema, x = beeps(0.5, 0.5)
    x[0], x[1] = 0.0, torch.nan
    exhibit(schema, {"samples": x}).write(tmp_path / "all")
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == ["0.wav", "1.wav", "sheet.png"]
