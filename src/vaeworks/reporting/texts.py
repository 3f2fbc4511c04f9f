"""Strings as people read them: lines in a file, a list or a table on the page."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from vaeworks.files import replace_file
from vaeworks.model import TextSchema
from vaeworks.reporting.exhibits import Exhibit

__all__ = ["Texts"]

SHOWN = 24
"""Items on the page at most."""


class Texts(Exhibit[TextSchema]):
    """One version is an item a line (a paragraph each where items hold line breaks); several stand below each other, named."""

    suffixes = (".txt", ".jsonl")

    @property
    def strings(self) -> dict[str, list[str]]:
        """Every version as strings."""
        return {name: self.schema.to_raw(x) for name, x in self.versions.items()}

    def write_file(self, path: Path) -> None:
        strings = self.strings
        if path.suffix.lower() == ".jsonl":
            key = {name: "text" if len(strings) == 1 else name for name in strings}
            items = ({key[name]: texts[i] for name, texts in strings.items()} for i in range(len(self.last)))
            text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        elif len(strings) == 1:
            (texts,) = strings.values()
            text = ("\n\n" if any("\n" in item for item in texts) else "\n").join(texts) + "\n"
        else:
            width = max(map(len, strings)) + 2
            text = "\n".join("".join(f"{name + ':':<{width}}{texts[i]}\n" for name, texts in strings.items()) for i in range(len(self.last)))
        replace_file(path, text.encode("utf-8", "replace"))

    def write_folder(self, path: Path) -> str:
        texts = self.schema.to_raw(self.last)
        for i, text in enumerate(texts):
            replace_file(path / f"{self.stem(i)}.txt", text.encode("utf-8", "replace"))
        return f"{len(texts)} texts"

    def html(self, alternative: str, budget: int) -> str:
        strings = {name: texts[:SHOWN] for name, texts in self.strings.items()}
        if len(strings) == 1:
            (texts,) = strings.values()
            return f'<ul class="texts">{"".join(f"<li>{escape(text)}</li>" for text in texts)}</ul>'
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in strings)
        body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in zip(*strings.values(), strict=True))
        table = f'<table class="texts"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(alternative)}">{table}</div>'
