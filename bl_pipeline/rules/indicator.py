"""The indicator of the warehouse's state, one word with its reason: the same wherever it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bl_pipeline.records import RunStatus, StopReason

SYNC_EVERY = timedelta(minutes=30)
"""How often the schedule syncs the store, from midnight UTC on."""

FRESH_FOR = timedelta(hours=1)
"""With a run every half hour, more than this means that one was missed: worth a warning, not yet stale."""

STALE_AFTER = timedelta(hours=24)


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


IN_A_TERMINAL = Remedies(
    connect="Put the four BRICKLINK_ values into .env, then: bl doctor",
    sync="Start one with: bl sync",
    repair="Sync now with: bl sync. Sync every half hour with: bl up. What is wrong: bl doctor",
    retry="See why with: bl errors. Try again with: bl retry",
    withdraw="Withdraw it with: bl cancel",
)


@dataclass(frozen=True, slots=True)
class Standing:
    """The indicator, and its reason: what happened, what it means, what to do. Times in the reason are marked UTC."""

    indicator: Indicator
    reason: str

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


def standing(facts: Facts, remedies: Remedies = IN_A_TERMINAL) -> Standing:
    """The indicator at this moment, and why."""
    word, reason = _judge(facts, remedies)
    more = [reason]
    if facts.canceled and word is not Indicator.SYNCING:
        more.append("The last run was canceled: what was stored is kept, and the next run goes on from there.")
    if facts.open_full_syncs:
        more.append(f"A full sync is open: each sync goes on with it. {remedies.withdraw}")
    return Standing(word, "\n".join(more))


def _judge(facts: Facts, remedies: Remedies) -> tuple[Indicator, str]:
    run, synced = facts.judged_by, facts.last_synced_at
    failed = run is not None and run.status is RunStatus.FAILED
    unset = failed and run is not None and run.stop_reason is StopReason.SETTINGS and not facts.connected
    if facts.syncing:
        return Indicator.SYNCING, "A sync or a rebuild of this store is running."
    if run is not None and failed and not unset:
        return Indicator.ERROR, (
            f"The last sync failed ({run.job}, started {_when(run.started_at)}): "
            f"{run.message or 'its log in Dagster says why.'}"
        )
    if facts.failed_orders:
        return Indicator.ERROR, (
            f"{_orders(facts.failed_orders)} could not be fetched or read; all others are as they were last seen. "
            f"{remedies.retry}"
        )
    # A sync in the future was stored while a clock was ahead: it does not show how old the warehouse is.
    old = synced is None or abs(facts.now - synced) > STALE_AFTER
    if unset or (old and not facts.connected):
        return Indicator.NOT_CONNECTED, (
            f"The store is not connected: its API credentials are not set, so nothing is synced. {remedies.connect}"
        )
    if run is not None and run.status is RunStatus.STOPPED_AT_BUDGET:
        left = f"Left for the next run: {_orders(run.orders_deferred)}. " if run.orders_deferred else ""
        return Indicator.STALE, f"The last sync stopped before its end. {left}{run.message or ''}".rstrip()
    if synced is None:
        return Indicator.STALE, f"No sync of this store was complete yet. {remedies.sync}"
    if old:
        return Indicator.STALE, (
            f"No sync was complete for 24 hours; the last one ended {_when(synced)}. {remedies.repair}"
        )
    return Indicator.SYNCED, f"Every order of BrickLink's lists is stored, as of {_when(synced)}."


def _orders(number: int) -> str:
    return f"{number:,} order" if number == 1 else f"{number:,} orders"


def _when(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
