"""Charts as inline SVG, drawn in CSS variables so that they follow the page's light or dark colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["bars", "curves", "ticks"]

WIDTH, HEIGHT = 320, 210
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 10, 40
MOST_DOTS = 60
"""Longest line that marks its points, each of which tells its value when pointed at."""
Points = Sequence[tuple[float, float]]


def curves(series: Mapping[str, Points], *, label: str, x_label: str, best: float | None = None) -> str:
    """Lines of (x, y) by name over common axes; ``best`` is marked by a vertical line. Empty where nothing finite is to be drawn.

    The last series lies on top and is the boldest. Values far below all of the later nine tenths of training are left out, and the chart says so.
    """
    series = {name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in series.items()}
    series = {name: points for name, points in series.items() if points}
    if not series:
        return ""
    xs = [x for points in series.values() for x, _ in points]
    low, high, clipped = _limits(series)
    frame = _Frame(min(xs), max(xs), low, high)
    parts = [frame.axes(x_label)]
    if best is not None:
        at = frame.x(best)
        parts.append(f'<line class="best" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        beside = (at - 5, "end") if at > WIDTH / 2 else (at + 5, "start")
        parts.append(_text(beside[0], HEIGHT - BOTTOM - 6, f"best: {best:,.0f}", beside[1], "best-label"))
    for i, (name, points) in enumerate(series.items(), start=3 - len(series)):
        inside = [(x, y) for x, y in points if low <= y <= high]
        path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in inside)
        parts.append(f'<polyline class="line{i}" points="{path}"/>')
        for x, y in inside if len(inside) <= MOST_DOTS else ():
            told = escape(f"{name}, {x_label} {x:,.0f}: {y:,.2f}")
            parts.append(f'<circle class="dot{i}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="2.5"><title>{told}</title></circle>')
    legend = "".join(f'<li><span class="key key{i}"></span>{escape(name)}</li>' for i, name in enumerate(series, start=3 - len(series)))
    left_out = f'<li class="quiet">{clipped} early value{"s" * (clipped > 1)} outside the chart</li>' if clipped else ""
    return f'{_svg("".join(parts), label)}<ul class="legend">{legend}{left_out}</ul>'


def bars(values: Sequence[float], *, label: str, x_label: str, names: Sequence[str] = ()) -> str:
    """One bar per value, in the given order; each tells its value, and its name, when pointed at. Empty where there are none."""
    told = [(v, names[i] if names else "") for i, v in enumerate(values) if math.isfinite(v)]
    if not told:
        return ""
    values = [v for v, _ in told]
    frame = _Frame(0, len(values), min(0.0, *values), max(values) * 1.05 or 1.0)
    width = (WIDTH - LEFT - RIGHT) / len(values)
    gap = min(4.0, width * 0.2)
    parts = [frame.axes(x_label, numbers=False)]
    for i, (value, name) in enumerate(told):
        top, bottom = sorted((frame.y(value), frame.y(0)))
        box = f'x="{frame.x(i) + gap / 2:.2f}" y="{top:.2f}" width="{width - gap:.2f}" height="{bottom - top:.2f}"'
        parts.append(f'<rect class="bar" {box}><title>{escape(f"{name}: " * bool(name))}{value:.4g}</title></rect>')
    return _svg("".join(parts), label)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``.

    >>> ticks(0, 660)
    [0.0, 200.0, 400.0, 600.0]
    """
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= count)
    return [round(i * step, 12) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _limits(series: Mapping[str, Points]) -> tuple[float, float, int]:
    """The lowest and highest y shown, with a margin, and how many values that leaves out."""
    values = [y for points in series.values() for _, y in points]
    late = [y for points in series.values() for _, y in points[len(points) // 10 :]]
    low, high = min(late), max(late)
    reach = 2 * (high - low) + 1e-9
    low, high = min([y for y in values if y >= low - reach]), max([y for y in values if y <= high + reach])
    margin = 0.05 * (high - low) or max(0.01, 0.01 * abs(high))
    return low - margin, high + margin, sum(not low <= y <= high for y in values)


class _Frame:
    """Axes that turn values into positions on the drawing."""

    def __init__(self, x_low: float, x_high: float, y_low: float, y_high: float):
        self.x_range, self.y_range = (x_low, x_high), (y_low, y_high)

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (WIDTH - LEFT - RIGHT) * ((value - low) / (high - low) if high > low else 0.5)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    def axes(self, x_label: str, numbers: bool = True) -> str:
        """Horizontal rules with their values, and the x axis; ``numbers`` False leaves out the numbers along x."""
        parts = []
        for value in ticks(*self.y_range):
            y = self.y(value)
            parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(_text(LEFT - 6, y + 4, _number(value), "end"))
        if numbers:
            parts.extend(_text(self.x(value), HEIGHT - BOTTOM + 16, _number(value)) for value in ticks(*self.x_range, 4))
        return "".join([*parts, _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label)])


def _number(value: float) -> str:
    if abs(value) >= 1e5:
        return f"{value / 1e6:g}M" if abs(value) >= 1e6 else f"{value / 1e3:g}k"
    return f"{value:g}"


def _text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(body: str, label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{body}</svg>'
