"""Files of text of every kind, and what is wrong with some."""

from __future__ import annotations

import gzip
import resource
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from vaeworks.data import Options
from vaeworks.data.lines import LONGEST, TextFile
from vaeworks.data.text_files import is_text, read_text_file
from vaeworks.errors import DataError

WORDS = [f"word {i}" for i in range(40)]


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def strings(path: Path, **options: Any) -> list[str]:
    return read_text_file(path, Options(**options)).strings


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-marked"])
def test_line_ends_and_encodings(tmp_path: Path, end: str, encoding: str) -> None:
    lines = [" naïve ", "日本\U0001f600", "", "tab\tx", " "]
    text = end.join(lines)
    content = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "utf-16-be-marked" else text.encode(encoding)
    found = read_text_file(written(tmp_path / "a.txt", content), Options(strict=True))
    assert found.strings == [" naïve ", "日本\U0001f600", "tab\tx"]
    assert found.notes == ["a.txt: passed over 2 empty lines."]


def test_chunks_may_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "one\r\ntwo\rthree\n\r\nfür\r"
    for size in range(1, 12):
        monkeypatch.setattr("vaeworks.data.lines._CHUNK", size)
        assert strings(written(tmp_path / "a.txt", text)) == ["one", "two", "three", "für"]
        assert strings(written(tmp_path / "b.txt", text.encode("utf-16"))) == ["one", "two", "three", "für"]


def test_lines_that_are_no_text_are_named_and_passed_over_or_refused(tmp_path: Path) -> None:
    content = b"\n".join([*(w.encode() for w in WORDS), b"caf\xe9", b"nul\0byte", b"last"])
    path = written(tmp_path / "a.txt", content)
    found = read_text_file(path, Options())
    assert found.strings == [*WORDS, "last"]
    assert found.notes == ["a.txt: passed over 1 not in UTF-8 (line 41), 1 with NUL bytes (line 42)."]
    with pytest.raises(DataError, match=r"1 not in UTF-8 \(line 41\).*mend the file, or leave out --strict"):
        strings(path, strict=True)


