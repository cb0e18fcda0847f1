# SPDX-License-Identifier: MIT
"""Draws the medians as bars, one panel a case, as an SVG file; no library needed."""

import math
from collections.abc import Sequence
from html import escape

from .cases import Case
from .measure import Row
from .report import HEADINGS, shown

WIDTH, LABEL, BAR, GAP, PANEL = 760, 100, 16, 5, 46
COLOURS = {"millpond": "#1f6f8b", "floor": "#b9c4c9"}
OTHER = "#c58b4e"


def _length(value: float, low: float, high: float, is_log: bool) -> float:
    """The bar's share of the room, 0 to 1."""
    if not is_log:
        return value / high
    span = math.log(high / low) or 1.0
    return 0.05 + 0.95 * math.log(value / low) / span


def _bar(row: Row, metric: str, value: float, share: float, top: float) -> str:
    length = share * (WIDTH - LABEL - 90)
    colour = COLOURS.get(row.server, OTHER)
    middle = top + BAR - 4
    return (
        f'<text x="{LABEL - 8}" y="{middle}" text-anchor="end">{escape(row.server)}</text>'
        f'<rect x="{LABEL}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
        f'<text x="{LABEL + length + 6:.1f}" y="{middle}">{shown(metric, value)}</text>'
    )


def _panel(case: Case, rows: Sequence[Row], top: float) -> tuple[str, float]:
    """The panel's elements, and its height."""
    measured = [(row, row.medians().get(case.chart)) for row in rows]
    bars = [(row, value) for row, value in measured if value is not None and value > 0]
    if not bars:
        return "", 0.0
    low = min(value for _, value in bars)
    high = max(value for _, value in bars)
    is_log = high / low > 30
    unit = HEADINGS.get(case.chart, case.chart) + (", logarithmic" if is_log else "")
    unit += ", more is better" if case.chart == "rps" else ", less is better"
    parts = [
        f'<text x="8" y="{top + 16}" font-weight="bold">{escape(case.title)}</text>',
        f'<text x="8" y="{top + 32}" fill="#555">{escape(unit)}</text>',
    ]
    for number, (row, value) in enumerate(bars):
        bar_top = top + PANEL - 6 + number * (BAR + GAP)
        parts.append(_bar(row, case.chart, value, _length(value, low, high, is_log), bar_top))
    return "".join(parts), PANEL + len(bars) * (BAR + GAP) + 14


def svg(results: Sequence[tuple[Case, Sequence[Row]]]) -> str:
    """The whole chart."""
    parts: list[str] = []
    top = 8.0
    for case, rows in results:
        part, height = _panel(case, rows, top)
        parts.append(part)
        top += height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top:.0f}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )
