"""Which orders to fetch, why, and in what order: computed afresh from stored state, so no cursor can break."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bl_pipeline.sync.statuses import PURGED
from bl_pipeline.sync.summaries import ListedOrder

RECENT = timedelta(days=30)
"""Never fetched but younger than this is a new order; older is a backlog."""

PURGE_AFTER = timedelta(days=183)
"""BrickLink purges an order's items about six months after its last change of status."""

RETRY_AT_ONCE = 3
"""So many failures in a row are tried again by the very next run; then the waits grow."""

LONGEST_RETRY_WAIT = timedelta(hours=24)


class Reason(StrEnum):
    """Why an order is fetched, in order of priority."""

    REQUESTED = "requested"
    NEW = "new"
    STATUS_CHANGED = "status_changed"
    CONTENT_CHANGED = "content_changed"
    FAILED_BEFORE = "failed_before"
    BACKLOG = "backlog"
    ITEMS_MISSING = "items_missing"
    FULL_SYNC = "full_sync"


_TIER = {
    Reason.REQUESTED: 0,
    Reason.NEW: 1,
    Reason.STATUS_CHANGED: 1,
    Reason.CONTENT_CHANGED: 1,
    Reason.FAILED_BEFORE: 2,
    Reason.BACKLOG: 3,
    Reason.ITEMS_MISSING: 3,
    Reason.FULL_SYNC: 4,
}


@dataclass(frozen=True, slots=True)
class OrderState:
    """What the warehouse knows of one order. `held_` is what was listed when the stored order was fetched."""

    order_id: str
    order_date: datetime
    listed_hash: str
    listed_status: str
    listed_status_changed_at: datetime | None
    listed_filed: bool | None = None
    is_listed: bool = True
    held_hash: str | None = None
    held_status_changed_at: datetime | None = None
    order_key: str | None = None
    order_fetched_at: datetime | None = None
    items_key: str | None = None
    items_fetched_at: datetime | None = None
    failed_at: datetime | None = None
    attempts: int = 0

    @property
    def is_held(self) -> bool:
        """The warehouse has the order."""
        return self.held_hash is not None

    @property
    def failed(self) -> bool:
        """The last attempt at the order failed."""
        return self.failed_at is not None

    @property
    def items_are_stale(self) -> bool:
        """The stored items were never fetched, or belong to an earlier content of the order."""
        return self.is_held and (self.items_fetched_at is None or self.items_key != self.order_key)

    def listed_as(self, listed: ListedOrder) -> bool:
        """Whether the list still says what it said before."""
        return (
            self.is_listed
            and self.listed_hash == listed.content_hash
            and self.listed_status_changed_at == listed.status_changed_at
            and self.listed_status == listed.status
            and self.listed_filed == listed.is_filed
            and self.order_date == listed.order_date
        )


@dataclass(frozen=True, slots=True)
class Fetch:
    """One order to fetch: the order itself (else only its items), and its items whatever the order says."""

    order_id: str
    reason: Reason
    fetch_order: bool = True
    force_items: bool = False

    def least_calls(self, *, include_items: bool) -> int:
        """Calls it takes at least; an order whose items turn out changed takes one more."""
        wants_items = self.force_items or not self.fetch_order or self.reason in (Reason.NEW, Reason.BACKLOG)
        return int(self.fetch_order) + int(include_items and wants_items)


@dataclass(frozen=True, slots=True)
class OrderDates:
    """Orders by their order_date: from, up to but not including `before`; None is no limit."""

    start: datetime | None = None
    before: datetime | None = None

    def __contains__(self, order_date: datetime) -> bool:
        return (self.start is None or self.start <= order_date) and (self.before is None or order_date < self.before)


EVERY_DATE = OrderDates()


