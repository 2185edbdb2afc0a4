"""Which orders to fetch, why, and in what order: computed afresh from stored state, so no cursor can break."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bl_pipeline.sync.statuses import OPEN, PURGED
from bl_pipeline.sync.summaries import ListedOrder

RECENT = timedelta(days=30)
"""Never fetched but younger than this is a new order; older is a backlog."""

PURGE_AFTER = timedelta(days=183)
"""BrickLink purges an order's items about six months after its last change of status."""

RETRY_AT_ONCE = 3
"""So many failures in a row are tried again by the very next run; then the waits grow."""

LONGEST_RETRY_WAIT = timedelta(days=7)

RECHECK_OPEN_AFTER = timedelta(hours=24)
RECHECK_AFTER = timedelta(days=30)
"""How long after it was last fetched an order, open or not, is worth a look that no list calls for."""


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
    RECHECK = "recheck"


_TIER = {
    Reason.REQUESTED: 0,
    Reason.NEW: 1,
    Reason.STATUS_CHANGED: 1,
    Reason.CONTENT_CHANGED: 1,
    Reason.FAILED_BEFORE: 2,
    Reason.BACKLOG: 3,
    Reason.ITEMS_MISSING: 3,
    Reason.FULL_SYNC: 4,
    Reason.RECHECK: 5,
}


@dataclass(frozen=True, slots=True)
class OrderState:
    """What the warehouse knows of one order.

    `held_` is what was listed when the stored order was fetched, `status` the stored order's normalised status.
    """

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
    status: str | None = None

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

    def most_calls(self, *, include_items: bool) -> int:
        """Calls it takes at most, where its items turn out changed."""
        return int(self.fetch_order) + int(include_items)


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
        """Whether the order, or its items where they are asked for, has not been fetched since the request."""
        if state.order_date not in self.dates:
            return False
        # Lost items cannot have changed: a purged order's are asked for once, when it is new.
        fetched = [state.order_fetched_at]
        if self.include_items and state.listed_status != PURGED:
            fetched.append(state.items_fetched_at)
        return any(time is None or time < self.requested_at for time in fetched)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is asked for.

    `order_ids`: just these, whatever their state. `only_failed`: just those that failed before.
    `dates`: just orders of these dates. `full_syncs`: the full syncs that are not complete. `rechecks`: at most so
    many calls look at orders though nothing calls for it, if every other one can be fetched.
    """

    include_items: bool = True
    order_ids: Collection[str] = ()
    only_failed: bool = False
    dates: OrderDates = EVERY_DATE
    full_syncs: Sequence[FullSync] = ()
    rechecks: int = 0


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
        # A failure in the future is of a clock that has been set back: its wait would be of any length.
        due = retry_due(state) <= now or state.failed_at is None or state.failed_at > now
        return Reason.FAILED_BEFORE if due else None
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
            full_syncs = [request for request in wanted.full_syncs if request.wants(state)]
            yield Fetch(
                order_id,
                reason,
                fetch_order=reason is not Reason.ITEMS_MISSING or bool(full_syncs),
                # Whatever else calls for the order, the full sync is to be done with it afterwards.
                force_items=state.listed_status != PURGED and any(request.include_items for request in full_syncs),
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


def orders_to_recheck(
    states: Mapping[str, OrderState], changes: Collection[Fetch], wanted: Wanted, calls: int, now: datetime
) -> list[Fetch]:
    """Orders that nothing calls for, but that may have changed in ways no list shows; the longest unverified first.

    Open orders come before those that are over, and their items are looked at too: a seller may still change them.
    What is purged cannot change. All of them together take so many calls at most.
    """
    planned = {fetch.order_id for fetch in changes}

    def since_verified(state: OrderState) -> timedelta | None:
        if state.order_id in planned or state.order_fetched_at is None or state.failed or not state.is_listed:
            return None
        if state.listed_status == PURGED:
            return None
        wait = RECHECK_OPEN_AFTER if state.status in OPEN else RECHECK_AFTER
        since = now - state.order_fetched_at
        return since if since >= wait else None

    due = [(state, since) for state in states.values() if (since := since_verified(state)) is not None]
    due.sort(key=lambda entry: (entry[0].status not in OPEN, -entry[1], entry[0].order_id))
    rechecks: list[Fetch] = []
    for state, _ in due:
        fetch = Fetch(state.order_id, Reason.RECHECK, force_items=wanted.include_items and state.status in OPEN)
        cost = fetch.least_calls(include_items=wanted.include_items)
        if cost <= calls:
            rechecks.append(fetch)
            calls -= cost
    return rechecks


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


def plan(states: Mapping[str, OrderState], wanted: Wanted, calls_left: int, now: datetime) -> Plan:
    """What a run fetches: what is called for, within the calls left, and from what is to spare some re-checks."""
    changes = changed_orders(states, wanted, now)
    called_for = plan_calls(changes, calls_left, include_items=wanted.include_items)
    if called_for.deferred or wanted.order_ids or wanted.only_failed or wanted.dates != EVERY_DATE:
        return called_for
    # Half of what is left when every change has taken the order and its items: the day may bring more changes.
    to_spare = (calls_left - sum(fetch.most_calls(include_items=True) for fetch in changes)) // 2
    rechecks = orders_to_recheck(states, changes, wanted, min(wanted.rechecks, to_spare), now)
    return Plan(called_for.fetches + rechecks, [])


def items_needed(state: OrderState | None, order_key: str, *, purged: bool, force: bool) -> bool:
    """Whether an order's items must be fetched, now that the order itself has been.

    `order_key` is what the fetched order says of its items: they cannot have changed if it has not.
    """
    if force or state is None or state.items_fetched_at is None:
        return True
    return not purged and state.items_key != order_key


def as_listed(states: Mapping[str, OrderState], listed: Mapping[str, ListedOrder]) -> dict[str, OrderState]:
    """The stored states as they will be once what the lists say has been stored."""
    merged = dict(states)
    for order_id, order in listed.items():
        fresh = OrderState(
            order_id=order_id,
            order_date=order.order_date,
            listed_hash=order.content_hash,
            listed_status=order.status,
            listed_status_changed_at=order.status_changed_at,
            listed_filed=order.is_filed,
        )
        known = states.get(order_id)
        merged[order_id] = (
            fresh
            if known is None
            else replace(
                known,
                order_date=fresh.order_date,
                listed_hash=fresh.listed_hash,
                listed_status=fresh.listed_status,
                listed_status_changed_at=fresh.listed_status_changed_at,
                listed_filed=fresh.listed_filed,
                is_listed=True,
            )
        )
    return merged
