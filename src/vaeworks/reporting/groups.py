"""How the classes of labelled items look on a chart: name, colour and shape."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["NAMED_CLASSES", "PALETTE", "UNLABELLED", "Group", "groups_of"]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#B8860B", "#333333", "#882255", "#6A51C7", "#7A9A01")
"""Wong (2011), doi:10.1038/nmeth.1618, with its yellow darkened for a white ground, and three more; shapes help where two come close."""
MARKERS = "o^sDvPX"
"""Shapes go round with another period than colours, so that no two of 70 classes share both."""
UNLABELLED = "unlabelled"
NAMED_CLASSES = 20
"""Most classes that a legend names; more are coloured by their number."""

Group = tuple[str, str, str, Tensor]
"""(name, colour, marker, mask (N,))."""


def groups_of(labels: Tensor, classes: Sequence[str]) -> list[Group] | None:
    """Every class that occurs in ``labels`` (N,), items without one (-1) first; None where they are too many to name."""
    present = torch.unique(labels).tolist()
    if len([label for label in present if label >= 0]) > NAMED_CLASSES:
        return None
    groups = [(UNLABELLED, "#bbbbbb", "o", labels < 0)] if present[0] < 0 else []
    for i in (label for label in present if label >= 0):
        name = _plain(classes[i], i) if i < len(classes) else str(i)
        groups.append((name, PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)], labels == i))
    return groups


def _plain(name: str, number: int) -> str:
    """A class name as matplotlib can show it: short, no mathematics, no leading underscore (which hides a legend's entry), no missing letters."""
    from matplotlib.font_manager import findfont, get_font

    letters = get_font(findfont("DejaVu Sans"))
    if not name.strip() or not all(letters.get_char_index(ord(letter)) for letter in name):
        return f"class {number}"
    name = name if len(name) <= 28 else f"{name[:27]}…"
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")
