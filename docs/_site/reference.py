"""The reference: every public name of every room, from its ``__all__`` and its docstrings, read and never imported.

Docstrings here are plain text (``(B, *event)``, ``w_k``), which Markdown would mangle; ranges of knobs stand in the annotations. So they are set as they are.
"""

from __future__ import annotations

import ast
import functools
import html
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

__all__ = ["index", "linked", "pages", "public", "texts"]

SOURCE = Path(__file__).parents[2] / "src"
FIRST = ["vaeworks", "vaeworks.runs", "vaeworks.sklearn"]
LEFT_OUT = {"vaeworks.cli", "vaeworks.check", "vaeworks.files", "vaeworks.errors"}
KNOB = re.compile(r"^(\w+(?:, \w+)*): ")
NAME = re.compile(r"(?<!\[)`(vaeworks(?:\.\w+)+)`(?!\])")
Definition = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Public:
    """A public name, where it is defined, and how."""

    name: str
    module: str
    node: Definition | None
    doc: str | None


@functools.cache
def _module(name: str) -> ast.Module:
    path = SOURCE.joinpath(*name.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8"))


def _defined(module: str, name: str) -> Public:
    """Follows ``from ... import`` to where ``name`` is defined."""
    body = _module(module).body
    for i, node in enumerate(body):
        if isinstance(node, ast.If):  # TYPE_CHECKING
            body = [*body, *node.body]
            continue
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return Public(name, module, node, ast.get_docstring(node))
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(t, ast.Name) and t.id == name for t in targets):
            return Public(name, module, node, _string(body[i + 1] if i + 1 < len(body) else None))  # type: ignore[arg-type]
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("vaeworks"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    if node.module == module or _exists(f"{node.module}.{alias.name}"):
                        return Public(name, f"{node.module}.{alias.name}", None, None)
                    return _defined(node.module, alias.name)
    return Public(name, module, None, None)


def _exists(module: str) -> bool:
    path = SOURCE.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _string(node: ast.AST | None) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return None


@functools.cache
def rooms() -> tuple[str, ...]:
    """The modules that have something public, the package itself first."""
    found = ["vaeworks"]
    for path in sorted((SOURCE / "vaeworks").iterdir()):
        if (path / "__init__.py").is_file() or (path.suffix == ".py" and not path.name.startswith("_")):
            found.append(f"vaeworks.{path.stem}")
    return tuple(sorted(set(found) - LEFT_OUT, key=lambda n: (FIRST.index(n) if n in FIRST else len(FIRST), n)))


@functools.cache
def public(room: str) -> tuple[Public, ...]:
    """What ``__all__`` of a room names, in its order."""
    for node in _module(room).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            names = ast.literal_eval(node.value)
            return tuple(_defined(room, name) for name in sorted(names, key=str.lower))
    return ()


def pages() -> list[tuple[str, str]]:
    """Titles and names of the reference's pages."""
    return [(room, room.replace(".", "-")) for room in rooms() if public(room)]


def index() -> str:
    """The page above them."""
    lines = [
        "# Reference",
        "",
        "Every public name, room by room. Upper rooms import lower ones; see [Contributing](../contributing.md).",
        "",
        "| room | what it is | names |",
        "|---|---|---|",
    ]
    for room, page in pages():
        doc = (ast.get_docstring(_module(room)) or "").split("\n\n")[0].replace("\n", " ")
        lines.append(f"| [`{room}`]({page}.md) | {_inline(doc)} | {len(public(room))} |")
    return "\n".join(lines) + "\n"


def texts() -> dict[str, str]:
    """The reference's pages as Markdown."""
    return {page: _page(room) for room, page in pages()}


def _page(room: str) -> str:
    doc = ast.get_docstring(_module(room)) or ""
    parts = [f"# {room}", "", _prose(doc), ""]
    for entry in public(room):
        parts += [f"## {entry.name} {{ #{room}.{entry.name} }}", "", _entry(entry), ""]
    return "\n".join(parts)


def _entry(entry: Public) -> str:
    node = entry.node
    if node is None:
        page = dict(pages()).get(entry.module)
        where = f'<a href="{page}.html"><code>{entry.module}</code></a>' if page else f"<code>{entry.module}</code>"
        return f'<p class="where">The room {where}.</p>'
    parts = [f'<p class="where">{entry.module.replace(".", "/")}.py, line {node.lineno}</p>' if not _package(entry.module) else ""]
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(b) for b in node.bases)
        init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        fields = _fields(node)
        if init is not None:
            parts.append(_code(_signature(entry.name, init, skip=1)))
        elif any("dataclass" in ast.unparse(d) for d in node.decorator_list) or "NamedTuple" in bases:
            arguments = ", ".join(f"{name}: {kind}" + (f" = {default}" if default else "") for name, kind, default, _ in fields)
            parts.append(_code(_wrapped(f"{entry.name}(", arguments, ")")))
        else:
            parts.append(_code(f"class {entry.name}({bases})" if bases else f"class {entry.name}"))
        parts.append(_prose(entry.doc or "", _ranges(init)))
        told = [(name, f"{kind}", doc) for name, kind, _, doc in fields if doc]
        if told:
            parts.append(
                "<dl>" + "".join(f"<dt><code>{html.escape(n)}: {html.escape(k)}</code></dt><dd>{_prose(d)}</dd>" for n, k, d in told) + "</dl>"
            )
        parts += [_method(n) for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_") and ast.get_docstring(n)]
    elif isinstance(node, ast.FunctionDef):
        parts += [_code(_signature(entry.name, node)), _prose(entry.doc or "", _ranges(node))]
    else:
        value = ast.unparse(node.value) if node.value is not None else ""
        parts += [_code(f"{entry.name} = {value}" if len(value) < 1200 else f"{entry.name} = ..."), _prose(entry.doc or "")]
    return '<div class="doc">' + "".join(parts) + "</div>"


def _package(module: str) -> bool:
    return SOURCE.joinpath(*module.split(".")).is_dir()


def _fields(node: ast.ClassDef) -> list[tuple[str, str, str, str | None]]:
    found = []
    for i, n in enumerate(node.body):
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name) and not n.target.id.startswith("_"):
            doc = _string(node.body[i + 1]) if i + 1 < len(node.body) else None
            found.append((n.target.id, ast.unparse(n.annotation), ast.unparse(n.value) if n.value else "", doc))
    return found


