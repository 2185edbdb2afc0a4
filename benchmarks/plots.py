"""The plots of results, as PNG."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.frame import Bars, Lines

_COLOUR = "#1f6feb"
_STYLES = ("o", "--")
"""What was measured, and what is fitted to it."""


def draw(plot: Bars | Lines, path: Path) -> None:
    """Draw a plot into a file."""
    figure = Figure(
        figsize=(8, 0.5 * len(plot.values) + 1.2) if isinstance(plot, Bars) else (8, 4.5), layout="constrained"
    )
    axes = figure.subplots()
    axes.set_title(plot.title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if isinstance(plot, Bars):
        names = [name.replace("`", "") for name in plot.values]
        bars = axes.barh(names, list(plot.values.values()), color=_COLOUR)
        axes.invert_yaxis()
        axes.bar_label(
            bars, [f"{value:,.0f}" if value >= 10 else f"{value:.2f}" for value in plot.values.values()], padding=4
        )
        axes.margins(x=0.1)
        axes.set_xlabel(plot.unit)
    else:
        for style, (name, points) in zip(_STYLES, plot.points.items(), strict=False):
            axes.plot(*zip(*points, strict=True), style, color=_COLOUR, label=name)
        axes.set(xscale="log", xlabel=plot.x, ylabel=plot.y)
        axes.set_ylim(bottom=0)
        axes.legend()
    figure.savefig(path, dpi=100, metadata={"Software": None})
