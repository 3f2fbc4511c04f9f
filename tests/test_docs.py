"""The documentation: excerpts are of code that exists, formulas are understood, tables and the reference are complete, and both READMEs show the same commands."""

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def load(path: str) -> ModuleType:
    """A script as a module."""
    name = f"docs_{Path(path).stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_excerpt_is_of_code_that_exists(page: Path) -> None:
    excerpts = load("docs/_site/excerpts.py")
    for fence in excerpts.FENCE.findall(page.read_text("utf-8")):
        for line in fence.splitlines():
            title, code = excerpts.excerpt(line)
            assert code.strip(), title
            source = (ROOT / line.split(":")[0]).read_text("utf-8")
            for piece in code.splitlines():
                assert piece.strip() in source


def test_an_excerpt_that_disappeared_is_an_error() -> None:
    excerpts = load("docs/_site/excerpts.py")
    with pytest.raises(KeyError, match=r"iwae\.py has no IWAE\.backward"):
        excerpts.excerpt("src/vaeworks/objectives/iwae.py: IWAE.backward")
    with pytest.raises(KeyError, match="no line with 'nothing of the kind'"):
        excerpts.excerpt("src/vaeworks/objectives/iwae.py: IWAE.forward @ beta = .. nothing of the kind")


def test_an_excerpt_leaves_out_docstrings_and_other_lines() -> None:
    title, code = load("docs/_site/excerpts.py").excerpt("src/vaeworks/objectives/iwae.py: log_mean_exp")
    assert title.endswith("log_mean_exp")
    assert ast.unparse(ast.parse(code)) == (
        "def log_mean_exp(log_w: Tensor, dim: int=0) -> Tensor:\n    return log_w.logsumexp(dim) - math.log(log_w.shape[dim])"
    )


def test_formulas_become_mathml() -> None:
    pytest.importorskip("latex2mathml")
    formulas = load("docs/_site/formulas.py")
    for page in PAGES:
        text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.M | re.S)
        for tex in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", text, re.S):
            ElementTree.fromstring(formulas.mathml(tex[0] or tex[1], block=bool(tex[0])))
    kl = formulas.mathml(r"\mathrm{KL}(q\,\|\,p) = \mathbb E_q[\log q]")
    assert "<mi>KL</mi>" in kl
    assert "𝔼" in kl
    with pytest.raises(ValueError, match="nosuchcommand"):
        formulas.mathml(r"\nosuchcommand{x}")


def test_every_recipe_is_in_a_table_with_what_was_measured() -> None:
    from vaeworks.recipes import measured, recipe_names

    tables = load("docs/_site/recipes.py").expand((DOCS / "recipes.md").read_text("utf-8"))
    for name in recipe_names():
        (row,) = [line for line in tables.splitlines() if line.startswith(f"| `{name}` |")]
        figure = measured()["figures"].get(name)
        assert figure is None or f"{figure['value']:.4g}" in row


def test_the_reference_has_every_public_name() -> None:
    import vaeworks

    reference = load("docs/_site/reference.py")
    pages = reference.texts()
    for room in ("vaeworks", *(f"vaeworks.{name}" for name in ("objectives", "priors", "evaluation", "runs", "training"))):
        module = importlib.import_module(room)
        for name in module.__all__:
            assert f"{{ #{room}.{name} }}" in pages[room.replace(".", "-")]
    assert vaeworks.__all__ == [*dict.fromkeys(vaeworks.__all__)]
    assert 'beta</b> <span class="range">≥ 0</span>: weight of the KL' in pages["vaeworks-objectives"]


def test_names_of_the_package_on_pages_are_public() -> None:
    reference = load("docs/_site/reference.py")
    known = {entry for room, _ in reference.pages() for entry in (room, *(f"{room}.{public.name}" for public in reference.public(room)))}
    for page in PAGES:
        for name in reference.NAME.findall(re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)):
            assert name in known or name.startswith(("vaeworks.sklearn", "vaeworks.serving")), f"{page.name}: {name}"


def test_the_gallery_is_what_its_script_writes() -> None:
    gallery = load("docs/gallery.py")
    assert (DOCS / "gallery.md").read_text("utf-8") == gallery.page()
    files = list((DOCS / "gallery").iterdir())
    assert {file.name for file in files} == {name for entry in gallery.ENTRIES for file, _ in entry.shown for name in gallery._kept(file)}
    assert sum(file.stat().st_size for file in files) < 1_500_000


def test_both_readmes_show_the_same_commands() -> None:
    def commands(path: str) -> list[str]:
        blocks = re.findall(r"```(?:sh|python)\n(.*?)```", (ROOT / path).read_text("utf-8"), re.S)
        return [line.split(" #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]

    assert commands("README.zh-CN.md") == commands("README.md")


def test_commands_of_pages_are_found_and_shortened() -> None:
    readme = load(".ci/readme.py")
    text = "```sh\nvae train digits --epochs 50 -o runs/x   # a comment\nvae train photos/ -o runs/photos\n```\n```console\n$ vae serve runs/x\n```\n```python\nprint(1)\n```\n"
    assert list(readme.commands(text, 6, 3)) == [
        ["vae", "train", "digits", "--epochs", "3", "-o", "runs/x"],
        ["python", "-W", "error", "-c", "print(1)"],
    ]
    assert readme.shortened("vae train a --max-minutes 10", 30, None) == "vae train a --max-minutes 0.50"
    assert [page.name for page in readme.pages(DOCS)].count("gallery.md") == 0


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<h1 id="top">A</h1><a href="b.html#there">b</a><a href="https://example.org">far</a>', "utf-8")
    (tmp_path / "b.html").write_text('<p id="there">B</p><img src="a.png" alt=""><a href="a.html#nowhere">a</a>', "utf-8")
    faults = load(".ci/links.py").faults(tmp_path)
    assert faults == ["b.html links to a.html#nowhere, which has no such anchor", "b.html links to a.png, which is not there"]
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.html").write_text('<script src="https://example.org/x.js"></script>', "utf-8")
    assert "b.html fetches https://example.org/x.js" in load(".ci/links.py").faults(tmp_path)
