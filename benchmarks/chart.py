"""Charts as SVG, with nothing but text: bars, and lines over a logarithmic axis. Must not know what is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

COLOURS = ("#3b6ea5", "#b5541c", "#3f8f4f", "#8a4fa3", "#a38a00", "#b03060", "#4b8f8c", "#666666")
LIGHT = "#a9c3de"


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="13" role="img" aria-label="{title}">'
    )
    body = [
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="8" y="20" font-weight="bold">{title}</text>',
    ]
    return "\n".join([head, *body, *parts, "</svg>", ""])


def bars(title: str, rows: Sequence[tuple[str, float, float]]) -> str:
    """A bar for each row: a name, its value, and what comes on top of it."""
    most = max((value + more for _, value, more in rows), default=0.0) or 1.0
    parts = []
    for at, (name, value, more) in enumerate(rows):
        y, width, light = 34 + 28 * at, value / most * 420, more / most * 420
        parts.append(f'<text x="8" y="{y + 15}">{name}</text>')
        parts.append(f'<rect x="200" y="{y}" width="{width:.0f}" height="20" fill="{COLOURS[0]}"/>')
        parts.append(f'<rect x="{200 + width:.0f}" y="{y}" width="{light:.0f}" height="20" fill="{LIGHT}"/>')
        told = f"{value:.0f}" + (f" + {more:.0f}" if more > 0.5 else "")
        parts.append(f'<text x="{206 + width + light:.0f}" y="{y + 15}">{told}</text>')
    return _svg(720, 44 + 28 * len(rows), title, parts)


def lines(title: str, series: Mapping[str, Mapping[float, float]]) -> str:
    """A line for each series over its numbers (logarithmic from 1), all from zero upwards."""
    points = [(x, y) for each in series.values() for x, y in each.items()]
    widest = max((math.log10(max(x, 1)) for x, _ in points), default=1.0) or 1.0
    most = max((y for _, y in points), default=1.0) or 1.0
    across = lambda x: 60 + math.log10(max(x, 1)) / widest * 420  # noqa: E731
    up = lambda y: 340 - y / most * 290  # noqa: E731
    parts = ['<path d="M60 50V340H480" fill="none" stroke="#888"/>']
    parts += [f'<text x="{across(10**each):.0f}" y="358">1e{each}</text>' for each in range(int(widest) + 1)]
    parts += [f'<text x="8" y="{up(y) + 4:.0f}">{y:,.0f}</text>' for y in (0, most / 2, most)]
    for at, (name, each) in enumerate(series.items()):
        colour = COLOURS[at % len(COLOURS)]
        path = " ".join(f"{across(x):.0f},{up(y):.0f}" for x, y in each.items())
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="500" y="{60 + 20 * at}" fill="{colour}">{name}</text>')
    return _svg(760, 372, title, parts)
