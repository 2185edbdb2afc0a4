"""What a sync would fetch and cost, and a rebuild: both need the store's lock, but run no sync."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bl_pipeline.bricklink import BrickLinkError
from bl_pipeline.records import Reason, SyncRequest
from bl_pipeline.rules.changes import RECENT
from bl_pipeline.rules.forecast import Forecast
from bl_pipeline.settings import Settings
from bl_pipeline.sync.planning import forecast_sync
from bl_pipeline.sync.rebuild import RebuildResult, rebuild
from bl_pipeline.sync.run_errors import RunError
from bl_pipeline.sync.session import ProgressListener, SyncSession, open_session
from bl_pipeline.sync.stops import stop_for
from bl_pipeline.warehouse.ledger import BudgetExhausted
from bl_pipeline.wording import plural

_WHY = {
    Reason.NEW: f"not stored yet, from the last {plural(RECENT.days, 'day')}",
    Reason.STATUS_CHANGED: "with a changed status",
    Reason.CONTENT_CHANGED: "with a changed payment, total or count, or filed",
    Reason.FAILED_BEFORE: "that failed before",
    Reason.BACKLOG: "not stored yet, older",
    Reason.ITEMS_MISSING: "without their items",
    Reason.FULL_SYNC: "of a full sync",
    Reason.RECHECK: "to look at again, though no list shows a change",
    Reason.OPTIONAL_PARTS: "to ask for messages or feedback",
}


@contextmanager
def _locked_session(settings: Settings) -> Iterator[SyncSession]:
    with open_session(settings) as session:
        session.take_lock_now("nothing was done")
        yield session


def make_forecast(settings: Settings, *, full: bool) -> Forecast:
    """What a sync would fetch now, by two list calls. Raises RunError with the exit code of what prevents it."""
    settings.store.known_credentials()
    with _locked_session(settings) as session:
        try:
            return forecast_sync(session, SyncRequest(full_sync=full))
        except (BrickLinkError, BudgetExhausted) as error:
            stop = stop_for(error, session.clock(), listing=True)
            refused = RunError(stop.message)
            refused.exit_code = stop.reason.exit_code
            raise refused from None


def make_rebuild(settings: Settings, progress: ProgressListener) -> RebuildResult:
    """`sales` again from `landing`, with no call. Raises RunError if it had to be undone."""
    with _locked_session(settings) as session:
        session.progress = progress
        result = rebuild(session)
    if result.undone:
        raise RunError(result.message)
    return result


def forecast_view(forecast: Forecast) -> RenderableType:
    """What a sync would fetch, why, and for how many calls and days."""
    lists = plural(forecast.calls_for_lists, "call")
    left = Text(
        f"{plural(forecast.calls_left, 'call')} left now, after the {forecast.calls_used:,} that this plan has used."
    )
    if not forecast.orders_by_reason:
        return Group(
            Text(f"Nothing to fetch: {plural(forecast.orders_listed, 'listed order')}, all in step."),
            Text(f"A sync takes {lists}, for the lists."),
            left,
        )
    table = Table.grid(padding=(0, 2))
    for reason, orders in sorted(forecast.orders_by_reason.items(), key=lambda entry: -entry[1]):
        table.add_row(Text(f"{orders:,}", justify="right"), _WHY[Reason(reason)])
    calls = plural(forecast.most_calls, "call")
    if forecast.most_calls != forecast.least_calls:
        calls = f"{forecast.least_calls:,} to {calls}"
    return Group(
        Text(f"A sync would fetch {plural(sum(forecast.orders_by_reason.values()), 'order')}:"),
        Padding(table, (0, 0, 0, 2)),
        Text(f"It takes {calls} in all, {forecast.calls_for_lists} of them for the lists."),
        left,
        Text(_when(forecast)),
    )


def _when(forecast: Forecast) -> str:
    if forecast.days is None:
        return "The lists alone use this budget up: raise BL_DAILY_CALL_LIMIT or lower BL_CALL_RESERVE."
    if not forecast.orders_deferred:
        if forecast.most_calls > forecast.calls_left:
            return "All of it fits now, unless many items have changed too; the next run would do the rest."
        return "All of it fits now."
    more_days = plural(forecast.days, "more day")
    return f"{plural(forecast.orders_now, 'order')} fit now, and the scheduled runs of {more_days} do the rest."
