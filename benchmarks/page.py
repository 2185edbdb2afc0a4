"""Where results go: the table in the terminal, docs/performance.json, and the generated part of docs/performance.md.

python -m benchmarks.page      # the page again from docs/performance.json
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table as Shown

from benchmarks.frame import Bars, Lines, Result
from benchmarks.goals import GOALS, Goal
from benchmarks.plots import draw
from benchmarks.processes import PROJECT

DOCS = PROJECT / "docs"
RESULTS = DOCS / "performance.json"
PAGE = DOCS / "performance.md"
BEGIN = '<!-- From here on written by make bench BENCH="--write": change nothing by hand. -->'


_QUIET = 1.0
"""The load average of a machine on which nothing else runs."""


@dataclass(frozen=True)
class Measured:
    """What one topic has found, and when, where and of what.

    `most_orders` is the limit of the stores' sizes, None if they had the sizes of the goals. `load_before` is
    the load average of the machine before it.
    """

    date: str
    revision: str
    machine: dict[str, str]
    load_before: float
    seconds: int
    rounds: int
    most_orders: int | None
    result: Result


def read() -> dict[str, Measured]:
    """The results that are kept."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=dict[str, Measured]) if RESULTS.exists() else {}


def show(measured: Mapping[str, Measured]) -> None:
    """One table in the terminal."""
    shown = Shown("", "goal", "measured", "", title=_plain(" · ".join(_origins(measured))), title_justify="left")
    for goal, value in _figures(measured):
        shown.add_row(*map(_plain, _row(goal, value)))
    console = Console(width=None if sys.stdout.isatty() else 130)
    for table in (table for topic in measured.values() for table in topic.result.tables):
        details = Shown(*map(_plain, table.columns), title=_plain(table.title), title_justify="left")
        for row in table.rows:
            details.add_row(*map(_plain, row))
        console.print(details)
    console.print(shown)


def write(measured: Mapping[str, Measured]) -> None:
    """Keep the results, and write plots and page from them."""
    measured = {topic: measured[topic] for topic in dict.fromkeys(goal.topic for goal in GOALS) if topic in measured}
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n")
    for topic in measured.values():
        for plot in _plots(topic):
            draw(plot, _picture(plot.name))
    PAGE.write_text(PAGE.read_text().partition(BEGIN)[0] + BEGIN + "\n\n" + generated(measured))


def generated(measured: Mapping[str, Measured]) -> str:
    """The part of the page that is made from the results."""
    parts = ["## The goals", _markdown(("what", "goal", "measured", ""), [_row(*each) for each in _figures(measured)])]
    for name, topic in measured.items():
        parts += [f"## Figures: {name}", _origin(topic)]
        for table in topic.result.tables:
            parts += [f"**{table.title}**", _markdown(table.columns, table.rows)]
        parts += [f"![{plot.title}]({_picture(plot.name).relative_to(DOCS)})" for plot in _plots(topic)]
    parts += ["## The machine", *(_machine(described) for described in _machines(measured))]
    return "\n\n".join(parts) + "\n"


def _plots(topic: Measured) -> list[Bars | Lines]:
    return [*topic.result.bars, *topic.result.lines]


def _figures(measured: Mapping[str, Measured]) -> Iterator[tuple[Goal, float]]:
    for goal in GOALS:
        if goal.topic in measured:
            yield goal, measured[goal.topic].result.figures[goal.figure]


def _row(goal: Goal, value: float) -> tuple[str, str, str, str]:
    verdict = "" if goal.bound == "stated" else "met" if goal.met(value) else "**not met**"
    return goal.what, goal.bound, goal.form.format(value), verdict


def _origin(topic: Measured) -> str:
    size = "" if topic.most_orders is None else f", stores of {topic.most_orders:,} orders at most"
    busy = f"Processes that ran or waited on the machine before it: {topic.load_before}."
    if topic.load_before > _QUIET:
        busy += " **It was busy: times are longer than on a quiet one, and ratios less certain.**"
    return f"Measured on {topic.date} at {topic.revision}, rounds: {topic.rounds}{size}, in {topic.seconds:,} s. {busy}"


def _origins(measured: Mapping[str, Measured]) -> list[str]:
    machines = [f"{one['processor']}, {one['memory']}, Python {one['Python']}" for one in _machines(measured)]
    return [*machines, *dict.fromkeys(f"{topic.revision}" for topic in measured.values())]


def _machines(measured: Mapping[str, Measured]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for topic in measured.values():
        if topic.machine not in found:
            found.append(topic.machine)
    return found


def _machine(described: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in described.items())


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _picture(name: str) -> Path:
    return DOCS / "images" / f"performance-{name}.png"


def _plain(text: str) -> str:
    return text.replace("`", "").replace("**", "")


if __name__ == "__main__":
    write(read())
