"""The frame of a set of pictures: the one size and the one mode they are all brought to, chosen from what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vaeworks.data.options import LARGEST, SMALLEST, check_size
from vaeworks.data.raw import MODES

__all__ = ["choose_size", "stack"]

_DEFAULT_SIDE = 64
_SAME_ASPECT = 0.02


def choose_size(sizes: Sequence[tuple[int, int]], what: str) -> tuple[tuple[int, int], str]:
    """(height, width) for pictures of these sizes, and why.

    Their common size within 8 .. 256; otherwise a square (or their common aspect) whose longer side is the power of two at or below the median of
    their shorter sides, at most 64. DataError where most are smaller than 8.
    """
    common, count = Counter(sizes).most_common(1)[0]
    if count == len(sizes) and max(common) <= LARGEST:
        check_size(*common, what=f"every picture of {what}")
        return common, "the size they all have"
    heights, widths = np.array(sizes).T
    shorter = float(np.median(np.minimum(heights, widths)))
    if shorter < SMALLEST:
        check_size(int(np.median(heights)), int(np.median(widths)), what=f"the median picture of {what}")
    side = max(SMALLEST, min(_DEFAULT_SIDE, 1 << int(np.log2(max(shorter, 1)))))
    height = width = side
    aspect = widths / heights
    if (np.abs(aspect / np.median(aspect) - 1) < _SAME_ASPECT).all():
        ratio = float(np.median(aspect))
        other = max(SMALLEST, round(side * min(ratio, 1 / ratio) / 8) * 8)
        height, width = (other, side) if ratio > 1 else (side, other)
    smallest = " x ".join(map(str, np.min(sizes, axis=0)))
    found = smallest if count == len(sizes) else f"{smallest} to {' x '.join(map(str, np.max(sizes, axis=0)))}"
    return (height, width), f"resized from {found} and cropped at the centre"


def stack(pictures: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], str]:
    """Pictures (H, W, C), each with 1 to 4 channels, as one (N, C, H, W), and a sentence on its mode.

    Grey unless one is in colour; with alpha where transparency varies, within a picture or between them; alpha that never varies is left out.
    """
    alphas = [p[..., -1] for p in pictures if p.shape[2] in {2, 4}]
    extremes = {int(e(a)) for a in alphas for e in (np.min, np.max)} | ({255} if len(alphas) < len(pictures) else set())
    colours = 3 if any(p.shape[2] >= 3 for p in pictures) else 1
    values = np.empty((len(pictures), colours + (len(extremes) > 1), *pictures[0].shape[:2]), dtype=np.uint8)
    for i, picture in enumerate(pictures):
        transparent = picture.shape[2] in {2, 4}
        values[i, :colours] = picture[..., : picture.shape[2] - transparent].transpose(2, 0, 1)
        if len(extremes) > 1:
            values[i, -1] = picture[..., -1] if transparent else 255
    hue = "in colour" if colours == 3 else "all grey"
    seen = f", {len(alphas)} with transparency" if len(extremes) > 1 else ""
    return values, f"{hue}{seen} (mode {MODES[values.shape[1]]})"
