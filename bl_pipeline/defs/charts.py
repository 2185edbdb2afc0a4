"""Bar charts as SVG, small enough to be shown at once in Dagster's UI, which hides longer Markdown behind a click."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

import dagster as dg

WIDTH, HEIGHT = 480, 64
_STEPS = 20  # heights that a bar can have
_BARS, _AXIS = "#4f7df0", "#808a99"  # visible on white and on black


def bars(values: Sequence[int]) -> str:
    """Bars from the oldest to the latest, as SVG; the highest fills the height, and what is not 0 is seen."""
    most = max([*values, 1])
    step = WIDTH / max(len(values), 1)
    floor = HEIGHT - 1
    # In units of bars and steps, which the matrix makes pixels: that is short, and the event's log keeps every copy.
    drawn = "".join(
        f"M{position} 0v{max(round(value / most * _STEPS), 1)}" for position, value in enumerate(values) if value > 0
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'
        f'<path d="M0 {floor}.5h{WIDTH}" stroke="{_AXIS}"/>'
        f'<path transform="matrix({step:g} 0 0 -{floor / _STEPS:g} {step / 2:g} {floor})" d="{drawn}" '
        f'stroke="{_BARS}" stroke-width=".8"/></svg>'
    )


def chart(values: Sequence[int], *, name: str, text: str) -> dg.MarkdownMetadataValue:
    """Bars below a line of text."""
    picture = b64encode(bars(values).encode()).decode()
    return dg.MetadataValue.md(f"{text}\n\n![{name}](data:image/svg+xml;base64,{picture})")