def _method(node: ast.FunctionDef) -> str:
    decorators = {ast.unparse(d) for d in node.decorator_list}
    if "property" in decorators:
        head = f"{node.name}" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")
    else:
        head = _signature(node.name, node, skip=0 if "staticmethod" in decorators else 1)
    return f'<div class="method">{_code(head)}{_prose(ast.get_docstring(node) or "", _ranges(node))}</div>'


def _signature(name: str, node: ast.FunctionDef, skip: int = 0) -> str:
    a = node.args
    plain = [*a.posonlyargs, *a.args]
    defaults = [None] * (len(plain) - len(a.defaults)) + list(a.defaults)
    parts = [_argument(arg, default) for arg, default in zip(plain, defaults, strict=True)][skip:]
    if a.vararg:
        parts.append("*" + _argument(a.vararg, None))
    elif a.kwonlyargs:
        parts.append("*")
    parts += [_argument(arg, default) for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True)]
    if a.kwarg:
        parts.append("**" + _argument(a.kwarg, None))
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    return _wrapped(f"{name}(", ", ".join(parts), f"){returns}", parts)


def _wrapped(head: str, inside: str, tail: str, parts: list[str] | None = None) -> str:
    whole = head + inside + tail
    if len(whole) <= 88 or parts is None:
        return whole
    return head + "\n    " + ",\n    ".join(parts) + ",\n" + tail


def _argument(arg: ast.arg, default: ast.expr | None) -> str:
    text = arg.arg
    if arg.annotation is not None:
        text += f": {ast.unparse(_plain(arg.annotation))}"
    return text if default is None else f"{text} = {ast.unparse(default)}" if arg.annotation else f"{text}={ast.unparse(default)}"


