"""What the site has beyond its Markdown files: excerpts of the sources, tables of recipes, formulas, the reference, and pages made of files elsewhere."""

from __future__ import annotations

import re
from typing import Any

import excerpts
import formulas
import recipes
import reference
from mkdocs.structure.files import File, Files

ROOT = excerpts.ROOT


def on_config(config: Any) -> Any:
    """The rooms of the reference in the navigation, and no page there that is not written yet."""
    for section in config.nav:
        for name, pages in section.items():
            if name == "Reference":
                pages.extend({title: f"reference/{page}.md"} for title, page in reference.pages())
            elif isinstance(pages, list):
                pages[:] = [page for page in pages if not _absent(page)]
    return config


def _absent(page: Any) -> bool:
    """Commands are listed in a page that their own help makes (docs/generate_cli.py)."""
    return page == {"Commands": "cli.md"} and not (ROOT / "docs" / "cli.md").is_file()


def on_files(files: Files, config: Any) -> Files:
    """Pages that are made of something else."""
    made = {"contributing.md": _contributing(), "minivae.md": _minivae(), "reference/index.md": reference.index()}
    made |= {f"reference/{page}.md": text for page, text in reference.texts().items()}
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Excerpts, tables, and links from names of the package to its reference."""
    markdown = re.sub(r"\]\(\.\./examples/minivae\.py\)", "](minivae.md)", markdown)
    markdown = recipes.expand(excerpts.expand(markdown))
    return reference.linked(markdown, page.file.src_uri)


def on_page_content(html: str, **_: Any) -> str:
    """Formulas."""
    return formulas.render(html)


def _contributing() -> str:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    return re.sub(r"^```(\w+) (\S+)$", r'```\1 title="\2"', text, flags=re.M)


def _minivae() -> str:
    code = (ROOT / "examples" / "minivae.py").read_text("utf-8")
    return (
        "# The whole idea in 150 lines\n\n`examples/minivae.py` imports nothing of the package. "
        "[From the formula to the code](from-the-formula-to-the-code.md) derives it line by line.\n\n"
        f'```python title="examples/minivae.py" linenums="1"\n{code}```\n'
    )
