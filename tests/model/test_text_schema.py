"""TextSchema: strings to tokens and back."""

from __future__ import annotations

import functools
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaeworks.data.tokens import learn
from vaeworks.errors import ArtifactError
from vaeworks.model import Schema, TextSchema

TEXT = ["the cat sat on the mat", "a Cat, a mat;  two spaces", "<pad> <end>", "naïve café \U0001f600", "tab\tand\nline"] * 4
UNITS = {"characters": "characters", "bytes": "bytes", "bpe": "pieces"}


@functools.cache
def schema(kind: str, length: int = 300) -> TextSchema:
    tokenizer, vocabulary = learn(kind, TEXT, 300)  # type: ignore[arg-type]
    return TextSchema((length,), vocabulary=vocabulary, tokenizer=tokenizer, unit=UNITS[kind])


@pytest.mark.parametrize("kind", UNITS)
def test_text_comes_back_as_it_was(kind: str) -> None:
    values, lengths = schema(kind).encode(TEXT)
    assert values.dtype == torch.int16
    assert schema(kind).to_raw(schema(kind).to_x(values)) == TEXT
    for row, length in zip(values.tolist(), lengths.tolist(), strict=True):
        assert row[length - 1] == 1
        assert not any(row[length:])
        assert all(token > 2 for token in row[: length - 1])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), min_size=1, max_size=4))
def test_every_string_comes_back_from_bytes_and_from_pieces(strings: list[str]) -> None:
    for kind in ("bytes", "bpe"):
        values, lengths = schema(kind).encode(strings)
        assert schema(kind).to_raw(values) == strings
        if kind == "bytes":  # a token each, and END
            assert lengths.tolist() == [len(s.encode()) + 1 for s in strings]
            assert [[t - 2 for t in row[: n - 1]].count(-1) for row, n in zip(values.tolist(), lengths.tolist(), strict=True)] == [0] * len(strings)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_characters_that_are_not_known_are_one_token(string: str) -> None:
    known, characters = set().union(*TEXT), schema("characters")
    values, lengths = characters.encode([string])
    assert int(lengths) == len(string) + 1
    assert characters.to_raw(values) == ["".join(c if c in known else "\ufffd" for c in string)]
    assert (values[0, : len(string)] == 2).tolist() == [c not in known for c in string]


@settings(max_examples=40, deadline=None)
@given(st.text(st.sampled_from("aé日\U0001f600 "), max_size=30), st.integers(6, 12))
def test_a_string_that_is_too_long_is_cut_between_characters(string: str, length: int) -> None:
    for kind in UNITS:
        known = "".join(c for c in string if kind != "characters" or c in "aé\U0001f600 ")
        short = schema(kind, length)
        values, lengths = short.encode([known])
        assert values.shape == (1, length)
        (kept,) = short.to_raw(values)
        assert known.startswith(kept)
        (whole,) = short.tokens([known])
        assert (len(whole) < length) == (kept == known)
        assert length - 4 <= lengths <= length or kept == known


def test_counts() -> None:
    values, lengths = schema("bytes").encode(["two words", "é", "  a  b c "])
    tokens, characters, words = schema("bytes").counts(values, lengths)
    assert (tokens.tolist(), characters.tolist(), words.tolist()) == ([10, 3, 10], [9, 1, 9], [2, 1, 3])


def test_nothing_stands_after_the_end() -> None:
    x = torch.tensor([[5, 1, 7, 1], [1, 5, 5, 5], [5, 6, 7, 8]])
    assert schema("bytes").within(x).tolist() == [[5, 1, 0, 0], [1, 0, 0, 0], [5, 6, 7, 8]]
    assert schema("bytes").to_raw(x) == schema("bytes").to_raw(schema("bytes").within(x))


def test_json_and_back_and_a_damaged_tokenizer() -> None:
    told = json.loads(json.dumps(schema("bpe").to_json()))
    assert Schema.from_json(told) == schema("bpe")
    for change in (
        {"tokenizer": "{"},
        {"tokenizer": "[]"},
        {"vocabulary": 299},
        {"vocabulary": 2},
        {"shape": [3, 3]},
        {"tokenizer": None},
        {"unit": None},
    ):
        with pytest.raises(ArtifactError):
            Schema.from_json({**told, **change})
    broken = json.loads(told["tokenizer"])
    del broken["model"]["merges"]
    with pytest.raises(ArtifactError, match="stored tokenizer cannot be read"):
        TextSchema((9,), vocabulary=300, tokenizer=json.dumps(broken)).encode(["a"])
