"""The progress of a sync: a bar in a terminal, a few plain lines elsewhere; always on standard error."""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

from bl_pipeline.terminal.console import stderr
from bl_pipeline.wording import plural

_LINES = 5
"""About this many lines show the progress if there is no terminal."""

_WORTH_A_LINE = 25
"""Orders done since the last line, at least."""


class SyncProgress:
    """Shows a sync or a rebuild while the `with` block runs: a `ProgressListener` of bl_pipeline.sync.session.

    `first` is what is done before the number of orders is known, `then` what is done with them.
    """

    def __init__(self, first: str = "Asking BrickLink what has changed", then: str = "Fetching") -> None:
        self._console = stderr()
        self._first = first
        self._then = then
        self._outcomes: Counter[str] = Counter()
        self._total = 0
        self._fetched = 0
        self._told = 0
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[counts]}", style="dim"),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task(self._first, total=None, counts="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def planned(self, total: int) -> None:
        """`total` orders are to be fetched."""
        self._total = total
        if self._bar is not None:
            self._bar.update(self._task, description=f"{self._then} orders", total=total)
        elif total:
            self._console.print(f"{self._then} {plural(total, 'order')} ...")

    def fetched(self, order_id: str) -> None:
        """An order's answers have come."""
        self._fetched += 1
        self._show(order_id)

    def done(self, order_id: str, outcome: str) -> None:
        """An order is done."""
        self._outcomes[outcome] += 1
        self._show(order_id)
        done = self._outcomes.total()
        if self._bar is None and (done == self._total or done - self._told >= max(self._total / _LINES, _WORTH_A_LINE)):
            self._told = done
            self._console.print(f"  {done:,} of {self._total:,}: {self._counts()}")

    def _show(self, order_id: str) -> None:
        if self._bar is not None:
            completed = max(self._fetched, self._outcomes.total())
            self._bar.update(self._task, completed=completed, counts=f"{order_id}  {self._counts()}")

    def _counts(self) -> str:
        return ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self._outcomes.items()))