@pytest.mark.parametrize("content", [bytes(range(256)) * 20, "é\nü\nö\na\n".encode("latin-1"), "\n".join("abc").encode("utf-32")])
def test_a_file_that_is_no_text_says_so_and_how_to_convert_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"no text in UTF-8.*iconv -f LATIN1 -t UTF-8 a\.txt"):
        strings(written(tmp_path / "a.txt", content))


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.csv", "a.jsonl", "a.fasta", "a.smi", "a.parquet"])
@pytest.mark.parametrize("content", [b"", b"\n \n\n"])
def test_a_file_of_nothing(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(DataError, match=r"give|mend"):
        strings(written(tmp_path / name, content))


def test_a_huge_line_is_passed_over_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write("\n".join(WORDS).encode() + b"\n")
        for _ in range(40):
            file.write(b"x" * (1 << 20))
        file.write(b"\nlast")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = read_text_file(path, Options())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kB, of 40 MB
    assert found.strings == [*WORDS, "last"]
    assert found.notes == ["a.txt.gz: passed over 1 longer than 1 MB (line 41)."]
    with pytest.raises(DataError, match="more than 1 MB of text"):
        strings(path, by="file")


def test_more_than_memory_holds_is_left_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.txt", "\n".join(f"line {i}" for i in range(150_000)))
    monkeypatch.setattr("vaeworks.data.lines.available", lambda: 16_000_000)
    found = read_text_file(path, Options())
    assert 50_000 < len(found.strings) < 150_000
    assert found.notes[0].startswith("a.txt was not read to its end: its first ")
    with pytest.raises(DataError, match="all that memory is enough for"):
        strings(path, strict=True)
    with pytest.raises(DataError, match="more than 1 MB of text"):
        strings(written(tmp_path / "a.csv", path.read_text()))


def test_one_line_too_long_is_no_question_of_encoding(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"of 1 lines, 1 longer than 1 MB \(line 1\): give text, an item a line$"):
        strings(written(tmp_path / "a.txt", b"a" * (3 << 20)))


def test_a_truncated_archive(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(f"line {i * i}" for i in range(20_000)).encode())
    path = written(tmp_path / "a.txt.gz", whole[: len(whole) // 2])
    found = read_text_file(path, Options())
    assert found.strings
    assert set(found.strings) <= {f"line {i * i}" for i in range(20_000)}  # no half line
    assert "was not read to its end: it is damaged" in found.notes[-1]
    with pytest.raises(DataError, match="it is damaged"):
        strings(path, strict=True)
    with pytest.raises(DataError, match="cannot be read: it is damaged"):
        strings(written(tmp_path / "b.txt.gz", whole[:12]))
    with pytest.raises(DataError, match="damaged"):
        strings(written(tmp_path / "c.csv.gz", whole[: len(whole) // 2]))


def test_paragraphs(tmp_path: Path) -> None:
    assert strings(written(tmp_path / "a.txt", "one\r\ntwo\n\n \nthree\n"), by="paragraph") == ["one\ntwo", "three"]


def test_tables(tmp_path: Path) -> None:
    cells = ['a "quoted", cell', "two\nlines", "", "plain"]
    frame = pl.DataFrame({"id": [1, 2, 3, 4], "text": cells, "mood": ["good", "bad", "bad", None]})
    frame.write_csv(tmp_path / "a.csv")
    frame.write_csv(tmp_path / "a.tsv", separator="\t")
    frame.write_csv(tmp_path / "b.csv", separator=";")
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ndjson(tmp_path / "a.jsonl")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    for name in ("a.csv", "a.tsv", "b.csv", "a.parquet", "a.jsonl", "a.csv.gz"):
        found = read_text_file(tmp_path / name, Options(column="text", label="mood", strict=True))
        assert found.strings == [cells[0], cells[1], cells[3]], name
        assert found.labels == ["good", "bad", ""], name
        assert f"{name}: passed over 1 empty line." in found.notes
        assert strings(tmp_path / name, label="mood") == found.strings  # the other column of text
        with pytest.raises(DataError, match=r"several columns of text \(text, mood\): say which with --column text"):
            strings(tmp_path / name)
        with pytest.raises(DataError, match=r"no column 'words', as --column asks for: choose one of id, text, mood"):
            strings(tmp_path / name, column="words")


def test_tables_that_are_damaged(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a table"):
        strings(written(tmp_path / "a.parquet", b"PAR1 nothing"))
    with pytest.raises(DataError, match="cannot be read as a table"):
        strings(written(tmp_path / "a.csv", 'text,b\n"a,1\nb,2,3,4\n'))
    with pytest.raises(DataError, match=r"no column of text \(it has a, b\)"):
        strings(written(tmp_path / "b.csv", "a,b\n1,2\n3,4\n"))
    rows = "text\n" + "\n".join(WORDS)
    found = read_text_file(written(tmp_path / "c.csv", rows.encode() + b"\ncaf\xe9\n"), Options())
    assert found.strings == WORDS
    assert "c.csv: passed over 1 rows not in UTF-8 (line 41)." in found.notes


def test_json_lines(tmp_path: Path) -> None:
    rows = [f'{{"text": "{w}", "n": 1}}' for w in WORDS]
    path = written(tmp_path / "a.jsonl", "\n".join([*rows, "{", '{"text": 3}', "[" * 100_000, '{"text": "\\ud800"}', '"alone"', '{"n": 2}']))
    found = read_text_file(path, Options())
    assert found.strings == [*WORDS, "alone"]
    assert "a.jsonl: the text is under 'text'." in found.notes
    assert any(
        "2 that are no JSON (lines 41, 43), 2 without a string under 'text' (lines 42, 46), 1 that are no Unicode (line 44)" in note
        for note in found.notes
    )


def test_proteins(tmp_path: Path) -> None:
    fasta = ">one first\nMKV\nLA-\n>two\nMKIL-A*\n>three\n\n"
    found = read_text_file(written(tmp_path / "a.fasta", fasta), Options())
    assert (found.strings, found.names) == (["MKVLA-", "MKIL-A"], ["one", "two"])
    aligned = ">one\nmk.VLA-\n>two\n..aIL-A\n"
    found = read_text_file(written(tmp_path / "a.a2m", aligned), Options())
    assert found.strings == ["VLA-", "IL-A"]
    assert "lower case and dots, which mark insertions, were dropped: 4 of 7 columns are left." in found.notes[0]
    assert found.notes[1] == "The sequences are aligned, all of length 4."
    with pytest.raises(DataError, match="have 3 to 4 columns"):
        strings(written(tmp_path / "b.a2m", ">one\nVLA\n>two\nVLAA\n"))
    with pytest.raises(DataError, match="line 1 is no header"):
        strings(written(tmp_path / "b.fasta", "MKV\n"))


def test_molecules_and_headers(tmp_path: Path) -> None:
    assert strings(written(tmp_path / "a.smi", "CCO ethanol\nC methane\n")) == ["CCO", "C"]
    assert strings(written(tmp_path / "a.smiles", "smiles name\nCCO ethanol\n")) == ["CCO"]
    found = read_text_file(written(tmp_path / "a.txt", "idx,smiles\n1,C\n2,N\n3,C#N\n"), Options())
    assert found.strings == ["C", "N", "C#N"]
    assert found.notes[0] == "a.txt: its first line names columns, so it is read as a table."
    for text in ("Yes, sir\nNo, sir\nWell, sir\n", "a,b\nc,d\ne,f\n", "smiles\nC\nN\n", "1,2\n3,4\n5,6\n"):
        assert strings(written(tmp_path / "b.txt", text)) == text.splitlines()  # no header: lines


def test_names_of_files() -> None:
    text = ("a.txt", "a.TXT", "a.csv.gz", "a.jsonl", "train.en.gz", "x.a2m", "x.smi", "x.parquet")
    assert all(is_text(Path(name)) for name in text)
    assert not any(is_text(Path(name)) for name in ("a.png", "train-images-idx3-ubyte.gz", "README.md", "a.npz", "a"))


def test_counts_of_lines(tmp_path: Path) -> None:
    file = TextFile(written(tmp_path / "a.txt", "a\n\n" + "b" * (LONGEST + 1) + "\nc"))
    assert list(file.lines()) == [(1, "a"), (2, ""), (4, "c")]
    assert (file.count, file.passed) == (4, {"longer than 1 MB": [3]})
