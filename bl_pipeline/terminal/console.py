"""Standard output and standard error, and how amounts, times and counts look in them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bl_pipeline.wording import amount, parts_of_message, plural

PIPED_WIDTH = 100
"""Columns of output that goes to a file or a pipe, unless COLUMNS says otherwise."""

_NARROWEST = 40
"""Columns below which no table can be read."""

_UNLIMITED = 1_000

_zone = ZoneInfo("UTC")

STATUS_STYLES = {
    "pending": "yellow",
    "processing": "cyan",
    "shipped": "blue",
    "completed": "green",
    "on_hold": "magenta",
    "problem": "red",
    "cancelled": "dim",
    "unknown": "bold red",
}


def _console(stream: TextIO, *, stderr: bool) -> Console:
    width = None if stream.isatty() or os.environ.get("COLUMNS") else PIPED_WIDTH
    # No markup: names of buyers and items are shown as they are.
    return Console(file=stream, stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def forget_impossible_width() -> None:
    """Take a COLUMNS in which nothing can be read as not set: the terminal says its own width."""
    columns = os.environ.get("COLUMNS", "")
    if not re.fullmatch("[0-9]{1,4}", columns) or not _NARROWEST <= int(columns) <= _UNLIMITED:
        os.environ.pop("COLUMNS", None)


def stdout() -> Console:
    """Standard output: what was asked for."""
    return _console(sys.stdout, stderr=False)


def stderr() -> Console:
    """Standard error: progress, messages, errors."""
    return _console(sys.stderr, stderr=True)


def is_unicode(stream: TextIO) -> bool:
    """Whether the stream can show every character."""
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


def show(what: RenderableType = "", *, indent: int = 0, whole: bool = False) -> None:
    """Print on standard output. `whole`: in a file or a pipe a line is as long as it has to be."""
    console = stdout()
    what = Padding(what, (0, 0, 0, indent), expand=False) if indent else what
    if console.is_terminal:
        console.print(what)
        return
    if whole:
        console.width = _UNLIMITED
    with console.capture() as capture:
        console.print(what)
    # In a file or a pipe the blanks at the end of lines are of no use.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))
    sys.stdout.flush()


def complain(message: str) -> None:
    """Say on standard error what is wrong and what to do."""
    first, *rest = in_zone(message.strip()).splitlines()
    console = stderr()
    # In a log a message stays on its line; in a terminal it is wrapped between words.
    whole = not console.is_terminal
    console.print(Text.assemble(("Error: ", "bold red"), first), soft_wrap=whole)
    for line in rest:
        console.print(line, soft_wrap=whole)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output: amounts as text, times as ISO 8601 in UTC."""
    # Escaped if the terminal is not UTF-8: data is never replaced in JSON.
    escaped = not is_unicode(sys.stdout)
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=escaped, default=_as_json) + "\n")
    sys.stdout.flush()


def _as_json(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def clean(value: object) -> str:
    """Text on one line, without the control characters that could command a terminal; nothing for None."""
    return "" if value is None else "".join(char if char.isprintable() else " " for char in str(value))


def amounts(values: Iterable[Decimal | None]) -> list[str]:
    """Amounts for a column, all of one length, with their decimal points below each other."""
    texts = [amount(value) for value in values]
    if any(_decimals(text) == 4 for text in texts):
        texts = [f"{text}  " if _decimals(text) == 2 else text for text in texts]
    longest = max(map(len, texts), default=0)
    return [text.rjust(longest) for text in texts]


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def money(value: Decimal | None, currency: str | None) -> str:
    """An amount with its currency; nothing if there is none."""
    return "" if value is None else f"{amount(value)} {currency or ''}".rstrip()


def when(time: datetime | None) -> str:
    """A time to the minute, in the time zone of `show_times_in`."""
    return "" if time is None else f"{time.astimezone(_zone):%Y-%m-%d %H:%M}"


def moment(time: datetime | None) -> str:
    """The same with the name of the time zone."""
    return "" if time is None else f"{when(time)} {_zone.key}"


def in_zone(message: str) -> str:
    """A message of ours, each line clean, with its times in the time zone of `show_times_in`."""
    if _zone.key != "UTC":
        message = "".join(map(_part_in_zone, parts_of_message(message)))
    return "\n".join(map(clean, message.splitlines()))


def _part_in_zone(part: str | datetime) -> str:
    if isinstance(part, str):
        return part
    form = "%Y-%m-%d %H:%M:%S" if part.second else "%Y-%m-%d %H:%M"
    return f"{part.astimezone(_zone):{form}} {_zone.key}"


def day(time: datetime | None) -> str:
    """The day of a time, in the time zone of `show_times_in`."""
    return "" if time is None else f"{time.astimezone(_zone):%Y-%m-%d}"


def zone() -> str:
    """The name of the time zone in which times are shown."""
    return _zone.key


def show_times_in(name: str) -> None:
    """Show the times of this command in the store's time zone; JSON and CSV stay in UTC."""
    global _zone  # noqa: PLW0603  (of the process, like its standard output)
    _zone = ZoneInfo(name)


def ago(passed: timedelta) -> str:
    """How long ago, in the largest unit that fits."""
    if passed < -timedelta(minutes=1):
        return "in the future: a clock was ahead"
    seconds = max(passed.total_seconds(), 0)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{plural(int(seconds // length), unit)} ago"
    return "just now"


def seconds(duration: float) -> str:
    """A duration as people say it."""
    if duration < 60:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def status_text(word: str, group: str) -> Text:
    """A status in BrickLink's word or ours, in the colour of its group."""
    return Text(clean(word), STATUS_STYLES.get(group, ""))


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Names with their values below each other; rows with an empty value are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        if value:
            grid.add_row(name, value)
    return grid
