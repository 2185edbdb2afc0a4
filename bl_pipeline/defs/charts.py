"""Small bar charts as SVG, a kilobyte or two each: every event of Dagster's log keeps its own copy."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

import dagster as dg

WIDTH, HEIGHT = 480, 96
_LEFT, _RIGHT, _TOP, _BOTTOM = 4, 4, 22, 16
_BARS, _TEXT = "#4f7df0", "#808a99"  # to be seen on white and on black


def bars(values: Sequence[int], *, title: str, first: str, last: str) -> str:
    """Bars from the oldest to the latest, as SVG; `first` and `last` say what the ends of the axis are."""
    most = max([*values, 1])
    step = (WIDTH - _LEFT - _RIGHT) / max(len(values), 1)
    floor = HEIGHT - _BOTTOM
    drawn = []
    for position, value in enumerate(values):
        if value > 0:
            height = max(round(value / most * (floor - _TOP)), 1)
            # One path for all: V and H draw a bar in twenty characters.
            drawn.append(f"M{_LEFT + position * step:.1f} {floor}v-{height}h{step * 0.8:.1f}v{height}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="{_TEXT}">'
        f'<path d="{"".join(drawn)}" fill="{_BARS}"/>'
        f'<path d="M0 {floor}.5h{WIDTH}" stroke="{_TEXT}"/>'
        f'<text x="{_LEFT}" y="12">{_escaped(title)}</text>'
        f'<text x="{WIDTH - _RIGHT}" y="12" text-anchor="end">most: {most if any(values) else 0:,}</text>'
        f'<text x="{_LEFT}" y="{HEIGHT - 4}">{_escaped(first)}</text>'
        f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{_escaped(last)}</text>'
        "</svg>"
    )


def shown(svg: str, *, title: str) -> dg.MarkdownMetadataValue:
    """The chart for Dagster's UI, which shows pictures in Markdown where they bring their own data."""
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
