"""The indicator of the warehouse's state, one word with its reason: the same wherever it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bl_pipeline.records import ExitCode, RunStatus, StopReason

SYNC_EVERY = timedelta(minutes=30)
"""How often the schedule syncs a store, from midnight UTC on, but for its `sync_offset`."""

FRESH_FOR = timedelta(hours=1)
"""With a run every half hour, more than this means that one was missed: worth a warning, not yet stale."""

STALE_AFTER = timedelta(hours=24)


def sync_offset(place: int, stores: int) -> timedelta:
    """How long after the half hour a store is synced, in whole minutes, so that not all stores are at once."""
    return timedelta(minutes=place * (SYNC_EVERY // timedelta(minutes=1)) // stores)


class Indicator(StrEnum):
    """How the warehouse compares with the store."""

    SYNCED = "synced"
    STALE = "stale"
    ERROR = "error"
    SYNCING = "syncing"
    NOT_CONNECTED = "not_connected"


@dataclass(frozen=True, slots=True)
class Remedies:
    """What a reason says is to be done, in the words of the place that shows it. Each is one or more sentences."""

    connect: str
    sync: str
    repair: str
    retry: str
    withdraw: str


def in_a_terminal(command: Callable[[str], str]) -> Remedies:
    """What to type; `command` makes of the words after `bl` what is typed for this store."""
    return Remedies(
        connect=f"Put the store's four API credentials into .env, then: {command('doctor')}",
        sync=f"Start one with: {command('sync')}",
        repair=f"Sync now with: {command('sync')}. Sync every half hour with: bl up. "
        f"What is wrong: {command('doctor')}",
        retry=f"See why with: {command('errors')}. Try again with: {command('retry')}",
        withdraw=f"Withdraw it with: {command('cancel')}, or in the Dagster UI with the job cancel_full_sync",
    )


@dataclass(frozen=True, slots=True)
class StoreState:
    """The indicator, and its reason: what happened, what it means, what to do. Times in the reason are marked UTC.

    `exit_code` is that of `bl status --check`: 0 if the store is in step, else that of `bl` for the same cause.
    """

    indicator: Indicator
    reason: str
    exit_code: int

    @property
    def as_metadata(self) -> dict[str, str]:
        """As events and checks show it."""
        return {"indicator": str(self.indicator), "reason": self.reason}


@dataclass(frozen=True, slots=True)
class LastRun:
    """How the run ended from which the indicator comes; `FAILED` if its process died. Times are UTC."""

    job: str
    started_at: datetime
    status: RunStatus
    stop_reason: StopReason | None = None
    message: str | None = None
    orders_deferred: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What the indicator comes from. Counts are of orders and of full syncs; times are UTC.

    `connected`: credentials are set. `syncing`: the store's lock is taken. `judged_by`: the run from which the
    indicator comes, None if there is none. `canceled`: the latest run was canceled.
    """

    now: datetime
    connected: bool = True
    syncing: bool = False
    judged_by: LastRun | None = None
    canceled: bool = False
    last_synced_at: datetime | None = None
    failed_orders: int = 0
    open_full_syncs: int = 0


def is_stale(last_synced_at: datetime | None, now: datetime) -> bool:
    """Whether the last complete sync is too long ago, or there was none."""
    # A sync in the future was stored while a clock was ahead: it does not show how old the warehouse is.
    return last_synced_at is None or abs(now - last_synced_at) > STALE_AFTER


def store_state(facts: Facts, remedies: Remedies) -> StoreState:
    """The indicator at this moment, and why."""
    word, reason, exit_code = _judge(facts, remedies)
    more = [reason]
    if facts.canceled and word is not Indicator.SYNCING:
        more.append("The last run was canceled: what was stored is kept, and the next run goes on from there.")
    if facts.open_full_syncs:
        more.append(f"A full sync is open: each sync goes on with it. {remedies.withdraw}")
    return StoreState(word, "\n".join(more), exit_code)


def _judge(facts: Facts, remedies: Remedies) -> tuple[Indicator, str, int]:
    """The indicator, its reason and the exit code of `bl status --check`: of the first cause that applies."""
    run, synced = facts.judged_by, facts.last_synced_at
    failed = run is not None and run.status is RunStatus.FAILED
    unset = failed and run is not None and run.stop_reason is StopReason.SETTINGS and not facts.connected
    if facts.syncing:
        return Indicator.SYNCING, "A sync or a rebuild of this store is running.", ExitCode.DONE
    if run is not None and failed and not unset:
        reason = (
            f"The last sync failed ({run.job}, started {_when(run.started_at)}): "
            f"{run.message or 'its log in Dagster says why.'}"
        )
        return Indicator.ERROR, reason, run.stop_reason.exit_code if run.stop_reason else ExitCode.OTHER
    if facts.failed_orders:
        reason = (
            f"{_orders(facts.failed_orders)} could not be fetched or read; all others are as they were last seen. "
            f"{remedies.retry}"
        )
        return Indicator.ERROR, reason, ExitCode.SOME_FAILED
    old = is_stale(synced, facts.now)
    if unset or (old and not facts.connected):
        reason = (
            f"The store is not connected: its API credentials are not set, so nothing is synced. {remedies.connect}"
        )
        return Indicator.NOT_CONNECTED, reason, ExitCode.USAGE
    if run is not None and run.status is RunStatus.STOPPED_AT_BUDGET:
        left = f"Left for the next run: {_orders(run.orders_deferred)}. " if run.orders_deferred else ""
        reason = f"The last sync stopped before its end. {left}{run.message or ''}".rstrip()
        return Indicator.STALE, reason, ExitCode.BUDGET
    if synced is None:
        return Indicator.STALE, f"No sync of this store was complete yet. {remedies.sync}", ExitCode.OTHER
    if old:
        reason = f"No sync was complete for 24 hours; the last one ended {_when(synced)}. {remedies.repair}"
        return Indicator.STALE, reason, ExitCode.OTHER
    return Indicator.SYNCED, f"Every order of BrickLink's lists is stored, as of {_when(synced)}.", ExitCode.DONE


def _orders(number: int) -> str:
    return f"{number:,} order" if number == 1 else f"{number:,} orders"


def _when(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
