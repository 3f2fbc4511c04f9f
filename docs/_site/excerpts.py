"""Excerpts of the sources, taken when the site is built, so that a page cannot show code that is no longer there.

A fence ``excerpt`` holds one excerpt a line: ``src/vaeworks/objectives/elbo.py: ELBO.forward``, and where only some lines of it are wanted,
``... @ first words .. last words``: from the line that holds the first to the line that holds the last.
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

__all__ = ["FENCE", "excerpt", "expand", "named"]

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```excerpt\n(.*?)^```$", re.M | re.S)


def named(path: str, name: str) -> ast.AST:
    """The class, function or assignment ``name`` (with dots for what is inside) of a source file; KeyError where there is none."""
    node: ast.AST = ast.parse((ROOT / path).read_text("utf-8"))
    for part in name.split("."):
        inside = [n for n in ast.iter_child_nodes(node) if part in _names(n)]
        if not inside:
            raise KeyError(f"{path} has no {name}")
        node = inside[-1]
    return node


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [t.id for t in targets if isinstance(t, ast.Name)]


def excerpt(line: str) -> tuple[str, str]:
    """The title and the code of an excerpt, its docstring left out; KeyError where the source no longer has it."""
    place, _, ends = (part.strip() for part in line.partition(" @ "))
    path, name = (part.strip() for part in place.split(":"))
    node = named(path, name)
    lines = (ROOT / path).read_text("utf-8").splitlines()
    decorators = getattr(node, "decorator_list", [])
    first, last = (decorators[0].lineno if decorators else node.lineno), node.end_lineno
    kept = list(range(first, last + 1))
    body = getattr(node, "body", [])
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str) and len(body) > 1:
        gone = set(range(body[0].lineno, body[0].end_lineno + 1))
        kept = [n for n in kept if n not in gone]
    if ends:
        kept = _between(kept, lines, *(part.strip() for part in ends.split(" .. ")), where=f"{path}: {name}")
    code = textwrap.dedent("\n".join(lines[n - 1] for n in kept)).strip("\n")
    return f"{path}, line {kept[0]}: {name}", re.sub(r"\n{2,}(?=\s)", "\n\n", code)


def _between(kept: list[int], lines: list[str], start: str, stop: str, where: str) -> list[int]:
    first = next((i for i, n in enumerate(kept) if start in lines[n - 1]), None)
    last = next((i for i, n in enumerate(kept) if first is not None and i >= first and stop in lines[n - 1]), None)
    if first is None or last is None:
        raise KeyError(f"{where} has no line with {start if first is None else stop!r}")
    return kept[first : last + 1]


def expand(markdown: str) -> str:
    """The page with every excerpt in place."""

    def filled(match: re.Match[str]) -> str:
        blocks = []
        for line in match[1].splitlines():
            if line.strip():
                title, code = excerpt(line)
                blocks.append(f'```python title="{title}"\n{code}\n```')
        return "\n\n".join(blocks)

    return FENCE.sub(filled, markdown)
