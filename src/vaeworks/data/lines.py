"""Lines of a text file of any size, encoding and line ends, in bounded memory."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from vaeworks.data.memory import available
from vaeworks.errors import DataError

__all__ = ["LONGEST", "TextFile", "is_unicode"]

LONGEST: Final = 1 << 20
"""Bytes of the longest line that is read."""
_MOST: Final = 1 << 28
"""Bytes of text that are read at most, where memory allows."""
_CHUNK: Final = 1 << 20
_SHOWN: Final = 5
_ODD: Final = 0.2
"""A file with a larger share of lines that are no text is no text."""
_LONG: Final = f"longer than {LONGEST >> 20} MB"
_MARKS: Final = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
"""What the first bytes of a file say of its encoding; UTF-8 where they say nothing."""


class TextFile:
    """One file, plain or gzipped, as it is read, and what had to be passed over: ``told`` and the DataError of ``check`` name it by line."""

    def __init__(self, path: Path):
        self.path, self.name = path, path.name
        self.passed: dict[str, list[int]] = {}
        """The numbers of the lines that were passed over, by reason."""
        self.empty = self.count = 0
        """Lines of nothing but white space, and all lines."""
        self.ended = ""
        """Why the file was not read to its end, where it was not."""

    def chunks(self) -> Iterator[bytes]:
        """The text as UTF-8, a megabyte at a time."""
        try:
            with self.path.open("rb") as file:
                if file.read(2) == b"\x1f\x8b":
                    file.seek(0)
                    with gzip.open(file) as inside:
                        yield from _utf8(inside)
                else:
                    file.seek(0)
                    yield from _utf8(file)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.ended = f"it is damaged ({error})"
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def whole(self, most: int | None = None) -> bytes:
        """The whole text as UTF-8; DataError where that is damaged, more than ``most`` bytes, or does not fit into memory."""
        most, parts, size = most or _budget(), list[bytes](), 0
        for chunk in self.chunks():
            size += len(chunk)
            if size > most:
                raise DataError(f"{self.path} holds more than {most / 1e6:.0f} MB of text, too much to be read at once: give a part of it")
            parts.append(chunk)
        if self.ended:
            raise DataError(f"{self.path} cannot be read: {self.ended}: give a file that opens elsewhere")
        return b"".join(parts)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Every line with its number, from 1, without its end, which may be LF, CR LF or CR; one that is no text or too long is passed over."""
        self.count, room, held, too_long = 0, _budget(), b"", False
        for chunk in self.chunks():
            text, carriage = (chunk[:-1], b"\r") if chunk.endswith(b"\r") else (chunk, b"")
            *ended, held = (held + text).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            for line in ended:
                yield from self._line(line, too_long)
                too_long, room = False, room - len(line)
            if room < 0:
                self.ended = f"its first {self.count} lines are all that memory is enough for"
                return
            if len(held) > LONGEST:
                too_long, held = True, b""
            held += carriage
        if (held or too_long) and not self.ended:
            yield from self._line(held.removesuffix(b"\r"), too_long)

    def json_lines(self) -> Iterator[tuple[int, Any]]:
        """What each line says in JSON, with its number; lines that are no JSON are passed over."""
        for number, line in self.lines():
            if not line.strip():
                self.blank()
                continue
            try:
                item = json.loads(line)
            except (ValueError, RecursionError):
                self.skip("that are no JSON")
                continue
            yield number, item

    def _line(self, line: bytes, too_long: bool) -> Iterator[tuple[int, str]]:
        self.count += 1
        if too_long or len(line) > LONGEST:
            self.skip(_LONG)
        elif b"\0" in line:
            self.skip("with NUL bytes")
        else:
            try:
                text = line.decode()
            except UnicodeDecodeError:
                self.skip("not in UTF-8")
                return
            yield self.count, text

    def skip(self, reason: str, number: int | None = None) -> None:
        """Pass over line ``number``, or the last one read."""
        self.passed.setdefault(reason, []).append(number or self.count)

    def blank(self) -> bool:
        """Count a line of nothing but white space; False."""
        self.empty += 1
        return False

    def check(self, strict: bool) -> None:
        """DataError where too many lines were passed over for the file to be text, or any was and ``strict``."""
        odd = sum(map(len, self.passed.values()))
        if odd > _ODD * self.count:
            cure = f"; if it is in another encoding, such as Latin-1, convert it: iconv -f LATIN1 -t UTF-8 {self.name}"
            raise DataError(
                f"{self.path} is no text in UTF-8 that can be read: of {self.count} lines, {self._faults()}: give text, an item a line"
                f"{cure if set(self.passed) != {_LONG} else ''}"
            )
        if strict and (odd or self.ended):
            raise DataError(f"{self.path}: {' and '.join(filter(None, (self._faults(), self.ended)))}: mend the file, or leave out --strict")
        if self.ended and not self.count:
            raise DataError(f"{self.path} cannot be read: {self.ended}: give a file that opens elsewhere")

    @property
    def told(self) -> list[str]:
        """What to tell of what was passed over."""
        notes = [f"{self.name}: passed over {self._faults()}."] if self.passed else []
        notes += [f"{self.name}: passed over {self.empty} empty line{'s' * (self.empty != 1)}."] if self.empty else []
        return [*notes, f"{self.name} was not read to its end: {self.ended}."] if self.ended else notes

    def _faults(self) -> str:
        return ", ".join(
            f"{len(numbers)} {reason} (line{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers[:_SHOWN]))}{' ...' * (len(numbers) > _SHOWN)})"
            for reason, numbers in self.passed.items()
        )


def is_unicode(text: str) -> bool:
    """Whether a string is one of Unicode: half of a surrogate pair is not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _budget() -> int:
    """Bytes of text that may be read: strings and what is made of them take some sixteen times as much."""
    free = available()
    return _MOST if free is None else min(_MOST, free // 16)


def _utf8(file: BufferedReader | gzip.GzipFile) -> Iterator[bytes]:
    """What is left of ``file`` in UTF-8, without a mark at its start."""
    first = file.read(4)
    mark = next((mark for mark in _MARKS if first.startswith(mark)), b"")
    chunk, encoding = first[len(mark) :], _MARKS.get(mark, "utf-8")
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("surrogatepass")
    while chunk or first:
        yield chunk if decoder is None else decoder.decode(chunk).encode("utf-8", "surrogatepass")
        chunk, first = file.read1(_CHUNK), b""  # of a damaged archive, all that comes before the damage