@dataclass(frozen=True, slots=True)
class FullSync:
    """A requested full sync: whatever of these orders was fetched before the request is fetched again."""

    requested_at: datetime
    include_items: bool = True
    dates: OrderDates = EVERY_DATE

    def wants(self, state: OrderState) -> bool:
        """Whether the order has not been fetched since the request."""
        return state.order_date in self.dates and (
            state.order_fetched_at is None or state.order_fetched_at < self.requested_at
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is asked for.

    `order_ids`: just these, whatever their state. `only_failed`: just those that failed before.
    `dates`: just orders of these dates. `full_syncs`: the full syncs that are not complete.
    """

    include_items: bool = True
    order_ids: Collection[str] = ()
    only_failed: bool = False
    dates: OrderDates = EVERY_DATE
    full_syncs: Sequence[FullSync] = ()


def purge_due(state: OrderState) -> datetime:
    """When BrickLink may purge the order's items."""
    return (state.listed_status_changed_at or state.order_date) + PURGE_AFTER


def retry_due(state: OrderState) -> datetime:
    """When an order that failed is worth a call again: at once for a few times, then ever more rarely."""
    assert state.failed_at is not None
    beyond = state.attempts - RETRY_AT_ONCE
    if beyond < 0:
        return state.failed_at
    return state.failed_at + min(timedelta(hours=2 ** min(beyond, 10)), LONGEST_RETRY_WAIT)


def _reason(state: OrderState, wanted: Wanted, now: datetime) -> Reason | None:
    if wanted.only_failed:
        return Reason.FAILED_BEFORE if state.failed else None
    if state.failed:
        return Reason.FAILED_BEFORE if retry_due(state) <= now else None
    if not state.is_held:
        return Reason.NEW if now - state.order_date < RECENT else Reason.BACKLOG
    if state.held_status_changed_at != state.listed_status_changed_at:
        return Reason.STATUS_CHANGED
    if state.held_hash != state.listed_hash:
        return Reason.CONTENT_CHANGED
    if wanted.include_items and state.listed_status != PURGED and state.items_are_stale:
        return Reason.ITEMS_MISSING
    if any(request.wants(state) for request in wanted.full_syncs):
        return Reason.FULL_SYNC
    return None


def _fetches(states: Mapping[str, OrderState], wanted: Wanted, now: datetime) -> Iterator[Fetch]:
    if wanted.order_ids:
        for order_id in wanted.order_ids:
            items = wanted.include_items and states[order_id].listed_status != PURGED
            yield Fetch(order_id, Reason.REQUESTED, force_items=items)
        return
    for order_id, state in states.items():
        reason = _reason(state, wanted, now) if state.order_date in wanted.dates else None
        if reason is not None:
            yield Fetch(
                order_id,
                reason,
                fetch_order=reason is not Reason.ITEMS_MISSING,
                # Lost items cannot have changed: a purged order's are asked for once, when it is new.
                force_items=reason is Reason.FULL_SYNC
                and state.listed_status != PURGED
                and any(request.include_items and request.wants(state) for request in wanted.full_syncs),
            )


def changed_orders(states: Mapping[str, OrderState], wanted: Wanted, now: datetime) -> list[Fetch]:
    """The orders to fetch, most urgent first.

    New and changed come before failed ones, these before a backlog, a full sync last; within each the order
    that BrickLink purges soonest goes first, and what is purged already goes last.
    """

    def urgency(fetch: Fetch) -> tuple[int, bool, datetime, str]:
        state = states[fetch.order_id]
        return _TIER[fetch.reason], state.listed_status == PURGED, purge_due(state), fetch.order_id

    return sorted(_fetches(states, wanted, now), key=urgency)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run fetches, and what it leaves for the next for want of calls."""

    fetches: list[Fetch]
    deferred: list[Fetch]


def plan_calls(changes: list[Fetch], calls_left: int, *, include_items: bool) -> Plan:
    """Cut the changes where the calls end.

    The cut is an estimate from below, so that no call is left unused: the ledger is what keeps the budget.
    """
    spent = 0
    for position, fetch in enumerate(changes):
        if spent >= calls_left:
            return Plan(changes[:position], changes[position:])
        spent += fetch.least_calls(include_items=include_items)
    return Plan(changes, [])


def items_needed(state: OrderState | None, order_key: str, *, purged: bool, force: bool) -> bool:
    """Whether an order's items must be fetched, now that the order itself has been.

    `order_key` is the fetched order's subtotal, counts and weight: items cannot have changed where it has not.
    """
    if force or state is None or state.items_fetched_at is None:
        return True
    return not purged and state.items_key != order_key