def _plain(annotation: ast.expr) -> ast.expr:
    """``Annotated[float, Field(ge=0)]`` -> ``float``, at any depth."""

    class Strip(ast.NodeTransformer):
        def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
            self.generic_visit(node)
            if isinstance(node.value, ast.Name) and node.value.id == "Annotated" and isinstance(node.slice, ast.Tuple):
                return node.slice.elts[0]
            return node

    return Strip().visit(ast.parse(ast.unparse(annotation), mode="eval").body)  # type: ignore[no-any-return]


def _ranges(node: ast.FunctionDef | None) -> dict[str, str]:
    """What a knob may be, by its name: from ``Field(gt=0)`` and its like."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found: dict[str, str] = {}
    for arg in [] if node is None else [*node.args.args, *node.args.kwonlyargs]:
        for call in ast.walk(arg.annotation) if arg.annotation else ():
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "Field":
                bounds = [f"{signs[k.arg]} {ast.unparse(k.value)}" for k in call.keywords if k.arg in signs]
                if bounds:
                    found[arg.arg] = ", ".join(bounds)
    return found


def _code(text: str) -> str:
    inside = highlight(text, PythonLexer(), HtmlFormatter(nowrap=True)).rstrip()
    return f'<div class="highlight signature"><pre><code>{inside}</code></pre></div>'


def _inline(text: str) -> str:
    escaped = html.escape(text, quote=False)
    escaped = re.sub(r"``(.+?)``|`([^`]+)`", lambda m: f"<code>{m[1] or m[2]}</code>", escaped)
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', escaped)


def _prose(doc: str, ranges: dict[str, str] | None = None) -> str:
    """A docstring as HTML: paragraphs, knobs one a line with their range, examples."""
    out, knobs = [], set()
    for paragraph in re.split(r"\n\s*\n", doc.strip()):
        if paragraph.lstrip().startswith(">>>"):
            out.append(_code("\n".join(line.strip() if line.strip().startswith(">>>") else line for line in paragraph.splitlines())))
            continue
        lines: list[str] = []
        for line in (raw.strip() for raw in paragraph.splitlines()):
            if not lines or KNOB.match(line):
                lines.append(line)
            else:
                lines[-1] += " " + line
        told = []
        for line in lines:
            match = KNOB.match(line)
            if match is None:
                told.append(_inline(line))
                continue
            names = match[1].split(", ")
            knobs.update(names)
            bounds = {ranges[n] for n in names if n in (ranges or {})} if ranges else set()
            within = f' <span class="range">{html.escape("; ".join(sorted(bounds)))}</span>' if bounds else ""
            told.append(f"<b>{html.escape(match[1])}</b>{within}: {_inline(line[match.end() :])}")
        out.append("<p>" + "<br>".join(told) + "</p>")
    rest = {name: bounds for name, bounds in (ranges or {}).items() if name not in knobs}
    if rest:
        out.append('<p class="ranges">' + ", ".join(f"<code>{n}</code> {html.escape(b)}" for n, b in rest.items()) + "</p>")
    return "".join(f"{part}" for part in out)


@functools.cache
def _places() -> dict[str, str]:
    """Where the reference tells of a name: its page and anchor."""
    found = {}
    for room, page in pages():
        found[room] = f"reference/{page}.md"
        found |= {f"{room}.{entry.name}": f"reference/{page}.md#{room}.{entry.name}" for entry in public(room)}
    return found


def linked(markdown: str, page: str) -> str:
    """The page with every `` `vaeworks.room.Name` `` outside of fences linked to the reference; KeyError for a name that is not public."""
    if page.startswith("reference/"):
        return markdown

    def link(match: re.Match[str]) -> str:
        place = _places().get(match[1])
        if place is None:
            return match[0]
        return f"[`{match[1]}`]({posixpath.relpath(place, posixpath.dirname(page) or '.')})"

    pieces = re.split(r"(^```.*?^```$)", markdown, flags=re.M | re.S)
    return "".join(piece if i % 2 else NAME.sub(link, piece) for i, piece in enumerate(pieces))
