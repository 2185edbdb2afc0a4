"""Charts of reports, as PNG: for `bl report --png`, and small ones for Dagster's UI.

Over time: bars, stacked if the report splits its amount; of hours, lines. By something: the largest, each with
its amount. Currencies are never added together, so money gets a panel for each of the currencies with most orders.
"""

from __future__ import annotations

import io
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import cycle, pairwise
from textwrap import fill
from threading import Lock
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from bl_pipeline.reports.labels import ITEMS, NOT_KNOWN, WHY_ITEMS_ARE_NOT_KNOWN, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bl_pipeline.reports.files import ChartSpec, ReportColumn
    from bl_pipeline.reports.reading import ReportRows

HOURS = "hours"
PANELS = 3
BARS, SMALL_BARS = 10, 6
LONG_LABEL = 16
LEGEND = 7
MONTHS_LABELLED = 18
SMALL_COLOURS = 24
FEWEST_YEARS, FEWEST_MONTHS = 5, 12
SIGNS_OF_TITLE = 68
SIGNS_ACROSS = 120
"""Characters of small text that fit across a picture."""

INK, QUIET, LINES, OTHERS = "#1f2933", "#6b7785", "#e4e8ec", "#b4bcc6"
# Colours that colour-blind people can distinguish, too (Okabe and Ito).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a800", "#7f7f7f", "#333333")

# Parts in the order of an order's life, each with its own colour; others follow by name.
STATUSES = ("pending", "processing", "shipped", "completed", "on hold", "problem", "cancelled")
GREY = {"not seen", NOT_KNOWN, "unknown", "no address"}

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "axes.edgecolor": QUIET,
    "axes.labelcolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": LINES,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "ytick.left": False,
    "legend.frameon": False,
    "legend.fontsize": "small",
}

DRAWING = Lock()
"""Matplotlib is for one thread at a time."""


@dataclass(frozen=True)
class Panel:
    """What one panel shows: an amount by place on the axis and part of the bar. `orders` is of how many."""

    name: str
    values: dict[Any, dict[str, Decimal]]
    orders: int


def can_draw(rows: ReportRows) -> bool:
    """Whether the report has a chart, and something to show in it."""
    return bool(panels(rows))


def draw(rows: ReportRows, *, small: bool = False) -> bytes:
    """The report's chart as PNG; `small` for a picture of a few kB.

    Of several bases the first is drawn. Raises ValueError if there is nothing to draw.
    """
    import matplotlib as mpl  # noqa: PLC0415  (takes half a second)
    from matplotlib.figure import Figure  # noqa: PLC0415

    spec, found = rows.report.chart, panels(rows)
    if spec is None or not found:
        raise ValueError(f"{rows.report.name}: nothing to draw")
    shown = found[:PANELS]
    amount = rows.report.column(spec.amount)
    most = SMALL_BARS if small else BARS
    stacked = spec.over_time or any(len(place) > LONG_LABEL for panel in shown for place in panel.values)
    if small and stacked and not spec.over_time:
        shown = found[:1]
    size = (7.0 if small else 9.0, _height(spec, shown, most, small=small, stacked=stacked))
    with DRAWING, mpl.rc_context(_STYLE | {"font.size": 9 if small else 10}), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; that needs no warning.
        warnings.simplefilter("ignore")
        figure = Figure(figsize=size, dpi=80 if small else 130, layout="constrained")
        figure.suptitle(
            fill(title(rows), SIGNS_OF_TITLE), x=0.01, ha="left", weight="bold", size="large" if small else "x-large"
        )
        rest = [panel.name for panel in found[len(shown) :]]
        left_out = f" · not shown: {', '.join(rest)}" if rest else ""
        figure.supxlabel(caption(rows, amount) + left_out, x=0.01, ha="left", size="small", color=QUIET)
        grid = figure.subplots(
            len(shown) if stacked else 1, 1 if stacked else len(shown), squeeze=False, sharex=spec.over_time
        )
        parts = _parts(shown)
        for ax, panel in zip(grid.flat, shown, strict=True):
            if spec.over_time:
                _over_time(ax, panel, parts, amount)
            else:
                _ranking(ax, panel, parts, amount, most, whole=stacked or len(shown) < PANELS)
            ax.set_title(panel.name)
        if spec.over_time:
            _label_time(grid.flat[-1], [place for panel in shown for place in panel.values])
        if spec.split:
            grid.flat[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=LEGEND, borderpad=0, handlelength=1)
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
    return _with_few_colours(picture.getvalue()) if small else picture.getvalue()


