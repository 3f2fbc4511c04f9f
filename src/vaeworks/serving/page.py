"""The explorer's page as one HTML document: ES modules by an import map, either fetched from the service or carried along as data."""

from __future__ import annotations

import base64
import functools
import html
import json
from importlib import resources

__all__ = ["assets", "document"]

_TYPES = {"js": "text/javascript", "css": "text/css"}


@functools.cache
def assets() -> dict[str, tuple[bytes, str]]:
    """The files of the page by name, each with its media type. They are read once: no path of a request reaches the disk."""
    folder = resources.files("vaeworks.serving") / "page"
    found = {}
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            found[file.name] = (file.read_bytes(), kind)
    return found


def document(title: str, *, carried: dict[str, str] | None = None) -> str:
    """The page. ``carried``, of a page that stands alone, are scripts of data by the id of their element: modules and style then come along inside it."""
    body = (resources.files("vaeworks.serving") / "page" / "index.html").read_text("utf-8")
    modules = {name[:-3]: content for name, (content, _) in assets().items() if name.endswith(".js")}
    style = assets()["style.css"][0].decode()
    if carried is None:
        head = '<link rel="stylesheet" href="./explore/page/style.css">'
        places = {f"explore/{name}": f"./explore/page/{name}.js" for name in modules}
        data = ""
    else:
        head = f"<style>{style}</style>"
        places = {f"explore/{name}": "data:text/javascript;base64," + base64.b64encode(content).decode() for name, content in modules.items()}
        data = "\n".join(f'<script type="text/plain" id="{name}">{text}</script>' for name, text in carried.items())
    imports = f'<script type="importmap">{json.dumps({"imports": places})}</script>'
    for place, text in {"<!--title-->": html.escape(title), "<!--head-->": head + imports, "<!--data-->": data}.items():
        body = body.replace(place, text)
    return body
