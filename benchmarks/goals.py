"""The goals: what the table shows first, and with which each run is compared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure of a topic, and its bound: at least or at most `bound`; None if it is only stated.

    `form` writes figure and bound, such as "{:.2f} of the limit".
    """

    topic: str
    figure: str
    what: str
    form: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def bound(self) -> str:
        """The goal in words."""
        if self.at_least is not None:
            return f"≥ {self.form.format(self.at_least)}"
        return "stated" if self.at_most is None else f"≤ {self.form.format(self.at_most)}"

    def met(self, value: float) -> bool:
        """Whether the figure is as good as the goal."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


_LIMIT = "{:.2f} of the limit"

_LATENCY = "{:.2f} x calls x latency / in flight"

# One line each, however long: so they are easy to read and to compare.
# ruff: noqa: E501
# fmt: off
GOALS = (
    Goal("load", "rebuild", "landed JSON to merged tables, `bl rebuild` without start-up", _LIMIT, at_least=0.60),
    Goal("load", "rebuild, whole process", "the same, whole process", _LIMIT, at_least=0.60),
    Goal("load", "rebuild, MiB", "its peak memory", "{:,.0f} MiB", at_most=400),
    Goal("load", "merge", "merge of new orders from memory", _LIMIT, at_least=0.85),
    Goal("load", "rewrite", "the same, every row there already and rewritten", _LIMIT, at_least=0.70),
    Goal("load", "normalise, orders/s", "JSON to DataFrames", "{:,.0f} orders/s", at_least=25_000),
    Goal("load", "normalise, x json_normalize", "the same", "{:.1f} x json_normalize", at_least=8),
    Goal("load", "x dlt default", "`bl rebuild` beside dlt's default merge", "{:.1f} x as fast", at_least=10),
    Goal("load", "x dlt tuned", "`bl rebuild` beside dlt tuned: Arrow, CSV, upsert", "{:.1f} x as fast", at_least=4),
    Goal("load", "x pandas.to_sql", "`bl rebuild` beside `pandas.to_sql`", "{:.1f} x as fast", at_least=8),
    Goal("calls", "calls/s", "calls at zero latency, 4 in flight", "{:,.0f} calls/s", at_least=600),
    Goal("calls", "4 in flight", "fetch phase at 100 ms latency, 4 in flight", _LATENCY, at_most=1.05),
    Goal("calls", "32 in flight", "fetch phase at 100 ms latency, 32 in flight", _LATENCY, at_most=1.10),
    Goal("unchanged", "calls", "sync of an unchanged store of 100,000 orders", "{:.0f} calls", at_most=2),
    Goal("unchanged", "seconds", "its listing, comparing and bookkeeping", "{:.2f} s", at_most=2),
    Goal("unchanged", "MiB", "its peak memory", "{:,.0f} MiB", at_most=300),
    Goal("unchanged", "rows written", "rows that it writes, besides the run's own", "{:,.0f}", at_most=0),
    Goal("unchanged", "1 % changed, seconds", "1 % changed of 100,000 orders, compared", "{:.2f} s", at_most=1),
    Goal("start", "sync", "`bl sync` of an unchanged small store, whole process", "{:.2f} x an empty Dagster job", at_most=1.4),
    Goal("start", "help", "`bl --help`", "{:.2f} s", at_most=0.2),
    Goal("start", "status", "`bl status`", "{:.2f} s", at_most=0.5),
    Goal("start", "event rows", "Dagster's event rows of a sync of an unchanged store", "{:.0f}", at_most=150),
    Goal("growth", "largest / smallest", "time per changed order in the largest store", "{:.2f} x that in the smallest", at_most=1.2),
    Goal("reports", "current after, seconds", "reports current after a sync that changed 100 orders", "{:.1f} s", at_most=5),
    Goal("reports", "slowest read, seconds", "the slowest report", "{:.2f} s", at_most=1),
    Goal("memory", "MiB", "`bl up` at rest: desk, Dagster UI, daemon, code server, Postgres", "{:,.0f} MiB"),
)
# fmt: on