def _with_few_colours(png: bytes) -> bytes:
    from PIL import Image  # noqa: PLC0415

    smaller = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(SMALL_COLOURS).save(smaller, format="png", optimize=True)
    return smaller.getvalue()


def panels(rows: ReportRows) -> list[Panel]:
    """What is to be drawn: a panel for each currency if it is money, the one of most orders first; else one."""
    spec = rows.report.chart
    if spec is None or not rows.rows:
        return []
    unit = rows.report.column(spec.amount)
    bases = rows.values("basis")
    names = rows.values("currency") if unit.is_money else [unit.unit] * len(rows.rows)
    splits = rows.values(spec.split) if spec.split else [""] * len(rows.rows)
    found: dict[str, dict[Any, dict[str, Decimal]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(Decimal)))
    orders = Counter[str]()
    for basis, name, place, split, amount, count in zip(
        bases, names, rows.values(spec.along), splits, rows.values(spec.amount), rows.values("orders"), strict=True
    ):
        # An amount of zero has no bar, but a time of zero is a point of a line.
        is_seen = amount is not None and (amount or unit.unit == HOURS)
        if is_seen and basis == bases[0] and split not in spec.without:
            shown_place = place if spec.over_time else _words(spec.along, place)
            shown_split = _words(spec.split, split) if spec.split else ""
            found[str(name)][shown_place][shown_split] += Decimal(amount)
            orders[str(name)] += count or 0
    drawn = [
        Panel(name, {place: dict(parts) for place, parts in values.items()}, orders[name])
        for name, values in found.items()
    ]
    return sorted(drawn, key=lambda panel: (-panel.orders, panel.name))


def _words(column: str, value: object) -> str:
    text = label(column, value).replace("_", " ")
    return text if len(text) <= 44 else text[:43] + "…"


def title(rows: ReportRows) -> str:
    """What is shown, of which store and of which period."""
    first, last = (_day(rows, day) for day in rows.period) if rows.period else ("", "")
    period = first if first == last else f"{first} to {last}"
    return ", ".join(filter(None, [rows.report.title, f"store {rows.store}" if rows.store else "", period]))


def _day(rows: ReportRows, day: date | int) -> str:
    return f"{day:%Y-%m}" if isinstance(day, date) and rows.report.period == "month" else str(day)


def caption(rows: ReportRows, amount: ReportColumn) -> str:
    """What the amounts are, on which basis, as of when and in which time zone, and why something is not known."""
    basis = rows.values("basis")[0]
    spec = rows.report.chart
    assert spec is not None
    what = amount.text.partition(":")[0]
    if not amount.is_money:
        what = f"number of {amount.unit}" if what == "how many" else f"{amount.unit}: {what}"
    facts = [
        what,
        f"without {', '.join(spec.without)}" if spec.without else "",
        f"by {str(basis).replace('_', ' ')}" if basis else "",
        f"as known at {rows.as_of.astimezone(ZoneInfo(rows.timezone)):%Y-%m-%d %H:%M}" if rows.as_of else "",
        f"time zone {rows.timezone}" if rows.report.period or rows.as_of else "",
    ]
    unknown = spec.along in ITEMS and None in rows.values(spec.along)
    return " · ".join(filter(None, facts)) + (f"\n{WHY_ITEMS_ARE_NOT_KNOWN}" if unknown else "")


