"""The doctor's findings on the page and as JSON."""

from __future__ import annotations

import json

from vaeworks.reporting import Diagnosis, Dimensions, Examined, Finding, Remains, Report, render
from vaeworks.reporting.sounds import Sounds

HOSTILE = "<script>alert(1)</script>$title"
NOTE = Finding("a note", False, "1 of 2.", "It means little.", "Do nothing.")
PROBLEM = Finding(HOSTILE, True, f"{HOSTILE} 3.", HOSTILE, HOSTILE, (HOSTILE, "vae train x"))
DIAGNOSIS = Diagnosis(
    (Examined("first", "Measured 1.", {"one": 1.0}, (NOTE,)), Examined(HOSTILE, HOSTILE, {}, (PROBLEM,)), Examined("third", "Well."))
)


def test_problems_come_first_and_are_counted() -> None:
    text = render(Report("t", diagnosis=DIAGNOSIS)).split("<main>")[1]
    assert "One thing is wrong, and one thing is worth knowing." in text
    assert text.index("finding problem") < text.index("finding note")
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 7
    assert render(Report("t", diagnosis=Diagnosis((Examined("first", "Measured 1."),)))).count("Nothing is wrong.") == 1


def test_a_diagnosis_is_json() -> None:
    told = json.loads(json.dumps(DIAGNOSIS.to_json()))
    assert told["healthy"] is False
    assert [finding["by"] for finding in told["findings"]] == [HOSTILE, "first"]
    assert told["findings"][0]["commands"] == [HOSTILE, "vae train x"]
    assert [one["name"] for one in told["examined"]] == ["first", HOSTILE, "third"]
    assert told["examined"][0]["figures"] == {"one": 1.0}


def test_a_warning_stands_at_the_top() -> None:
    text = render(Report("t", warning=f"gone {HOSTILE}", diagnosis=DIAGNOSIS))
    assert text.index('role="note"') < text.index("One thing is wrong")
    assert "gone &lt;script&gt;" in text


def test_dimensions_are_in_order_of_what_they_tell() -> None:
    text = render(Report("t", dimensions=Dimensions([0.5, 2.0, 0.001], [0.1, 3.0, 0.0], 10)))
    bars = [part.split("</title>")[0] for part in text.split("<title>")[2:]]
    assert bars == ["z12: 3", "z11: 0.1", "z13: 0", "z12: 2", "z11: 0.5", "z13: 0.001"]
    assert "2 of 3 dimensions are active" in text
    assert "cannot be told apart" in render(Report("t", dimensions=Dimensions([0.5, 2.0], None)))


def test_remains_are_shown_as_they_are() -> None:
    text = render(Report("t", exhibits={"reconstructions": Remains("\n".join([HOSTILE] * 50))}))
    assert text.count("&lt;script&gt;") == 40
    assert "and 10 more lines" in text


def test_sounds_to_compare_stand_beside_each_other() -> None:
    waves = {"original": ["a", "b"], "reconstruction": ["c", "d"]}
    for in_order, expected in (
        (False, {"item 1": [("original", "a"), ("reconstruction", "c")], "item 2": [("original", "b"), ("reconstruction", "d")]}),
        (True, {"original": [("step 1", "a"), ("step 2", "b")], "reconstruction": [("step 1", "c"), ("step 2", "d")]}),
    ):
        assert Sounds(None, {}, in_order=in_order)._groups(waves, 2) == expected  # type: ignore[arg-type]
    assert Sounds(None, {})._groups({"samples": ["a", "b"]}, 2) == {"": [("samples 1", "a"), ("samples 2", "b")]}  # type: ignore[arg-type,list-item]
