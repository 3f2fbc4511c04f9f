"""Check a built site: every link and anchor inside it leads somewhere, no page fetches anything from elsewhere, and every picture has a text. Exit code 1 otherwise.

python .ci/links.py site
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {"script": "src", "link": "href", "img": "src", "source": "src", "iframe": "src", "audio": "src", "video": "src"}
NOT_FETCHED = {"canonical", "prev", "next", "alternate"}


class Page(HTMLParser):
    """The anchors of a page, and what it links to and fetches."""

    def __init__(self, text: str):
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.unnamed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors.update(v for k in ("id", "name") if (v := found.get(k)))
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if tag == "img" and "alt" not in found:
            self.unnamed.append(str(found.get("src")))
        if tag in FETCHED and found.get(FETCHED[tag]) and not (tag == "link" and found.get("rel") in NOT_FETCHED):
            self.fetched.append(str(found[FETCHED[tag]]))


def faults(site: Path) -> list[str]:
    """What is wrong, a sentence each."""
    pages = {path.resolve(): Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        own = path.relative_to(site.resolve())
        if own.name == "404.html":  # its links are those of the site's root
            continue
        found += [f"{own}: the picture {source} has no alt" for source in page.unnamed]
        for link in [*page.links, *page.fetched]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.fetched and parts.scheme != "data":
                    found.append(f"{own} fetches {link}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{own} links to {link}, which is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors and not parts.fragment.startswith("__"):
                found.append(f"{own} links to {link}, which has no such anchor")
    for sheet in site.rglob("*.css"):
        for address in re.findall(r"url\(\s*['\"]?((?:https?:)?//[^)'\"]+)", sheet.read_text("utf-8")):
            found.append(f"{sheet.relative_to(site)} fetches {address}")
    return found


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]))
    print("\n".join(wrong) or f"{len(list(Path(sys.argv[1]).rglob('*.html')))} pages: every link leads somewhere")
    sys.exit(bool(wrong))
