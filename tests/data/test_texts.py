"""Text from raw files to items: split, tokenised, cut, with nothing leaking between the parts."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from vaeworks.data import Data, Items, Options, open_data, read_items
from vaeworks.errors import DataError
from vaeworks.model import TextSchema

ONSETS, VOWELS = "bdgklmnprst", "aeiou"
NAMES = [f"{a}{b}{c}{d}" for a in ONSETS for b in VOWELS for c in ONSETS for d in VOWELS][::9]
SENTENCES = [f"the {a} {b} sees a {c} {d}" for a in ("old", "red", "big") for b in ("dog", "cat", "man") for c in NAMES[:20] for d in ("hat", "tree")]


def strings(items: Items, data: Data) -> list[str]:
    assert isinstance(data.schema, TextSchema)
    return data.schema.to_raw(data.schema.to_x(items.values))


def parts(data: Data) -> list[list[str]]:
    return [strings(items, data) for items in (data.train, data.validation, data.test)]


def lines(path: Path, items: list[str]) -> Path:
    path.write_text("\n".join(items))
    return path


def test_from_a_file_to_batches(tmp_path: Path) -> None:
    path = lines(tmp_path / "names.txt", [*NAMES, *NAMES[:30], ""])
    data = open_data(path)
    train, validation, test = parts(data)
    assert sorted(train + validation + test) == sorted([*NAMES, *NAMES[:30]])
    assert not set(train) & set(validation) | set(train) & set(test) | set(validation) & set(test)
    assert data.schema.shape == (5,)
    assert data.schema.source == "names.txt"
    assert "names.txt: passed over 1 empty line." not in data.notes  # the last line of a file has an end
    assert f"30 of {len(NAMES) + 30} items are exact copies of another; copies stay in one split." in data.notes
    batch = data.train.batch(data.schema, torch.arange(7))
    assert batch.x.dtype == torch.int64
    assert batch.observed is not None
    assert batch.observed.tolist() == [[True] * 5] * 7
    again = read_items(path, data.schema, options=Options(split="validation"))
    assert torch.equal(again.values, data.validation.values)
    assert torch.equal(again.lengths, data.validation.lengths)  # type: ignore[arg-type]
    assert len(read_items(path, data.schema)) == len(NAMES) + 30


def test_a_batch_is_as_long_as_its_longest_item() -> None:
    data = open_data(["a", "bb", "ccc", "dddddd"], options=Options(validation=0, test=0, tokenizer="bytes"))
    batch = data.train.batch(data.schema, torch.tensor([1, 0]))
    assert batch.x.shape == (2, 3)
    assert batch.observed is not None
    assert batch.observed.tolist() == [[True, True, True], [True, True, False]]


@pytest.mark.parametrize(
    ("items", "unit", "says"),
    [
        (NAMES, "characters", "items are of 1.0 words"),
        (SENTENCES, "pieces", "items are of 7 words"),
        ([f"the {a} {b}" for a in ("red", "old") for b in NAMES[:50]], "characters", "half of the items have at most 12"),
        ([chr(0x4E00 + i) + chr(0x4E00 + 2 * i) for i in range(1000)], "pieces", "different characters"),
    ],
)
def test_the_tokenizer_is_chosen_from_the_data(items: list[str], unit: str, says: str) -> None:
    data = open_data(items)
    assert isinstance(data.schema, TextSchema)
    assert data.schema.unit == unit
    assert any(note.startswith(f"Tokens: {unit}") and says in note for note in data.notes)
    assert sorted(sum(parts(data), [])) == sorted(items)  # noqa: RUF017


@pytest.mark.parametrize("kind", ["characters", "bytes", "bpe"])
def test_the_tokenizer_asked_for(kind: str) -> None:
    data = open_data(SENTENCES, options=Options(tokenizer=kind, vocabulary=280 if kind == "bpe" else None))  # type: ignore[arg-type]
    assert isinstance(data.schema, TextSchema)
    assert data.schema.vocabulary == {"characters": 3 + len(set("".join(SENTENCES))), "bytes": 259, "bpe": 280}[kind]
    assert any("as asked for" in note for note in data.notes)
    assert data.schema.characters == pytest.approx(np.mean([len(s) for s in strings(data.train, data)]))
    assert data.schema.words == 7


def test_the_tokenizer_is_learned_from_the_training_part_alone() -> None:
    odd = [f"{name}\u00e9{i}" if i % 50 == 0 else name for i, name in enumerate(NAMES)]
    data = open_data(odd, options=Options(tokenizer="characters", seed=3, validation=0.3, test=0.3))
    train, *held_out = parts(data)
    assert isinstance(data.schema, TextSchema)
    assert data.schema.vocabulary == 3 + len(set("".join(train)))
    new = [s for part in held_out for s in part if "\ufffd" in s]
    told = [note for note in data.notes if "characters that no training item has" in note]
    assert (not new and not told) or told[0].startswith(f"{len(new)} held-out item")


def test_long_items_are_cut_and_counted_or_refused() -> None:
    items = [*NAMES, "x" * 2000, "y" * 3000]
    data = open_data(items)
    assert data.schema.shape == (5,)
    assert f"Length: 2 items of {len(items)} longer than 4 characters (the longest has 3000) were cut; --length keeps more of them." in data.notes
    assert {"xxxx", "yyyy"} <= set(sum(parts(data), []))  # noqa: RUF017
    with pytest.raises(DataError, match=r"longer than 512 characters .*--length 3000"):
        open_data(items, options=Options(strict=True))
    assert open_data(items, options=Options(length=3000, strict=True)).schema.shape == (3001,)
    said: list[str] = []
    held = read_items(["baba", "bababa"], data.schema, options=Options(say=said.append))
    assert strings(held, data) == ["baba", "baba"]
    assert said == ["the strings: 1 item longer than the 4 characters of the model are cut."]
    with pytest.raises(DataError, match="longer than the 4 characters of the model"):
        read_items(["bababa"], data.schema, options=Options(strict=True))


def test_what_cutting_makes_a_copy_of_a_held_out_item_is_not_learned_from() -> None:
    items = [f"{name}{ending}" for name in NAMES[:100] for ending in ("aaaa", "bbbb", "cccc")]
    data = open_data(items, options=Options(length=4))
    train, validation, test = parts(data)
    assert not set(train) & {*validation, *test}
    assert any("because, as tokens, they are copies of held-out ones" in note for note in data.notes)


def test_folders(tmp_path: Path) -> None:
    for part, items in {"train.en": NAMES[:200], "val.en": NAMES[200:240], "test_a.en": NAMES[240:250], "test_b.en": NAMES[230:260]}.items():
        (tmp_path / f"{part}.gz").write_bytes(gzip.compress("\n".join(items).encode()))
    (tmp_path / "README.md").write_text("of what it is")
    data = open_data(tmp_path)
    train, validation, test = parts(data)
    assert (train, validation) == (NAMES[:200], NAMES[200:230])  # ten are test items too
    assert test == [*NAMES[240:250], *NAMES[230:260]]
    assert any("train.en.gz, val.en.gz are kept as the official split" in note for note in data.notes)
    assert "Ignored 1 file that is no text (1 .md)." in data.notes


def test_a_folder_of_files_that_are_items(tmp_path: Path) -> None:
    for i, sentence in enumerate(SENTENCES[:40]):
        folder = tmp_path / ("good" if i % 2 else "bad")
        folder.mkdir(exist_ok=True)
        (folder / f"{i}.txt").write_text(f"{sentence}\nsecond line {i}\n")
    (tmp_path / "good" / "broken.txt").write_bytes(b"\xfd\xfa" * 9)
    (tmp_path / "good" / "nothing.txt").write_bytes(b"")
    data = open_data(tmp_path)
    assert sorted(sum(parts(data), [])) == sorted(f"{s}\nsecond line {i}" for i, s in enumerate(SENTENCES[:40]))  # noqa: RUF017
    assert data.schema.classes == ("bad", "good")
    for items in (data.train, data.validation, data.test):
        assert items.names is not None
        assert items.labels is not None
        for text, name, label in zip(strings(items, data), items.names, items.labels.tolist(), strict=True):
            assert name == f"{data.schema.classes[label]}/{text.rpartition(' ')[2]}.txt"
    assert any(note.startswith("Skipped 2 files that cannot be read: good/broken.txt") for note in data.notes)
    with pytest.raises(DataError, match="2 files cannot be read: good/broken"):
        open_data(tmp_path, options=Options(strict=True))
    data = open_data(tmp_path, options=Options(by="line"))
    assert len(data.train) + len(data.validation) + len(data.test) == 80


def test_labels_of_a_column(tmp_path: Path) -> None:
    rows = [f"{name},{('one', 'two', '')[i % 3]}" for i, name in enumerate(NAMES[:90])]
    path = lines(tmp_path / "a.csv", ["word,kind", *rows])
    data = open_data(path, options=Options(label="kind"))
    assert data.schema.classes == ("one", "two")
    assert data.train.labels is not None
    for text, label in zip(strings(data.train, data), data.train.labels.tolist(), strict=True):
        assert label == (0, 1, -1)[NAMES.index(text) % 3]
    other = lines(tmp_path / "b.csv", ["word,kind", *["baba,two", "dada,three", "gaga,one"] * 2])
    assert read_items(other, data.schema, options=Options(label="kind")).labels.tolist() == [1, -1, 0] * 2  # type: ignore[union-attr]


def test_limit_and_few_or_equal_items(tmp_path: Path) -> None:
    data = open_data(NAMES, options=Options(limit=50))
    assert sum(map(len, parts(data))) == 50
    assert f"Limited to 50 of {len(NAMES)} items." in data.notes
    for items, says in (
        (["one line"], "has 1 item, too few"),
        (["same"] * 9, "9 items, all the same"),
        ([], "empty|without text"),
        (["", " "], "without text"),
    ):
        with pytest.raises(DataError, match=says):
            open_data(items, options=Options(kind="text"))
    with pytest.raises(DataError, match="neither a built-in data set nor a path that exists"):
        open_data(tmp_path / "absent.txt")
    with pytest.raises(DataError, match="holds int too"):
        open_data(["a", 3], options=Options(kind="text"))  # type: ignore[list-item]
    assert parts(open_data(["lone \ud800", *NAMES]))[0]


@pytest.mark.parametrize(
    "wrong", [{"vocabulary": 100}, {"vocabulary": 300, "tokenizer": "bytes"}, {"length": 0}, {"by": "word"}, {"tokenizer": "words"}]
)
def test_options_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises(DataError, match="choose"):
        Options(**wrong)  # type: ignore[arg-type]
