"""What every topic gets and gives: sizes, rounds and a server; figures, tables and plots.

A topic is a module with a docstring and one function, `measure(bench) -> Result`. Ways that are compared are run one
after the other, round by round, and the figure is the median of the rounds: a noisy moment then meets all of them, or
none.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import orders
from benchmarks.orders import Sums
from benchmarks.server import Server

Figures = Mapping[str, float]
"""Values by name; goals.py and the tables name their units."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page, its cells written out."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Bars:
    """A plot of one value for each way."""

    name: str
    title: str
    unit: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Lines:
    """A plot of values over a size, on a logarithmic axis: what was measured, then what is fitted to it."""

    name: str
    title: str
    x: str
    y: str
    points: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Result:
    """What a topic has found: `figures` are compared with the goals, the rest is shown."""

    figures: Figures
    tables: Sequence[Table] = ()
    bars: Sequence[Bars] = ()
    lines: Sequence[Lines] = ()


@dataclass
class Bench:
    """One run of a topic. `orders` is how many orders the user asked for, None for the size that the goal names."""

    server: Server
    rounds: int
    orders: int | None = None
    _stores: dict[int, tuple[Path, Sums]] = field(default_factory=dict)

    def size(self, full: int) -> int:
        """How many orders: `full`, or what the user asked for if that is less."""
        return full if self.orders is None else min(full, self.orders)

    def store(self, size: int) -> tuple[Path, Sums]:
        """The file of a store of so many orders, and its sums; made once."""
        if size not in self._stores:
            path = self.server.folder / f"orders-{size}.tsv"
            self.say(f"making a store of {size:,} orders")
            self._stores[size] = (path, orders.make(path, size))
        return self._stores[size]

    def compare(
        self, ways: Mapping[str, Callable[[], Figures]], *, times: int = 1
    ) -> dict[str, dict[str, list[float]]]:
        """Run all ways so many rounds; by way, the values of each of its figures, one a round.

        `times` as many rounds if the ways are short: a single run then says little.
        """
        found: dict[str, dict[str, list[float]]] = {name: {} for name in ways}
        rounds = times * self.rounds
        for number in range(1, rounds + 1):
            for name, way in ways.items():
                self.server.settle()
                started = time.perf_counter()
                figures = way()
                self.say(f"round {number} of {rounds}: {name}, {time.perf_counter() - started:,.1f} s")
                for figure, value in figures.items():
                    found[name].setdefault(figure, []).append(value)
        return found

    @staticmethod
    def say(what: str) -> None:
        """Tell whoever waits how far it is."""
        sys.stderr.write(f"  {what}\n")


@contextmanager
def timed() -> Iterator[list[float]]:
    """The seconds of the block, in the list once it has ended."""
    seconds: list[float] = []
    started = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - started)


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """Round by round `of` / `to`."""
    return [one / other for one, other in zip(of, to, strict=True)]


def spread(values: Sequence[float], form: str = ",.2f") -> str:
    """The median, and the least and most of the rounds."""
    if len(values) == 1:
        return f"{values[0]:{form}}"
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"