def _parts(shown: Sequence[Panel]) -> dict[str, str]:
    """Each part of the bars with its colour, the same in all panels; what is not known comes last, and is grey."""
    names = {part for panel in shown for parts in panel.values.values() for part in parts}
    statuses = {name: colour for name, colour in zip(STATUSES, COLOURS, strict=False) if name in names}
    others = dict(zip(sorted(names - GREY - statuses.keys()), cycle(COLOURS), strict=False))
    return statuses | others | dict.fromkeys(sorted(names & GREY), OTHERS)


def _height(spec: ChartSpec, shown: Sequence[Panel], most: int, *, small: bool, stacked: bool) -> float:
    if spec.over_time:
        return 0.8 + (1.1 if small else 1.9) * len(shown) + (0.3 if spec.split else 0)
    bars = [min(len(panel.values), most + 1) for panel in shown]
    return 1.1 + (0.22 if small else 0.3) * (sum(bars) + len(bars) if stacked else max(bars))


def _over_time(ax: Axes, panel: Panel, parts: dict[str, str], amount: ReportColumn) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator  # noqa: PLC0415

    places = sorted(panel.values)
    length = _days(places)
    above, below = defaultdict[Any, Decimal](Decimal), defaultdict[Any, Decimal](Decimal)
    for part, colour in parts.items():
        known = [place for place in places if part in panel.values[place]]
        at = [_position(place, length) for place in known]
        values = [panel.values[place][part] for place in known]
        if amount.unit == HOURS:
            ax.plot(at, _drawn(values), color=colour, label=part or None, linewidth=2, marker="o", markersize=3)
            continue
        floors = [(above if value > 0 else below)[place] for place, value in zip(known, values, strict=True)]
        ax.bar(at, _drawn(values), 0.8 * length, bottom=_drawn(floors), color=colour, label=part or None)
        for place, value in zip(known, values, strict=True):
            (above if value > 0 else below)[place] += value
    if amount.unit == HOURS:
        ax.set_ylim(bottom=0)
    elif amount.is_money and set(parts) == {""}:
        _name_amounts(ax, {_position(place, length): panel.values[place][""] for place in places}, length)
    if length > 1:
        ax.tick_params(axis="x", length=0)
    ax.grid(axis="y")
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=not amount.is_money))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: on_axis(value)))


def _name_amounts(ax: Axes, amounts: dict[float, Decimal], length: float) -> None:
    """Each amount above its bar, if there are few enough bars for it."""
    texts = {place: in_full(amount) for place, amount in amounts.items()}
    span = max(max(amounts) - min(amounts) + length, FEWEST_MONTHS * length if length > 1 else FEWEST_YEARS)
    if max(map(len, texts.values())) * span / length > SIGNS_ACROSS:
        return
    for place, text in texts.items():
        ax.annotate(
            text,
            (place, max(float(amounts[place]), 0.0)),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            size="small",
            color=INK,
        )
    ax.margins(y=0.14)


def _drawn(amounts: Iterable[Decimal]) -> list[float]:
    """Amounts as floats: up to here they are exact, but a length in a picture need not be."""
    return [float(amount) for amount in amounts]


