"""The reports as written in sql/: one SELECT a file, under a header that says what it answers.

    -- Title
    --
    -- Free text, if the report needs some.
    --
    -- Question: What does it answer?
    -- Group: the heading of the list of reports under which it is found
    -- Grain: columns that identify a row
    -- Columns:
    --   name [unit]: meaning, one line for each column of the SELECT, in its order; "deprecated: ..." if it will go
    -- Caveats:
    --   What a reader could misunderstand, a paragraph each; its further lines are indented more.
    -- Period: the column that --from and --to are about, "adds up" if amounts may be added over it
    -- Basis: the basis that is shown if none is asked for; order_date, if there is a column basis and no such line
    -- Chart: amount over|by column [split column [without value, value]]; "by", if amounts may be added, is a ranking:
    --   one row for the whole period, without its column. For rows of each month: over month split COLUMN

Units: UTC (a moment), date, currency (money in the row's `currency`), % and words such as orders or hours.
Group, Period, Basis and Chart are left out if they do not apply.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from bl_pipeline.project import PROJECT

FOLDER = PROJECT / "sql"
SCHEMA = "reports"
STORE_SCHEMA = "store_reports"
"""The schema with the same reports for roles that see the rows of their own stores only."""
MONEY = "currency"
DAY, TIME, PERCENT = "date", "UTC", "%"
_FIELD = re.compile(r"(Question|Group|Grain|Columns|Caveats|Period|Basis|Chart):\s*(.*)")
_COLUMN = re.compile(r"(\w+)(?: \[(.+?)\])?: (.+)")
_CHART = re.compile(r"(\w+) (over|by) (\w+)(?: split (\w+)(?: without (.+))?)?")
_READ = re.compile(r"\b(?:FROM|JOIN)\s+(reports|sales|sync|books)\.(\w+)")

GROUPS = (
    "Revenue over time",
    "Buyers and countries",
    "Items sold",
    "Tax, credits and cancellations",
    "Books",
    "Work on orders",
    "To check",
    "Single orders and lots",
)
"""The headings of the list of reports, in its order; those of a seller's own reports come after them."""

BASES = ("order_date", "paid_date", "shipped_date", "tax_point")
"""The values of the column basis: which date counts."""

_NO_GROUP = "Others"

_KEPT = frozenset(
    {
        ("sales", "known_orders"), ("sales", "known_items"), ("sales", "known_states"), ("sync", "stores"),
        ("sync", "buyer_salt"), ("sync", "writes"), ("books", "tax_settings"), ("books", "tax_rates"),
    }
)  # fmt: skip
"""Relations that say what was known at any moment, or always the same of an order, and settings, which are today's."""


class ReportFileError(ValueError):
    """A file in sql/ is not written as it has to be; the message names it."""


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """A column of a report. `unit` is None for what is no quantity: names, keys, codes."""

    name: str
    unit: str | None
    text: str

    @property
    def is_amount(self) -> bool:
        """Whether it is a number of something."""
        return self.unit not in (None, DAY, TIME, PERCENT)

    @property
    def is_money(self) -> bool:
        """Whether it is an amount in the row's currency."""
        return self.unit == MONEY

    @property
    def is_deprecated(self) -> bool:
        """Whether it is an old name, kept for those who read it: tables for people do not show it."""
        return self.text.startswith("deprecated: ")

    @property
    def comment(self) -> str:
        """Meaning and unit in a line."""
        unit = "in currency" if self.is_money else self.unit
        return f"{self.text} [{unit}]" if unit else self.text


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """What a report's picture shows: `amount` over time, or by something, the largest first.

    Bars are split by the values of `split`, of which those in `without` are left out.
    """

    amount: str
    over_time: bool
    along: str
    split: str | None
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """One report. `reads` are the relations its SELECT reads, as (schema, name).

    `adds_up`: amounts may be added over the period. `basis` is shown if none is asked for; None if it has no bases.
    """

    name: str
    title: str
    text: str
    question: str
    group: str
    grain: tuple[str, ...]
    columns: tuple[ReportColumn, ...]
    caveats: tuple[str, ...]
    period: str | None
    adds_up: bool
    basis: str | None
    chart: ChartSpec | None
    sql: str
    reads: tuple[tuple[str, str], ...]

    def column(self, name: str) -> ReportColumn:
        """The column of this name; KeyError if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def comment_of(self, column: ReportColumn) -> str:
        """A column's comment in Postgres, which BI tools show; with a warning if each basis has the amount."""
        once_a_basis = self.has("basis") and column.is_amount
        return f"{column.comment}; filter on one basis before adding up" if once_a_basis else column.comment

    def has(self, name: str) -> bool:
        """Whether there is a column of this name."""
        return any(column.name == name for column in self.columns)

    @property
    def is_ranking(self) -> bool:
        """Whether its rows are added up over the period: its chart is by something, and not over time."""
        return self.adds_up and self.chart is not None and not self.chart.over_time

    @property
    def description(self) -> str:
        """All of the header but the columns, for a view's comment and Dagster's catalogue."""
        parts = [self.title + ".", self.text, self.question, f"One row for each {', '.join(self.grain)}."]
        return "\n\n".join([*filter(None, parts), *self.caveats])


def digest(reports: tuple[Report, ...]) -> str:
    """A digest of all files of sql/: it differs if any of them has changed."""
    return blake2b("\0".join(repr(report) for report in reports).encode(), digest_size=16).hexdigest()


def grouped(reports: Collection[Report]) -> list[tuple[str, list[Report]]]:
    """The reports under the headings of their list, by name under each."""
    order = {group: place for place, group in enumerate(GROUPS)}
    places = {report.name: (order.get(report.group, len(order)), report.group) for report in reports}
    ordered = sorted(reports, key=lambda report: (places[report.name], report.name))
    return [(group, list(members)) for group, members in groupby(ordered, key=attrgetter("group"))]


def reports_as_of(reports: Collection[Report]) -> list[Report]:
    """Those of the reports that can be asked for as of a moment: what they read, directly or not, is kept as it was."""
    known: set[str] = set()
    found = []
    for report in reports:  # each after those it reads
        if all(name in known if schema == SCHEMA else (schema, name) in _KEPT for schema, name in report.reads):
            known.add(report.name)
            found.append(report)
    return found


@cache
def read_reports(folder: Path = FOLDER) -> tuple[Report, ...]:
    """Every report of the folder, each after those it reads.

    Raises ReportFileError.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.sql"))}
    if not files:
        raise ReportFileError(f"there are no reports in {folder}")
    reports = {name: parse_report(name, path.read_text(encoding="utf-8")) for name, path in files.items()}
    order = TopologicalSorter(
        {report.name: [name for schema, name in report.reads if schema == SCHEMA] for report in reports.values()}
    )
    return tuple(reports[name] for name in order.static_order())


def parse_report(name: str, source: str) -> Report:
    """A report from its file's text. Raises ReportFileError."""
    lines = source.splitlines()
    length = next((number for number, line in enumerate(lines) if not line.startswith("--")), len(lines))
    fields = _read_header([line.removeprefix("--").removeprefix(" ") for line in lines[:length]])
    sql = "\n".join(lines[length:]).strip()
    try:
        title, *text = fields[""]
        columns = [_COLUMN.fullmatch(line) for line in fields["Columns"]]
        period, _, adds_up = "".join(fields.get("Period", [])).partition(", ")
        grain = tuple("".join(fields["Grain"]).split(", "))
        report = Report(
            name=name,
            title=title,
            text=" ".join(text),
            question=" ".join(fields["Question"]),
            group=" ".join(fields.get("Group", [_NO_GROUP])),
            grain=grain,
            columns=tuple(ReportColumn(*column.groups()) for column in columns if column),
            caveats=tuple(fields["Caveats"]),
            period=period or None,
            adds_up=adds_up == "adds up",
            basis=_basis("".join(fields.get("Basis", BASES[:1]))) if "basis" in grain else None,
            chart=_chart(fields["Chart"][0]) if "Chart" in fields else None,
            sql=sql,
            reads=tuple(dict.fromkeys(_READ.findall(sql))),
        )
    except (KeyError, ValueError) as error:
        raise ReportFileError(f"sql/{name}.sql: its header lacks {error}") from None
    named = {column.name for column in report.columns}
    chart = [report.chart.amount, report.chart.along, report.chart.split or grain[0]] if report.chart else []
    unknown = {*grain, *chart, period or grain[0]} - named
    if unknown or not all(columns) or not sql or sql.endswith(";"):
        raise ReportFileError(f"sql/{name}.sql: check its columns, {', '.join(sorted(unknown)) or 'and its SELECT'}")
    return report


def _read_header(lines: list[str]) -> dict[str, list[str]]:
    """The header's paragraphs by field; what comes before the first field is under ""."""
    fields: dict[str, list[str]] = {"": []}
    current = fields[""]
    indent = 0
    for line in filter(str.strip, lines):
        if found := _FIELD.fullmatch(line):
            current = fields.setdefault(found[1], [])
            if found[2]:
                current.append(found[2])
            indent = 0
            continue
        depth = len(line) - len(line.lstrip())
        if current and indent and depth > indent:
            current[-1] += f" {line.strip()}"
        else:
            current.append(line.strip())
            indent = depth
    return fields


def _basis(written: str) -> str:
    if written not in BASES:
        raise ValueError(f"a Basis of {', '.join(BASES)}: {written}")
    return written


def _chart(line: str) -> ChartSpec:
    found = _CHART.fullmatch(line)
    if found is None:
        raise ValueError(f"a readable Chart: {line}")
    without = tuple(found[5].split(", ")) if found[5] else ()
    return ChartSpec(found[1], found[2] == "over", found[3], found[4], without)
