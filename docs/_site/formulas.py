"""TeX to MathML, when the site is built: browsers draw formulas by themselves, without scripts and without the network."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from latex2mathml.converter import convert

__all__ = ["mathml", "render"]

SPAN = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)
DOUBLE_STRUCK = {"C": "ℂ", "H": "ℍ", "N": "ℕ", "P": "ℙ", "Q": "ℚ", "R": "ℝ", "Z": "ℤ"}
SCRIPT = {"B": "ℬ", "E": "ℰ", "F": "ℱ", "H": "ℋ", "I": "ℐ", "L": "ℒ", "M": "ℳ", "R": "ℛ"}
OPENS = "([{|‖"


def render(page: str) -> str:
    """The page's HTML with every formula as MathML."""

    def drawn(match: re.Match[str]) -> str:
        block = match[1] == "div"
        formula = mathml(html.unescape(match[3]).strip(), block=block)
        return f'<div class="formula">{formula}</div>' if block else formula

    return SPAN.sub(drawn, page)


def mathml(tex: str, *, block: bool = False) -> str:
    """One formula; ValueError where it is not understood."""
    try:
        text = convert(tex, display="block" if block else "inline")
    except Exception as error:
        raise ValueError(f"formula {tex!r}: {error!r}") from error
    if re.search(r"\\[a-zA-Z]+", re.sub(r"<annotation.*?</annotation>", "", text)):
        raise ValueError(f"formula {tex!r} has a command that is not understood: {text}")
    root = ElementTree.fromstring(re.sub(r' xmlns="[^"]*"', "", text, count=1))
    _join(root)
    _letters(root)
    _spaces(root)
    root.set("xmlns", "http://www.w3.org/1998/Math/MathML")
    return ElementTree.tostring(root, encoding="unicode")


def _join(node: ElementTree.Element) -> None:
    """Upright letters of one word, one by one in what we are given, as one identifier: ``KL``."""
    for child in node:
        _join(child)
    for row in [*node]:
        letters = [c for c in row if c.tag == "mi" and c.get("mathvariant") == "normal" and len(c.text or "") == 1]
        if row.tag == "mrow" and len(row) > 1 and len(letters) == len(row):
            word = "".join(c.text or "" for c in letters)
            row.clear()
            row.tag, row.text = "mi", word


def _letters(node: ElementTree.Element) -> None:
    """Letters of other alphabets as characters of their own: browsers know no other ``mathvariant`` than normal."""
    for mi in node.iter("mi"):
        variant, text = mi.get("mathvariant"), mi.text or ""
        if variant in ("double-struck", "script", "bold") and len(text) == 1 and text.isascii() and text.isalpha():
            upper = ord(text.upper()) - ord("A")
            base = {"double-struck": 0x1D538, "script": 0x1D49C, "bold": 0x1D400}[variant]
            own = {"double-struck": DOUBLE_STRUCK, "script": SCRIPT}.get(variant, {}).get(text)
            mi.text = own or chr(base + upper + (26 if text.islower() else 0))
            del mi.attrib["mathvariant"]


def _spaces(node: ElementTree.Element) -> None:
    """A thin space beside the name of a function or operator, as TeX sets it."""
    for child in node:
        _spaces(child)
    if node.tag not in ("mrow", "math", "mtd", "mstyle"):
        return
    out: list[ElementTree.Element] = []
    for child in list(node):
        before = out[-1] if out else None
        if before is not None and (_apart_after(before, child) or _apart_before(before, child)):
            out.append(ElementTree.Element("mspace", width="0.17em"))
        out.append(child)
    for child in list(node):
        node.remove(child)
    node.extend(out)


def _apart_after(before: ElementTree.Element, child: ElementTree.Element) -> bool:
    """Whether ``before`` is a function of ``child``, without brackets."""
    return _named(before) and child.tag != "mspace" and not _opens(child)


def _apart_before(before: ElementTree.Element, child: ElementTree.Element) -> bool:
    """Whether ``child`` is a function that ``before`` multiplies."""
    return _named(child) and (before.tag in ("mi", "mn", "msub", "msup", "msubsup", "mfrac") or before.text in (")", "]"))


def _named(node: ElementTree.Element) -> bool:
    """Whether it is the name of a function, or one with an index."""
    if node.tag in ("msub", "msup", "munder", "msubsup") and len(node):
        return _named(node[0])
    return node.tag == "mi" and len(node.text or "") > 1 and (node.text or "").isalpha() and (node.text or "").isascii()


def _opens(node: ElementTree.Element) -> bool:
    first = node
    while len(first) and first.tag in ("mrow", "mstyle"):
        first = first[0]
    return first.tag == "mo" and (first.text or "") in OPENS + ",.;=)]}"