def _label_time(ax: Axes, places: Sequence[Any]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415

    length = _days(sorted(set(places)))
    ends = [_position(min(places), length), _position(max(places), length)]
    # A few bars alone would be as broad as the picture.
    fewest = FEWEST_YEARS if isinstance(places[0], int) else FEWEST_MONTHS
    missing = max(fewest * length - (ends[1] - ends[0]), 1.2 * length) / 2
    ax.set_xlim(ends[0] - missing, ends[1] + missing)
    if isinstance(places[0], int):
        ax.set_xticks(year_labels(min(places), max(places)))
    elif length > 1:
        labels = month_labels(min(places), max(places))
        ax.set_xticks([_position(month, length) for month in labels], list(labels.values()))
    else:
        locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def year_labels(first: int, last: int) -> list[int]:
    """Years to be named below their bars, none beyond them: all, or fewer if all could not be read."""
    return list(range(first, last + 1, (last - first) // MONTHS_LABELLED + 1))


def month_labels(first: date, last: date) -> dict[date, str]:
    """Months to be named below their bars, the year below its first one: all, or fewer if all could not be read."""
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    apart = next((step for step in (1, 2, 3, 6) if count <= MONTHS_LABELLED * step), 12)
    labels: dict[date, str] = {}
    year = None
    for number in range(first.year * 12 + first.month - 1, first.year * 12 + first.month - 1 + count):
        month = date(number // 12, number % 12 + 1, 1)
        if (month.month - 1) % apart:
            continue
        name = f"{month:%b}" if apart < 12 else ""
        labels[month] = name if month.year == year else f"{name}\n{month.year}".strip()
        year = month.year
    return labels


def _days(places: Sequence[Any]) -> float:
    """How long a place on the axis lasts: a day or a month in days, a year in years."""
    if isinstance(places[0], int):
        return 1.0
    shortest = min(((later - earlier).days for earlier, later in pairwise(places)), default=28)
    return 30.4 if shortest >= 28 and all(place.day == 1 for place in places) else 1.0


def _position(place: date | int, length: float) -> float:
    """The position of a bar: a day's or a month's in its middle."""
    from matplotlib.dates import date2num  # noqa: PLC0415

    if isinstance(place, int):
        return place
    return float(date2num(place)) + length / 2  # type: ignore[no-untyped-call]


def _ranking(ax: Axes, panel: Panel, parts: dict[str, str], amount: ReportColumn, most: int, *, whole: bool) -> None:
    """Bars from the left. `whole`: there is room for amounts with all their digits."""
    from matplotlib.ticker import NullLocator  # noqa: PLC0415

    totals = {place: sum(amounts.values(), Decimal(0)) for place, amounts in panel.values.items()}
    # If bars are split, they are classes with an order of their own.
    places = sorted(totals, key=lambda place: -totals[place]) if "" in parts else sorted(totals)
    shown, rest = (places, []) if len(places) <= most + 1 else (places[:most], places[most:])
    values = {place: panel.values[place] for place in shown}
    labels = list(values)
    left = [Decimal(0)] * len(labels)
    for part, colour in parts.items():
        amounts = [values[place].get(part, Decimal(0)) for place in labels]
        colours = [OTHERS if place in GREY else colour for place in labels]
        ax.barh(labels, _drawn(amounts), left=_drawn(left), color=colours, height=0.7, label=part or None)
        left = [start + width for start, width in zip(left, amounts, strict=True)]
    if rest:
        labels.append(f"{len(rest)} others")
        left.append(sum((totals[place] for place in rest), Decimal(0)))
        ax.barh(labels[-1:], _drawn(left[-1:]), color=OTHERS, height=0.7)
    for place, end in enumerate(left):
        ax.annotate(
            in_full(end) if amount.is_money and whole else short(end) if amount.is_money else f"{end:,.0f}",
            (max(float(end), 0.0), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            size="small",
            color=INK,
        )
    ax.invert_yaxis()
    ax.margins(x=0.25 if whole else 0.15, y=0.02)
    ax.xaxis.set_major_locator(NullLocator())
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="y", labelcolor=INK)


def in_full(amount: Decimal) -> str:
    """An amount with its cents."""
    return f"{amount:,.2f}"


def on_axis(value: float) -> str:
    """A number beside the axis: in full up to a million."""
    return f"{value:,.0f}" if 10 <= abs(value) < 1e6 or not value else short(value)


def short(value: Decimal | float) -> str:
    """A number in short: 4.5, 950, 1.2k, 34k, 5.6M."""
    value = float(value)
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")):
        if abs(value) >= size:
            digits = f"{value / size:.1f}" if abs(value) < 10 * size else f"{value / size:.0f}"
            return digits.removesuffix(".0") + letter
    return f"{value:.2g}"
