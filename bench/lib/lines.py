# SPDX-License-Identifier: MIT
"""Draws numbers over time as lines, panels below each other, as an SVG file; no library needed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, LEFT, RIGHT, HEIGHT, HEAD, FOOT = 760, 56, 16, 110, 40, 22
COLOURS = ("#1f6f8b", "#c58b4e", "#6b8f3c", "#8b3f6f")


@dataclass(frozen=True)
class Line:
    """One line: its name, and its points."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One chart: lines over the same time."""

    title: str
    unit: str
    lines: Sequence[Line] = field(default_factory=list)


def _round_up(value: float) -> float:
    """The next number that is good to read: 1, 2 or 5 times a power of ten."""
    scale = 1.0
    while scale * 10 < value:
        scale *= 10
    while scale > value > 0:
        scale /= 10
    return next((scale * step for step in (1, 2, 5) if scale * step >= value), scale * 10)


def _axes(top: float, high: float, end: float) -> str:
    bottom = top + HEIGHT
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * HEIGHT
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{high * share:g}</text>'
        )
    for number in range(6):
        x = LEFT + number / 5 * (WIDTH - LEFT - RIGHT)
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 15:.1f}" text-anchor="middle" fill="#555">'
            f"{end * number / 5:.1f} s</text>"
        )
    return "".join(parts)


def _panel(panel: Panel, top: float, end: float) -> str:
    high = _round_up(max((y for line in panel.lines for _, y in line.points), default=1.0))
    parts = [
        f'<text x="8" y="{top + 16}" font-weight="bold">{escape(panel.title)}</text>',
        f'<text x="8" y="{top + 31}" fill="#555">{escape(panel.unit)}</text>',
        _axes(top + HEAD, high, end),
    ]
    for number, line in enumerate(panel.lines):
        colour = COLOURS[number % len(COLOURS)]
        places = " ".join(
            f"{LEFT + x / end * (WIDTH - LEFT - RIGHT):.1f},"
            f"{top + HEAD + HEIGHT - y / high * HEIGHT:.1f}"
            for x, y in line.points
        )
        name_at = WIDTH - RIGHT - 90 * (len(panel.lines) - number)
        parts.append(
            f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
            f'<text x="{name_at}" y="{top + 31}" fill="{colour}">{escape(line.name)}</text>'
        )
    return "".join(parts)


def svg(panels: Sequence[Panel]) -> str:
    """The whole chart; all panels have one time axis."""
    end = max((x for panel in panels for line in panel.lines for x, _ in line.points), default=1.0)
    each = HEAD + HEIGHT + FOOT + 12
    parts = [_panel(panel, 8 + number * each, end) for number, panel in enumerate(panels)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{8 + len(panels) * each}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )
