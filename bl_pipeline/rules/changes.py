"""Which orders to fetch, why, and in what order: computed in each run from stored state, so no cursor can break."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import Fetch, FullSync, ListedOrder, OrderState, Reason, SyncRequest
from bl_pipeline.rules.kinds import asked_parts, changeable, is_due, is_purged, wanted_parts
from bl_pipeline.rules.optional_parts import optional_fetches
from bl_pipeline.rules.statuses import OPEN

RECENT = timedelta(days=30)
"""Never fetched but younger than this is a new order; older is a backlog."""

RETRY_AT_ONCE = 3
"""Up to this many failures in a row, the next run tries again; then the waits grow."""

LONGEST_RETRY_WAIT = timedelta(days=7)

RECHECK_OPEN_AFTER = timedelta(hours=24)
RECHECK_AFTER = timedelta(days=30)
"""How long after it was last fetched an order is re-checked, open or not, though no list shows a change."""


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


def full_sync_wants(full_sync: FullSync, state: OrderState) -> bool:
    """Whether the order, or a part of it that is asked for, has not been fetched since the request."""
    if state.order_date not in full_sync.dates:
        return False
    if state.order_fetched_at is None or state.order_fetched_at < full_sync.requested_at:
        return True
    parts = changeable(state, wanted_parts(include_items=full_sync.include_items))
    fetched = [state.part(kind).fetched_at for kind in parts]
    return any(time is None or time < full_sync.requested_at for time in fetched)


def full_sync_waits_for(full_sync: FullSync, state: OrderState) -> bool:
    """Whether a full sync is not complete because of the order: one that failed since the request was asked for."""
    failed_since = state.failed_at is not None and state.failed_at >= full_sync.requested_at
    return not failed_since and full_sync_wants(full_sync, state)


def purge_counts_from(state: OrderState) -> datetime:
    """When the status of the order changed last: BrickLink purges it about six months later."""
    return state.listed_status_changed_at or state.order_date


def retry_due(state: OrderState) -> datetime:
    """When an order that failed is tried again: at once for a few times, then after growing waits."""
    assert state.failed_at is not None
    beyond = state.attempts - RETRY_AT_ONCE
    if beyond < 0:
        return state.failed_at
    return state.failed_at + min(timedelta(hours=2 ** min(beyond, 10)), LONGEST_RETRY_WAIT)


def _reason(state: OrderState, request: SyncRequest, now: datetime) -> Reason | None:
    """Why the order is fetched, or None if it is not; the first that applies.

    1. It failed before: only this if the request is `only_failed`. Until its wait is over it is not fetched at all.
    2. It is not stored yet: NEW, or BACKLOG if it is older than RECENT.
    3. The list shows another time of its status, then another content, than was stored.
    4. Its items, or another part, are wanted, not purged, and missing or of an earlier content.
    5. An open full sync wants it.
    """
    if request.only_failed:
        return Reason.FAILED_BEFORE if state.failed else None
    if state.failed_at is not None:
        # A failure in the future: the clock was set back since. Its wait could be of any length.
        due = retry_due(state) <= now or state.failed_at > now
        return Reason.FAILED_BEFORE if due else None
    if not state.is_stored:
        return Reason.NEW if now - state.order_date < RECENT else Reason.BACKLOG
    if state.stored_status_changed_at != state.listed_status_changed_at:
        return Reason.STATUS_CHANGED
    if state.stored_fingerprint != state.listed_fingerprint:
        return Reason.CONTENT_CHANGED
    for kind in changeable(state, wanted_parts(include_items=request.include_items)):
        if is_due(state.part(kind), state.order_fingerprint):
            return Reason.ITEMS_MISSING
    if any(full_sync_wants(full_sync, state) for full_sync in request.full_syncs):
        return Reason.FULL_SYNC
    return None


def _fetches(states: Mapping[str, OrderState], request: SyncRequest, now: datetime) -> Iterator[Fetch]:
    """What to fetch of each order, in no certain order; `states` is by order id.

    Orders requested by id are fetched whatever their state; KeyError if one is not in `states`. Of the others, those
    in the request's dates that have a `_reason`.
    """
    if request.order_ids is not None:
        for order_id in request.order_ids:
            parts = changeable(states[order_id], wanted_parts(include_items=request.include_items))
            yield Fetch(order_id, Reason.REQUESTED, force=parts | request.also)
        return
    for order_id, state in states.items():
        reason = _reason(state, request, now) if state.order_date in request.dates else None
        if reason is not None:
            full_syncs = [full_sync for full_sync in request.full_syncs if full_sync_wants(full_sync, state)]
            again = (wanted_parts(include_items=full_sync.include_items) for full_sync in full_syncs)
            yield Fetch(
                order_id,
                reason,
                fetch_order=reason is not Reason.ITEMS_MISSING or bool(full_syncs),
                # Whatever the reason: after this fetch the full sync must not need the order again.
                force=changeable(state, frozenset[AnswerKind]().union(*again)) | request.also,
            )


def changed_orders(states: Mapping[str, OrderState], request: SyncRequest, now: datetime) -> list[Fetch]:
    """The orders to fetch, most urgent first; `states` is by order id.

    New and changed come before failed ones, these before a backlog, a full sync last; within each the order
    that BrickLink purges soonest goes first, and what is purged already goes last.
    """

    def urgency(fetch: Fetch) -> tuple[int, bool, datetime, str]:
        state = states[fetch.order_id]
        return _TIER[fetch.reason], is_purged(state.listed_status), purge_counts_from(state), fetch.order_id

    return sorted(_fetches(states, request, now), key=urgency)


def orders_to_recheck(
    states: Mapping[str, OrderState], changes: Collection[Fetch], request: SyncRequest, calls: int, now: datetime
) -> list[Fetch]:
    """Orders without a reason to fetch them that may have changed in ways no list shows; the longest unchecked first.

    Open orders come before finished ones, and their parts are fetched too: a seller may still change them.
    What is purged cannot change. All of them together take at most `calls` calls.
    """
    planned = {fetch.order_id for fetch in changes}

    def since_verified(state: OrderState) -> timedelta | None:
        if state.order_id in planned or state.order_fetched_at is None or state.failed or not state.is_listed:
            return None
        if is_purged(state.listed_status):
            return None
        wait = RECHECK_OPEN_AFTER if state.group in OPEN else RECHECK_AFTER
        since = now - state.order_fetched_at
        return since if since >= wait else None

    due = [(state, since) for state in states.values() if (since := since_verified(state)) is not None]
    due.sort(key=lambda entry: (entry[0].group not in OPEN, -entry[1], entry[0].order_id))
    rechecks: list[Fetch] = []
    parts = asked_parts(request)
    for state, _ in due:
        fetch = Fetch(state.order_id, Reason.RECHECK, force=parts if state.group in OPEN else request.also)
        cost = fetch.least_calls(parts)
        if cost <= calls:
            rechecks.append(fetch)
            calls -= cost
    return rechecks


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run fetches, and what it leaves for the next run because no calls are left."""

    fetches: list[Fetch]
    deferred: list[Fetch]


def plan_calls(changes: list[Fetch], calls_left: int, parts: Collection[AnswerKind]) -> Plan:
    """Cut the changes at the point at which the calls are used up; `parts` are those that the run fetches.

    The estimate is a low one, so that no call is left unused: the ledger is what keeps the budget.
    """
    spent = 0
    for position, fetch in enumerate(changes):
        if spent >= calls_left:
            return Plan(changes[:position], changes[position:])
        spent += fetch.least_calls(parts)
    return Plan(changes, [])


def plan(states: Mapping[str, OrderState], request: SyncRequest, calls_left: int, now: datetime) -> Plan:
    """What a run fetches: the changes, within the calls left, and with calls that are not needed some re-checks, and
    the parts that only some stores want.

    `states` is by order id.
    """
    changes = changed_orders(states, request, now)
    planned = plan_calls(changes, calls_left, asked_parts(request))
    if planned.deferred or not request.of_all_orders:
        return planned
    # Half of the calls that are left after all changes, with all parts: more changes may come during the day.
    most = wanted_parts(include_items=True) | request.also
    to_spare = (calls_left - sum(fetch.most_calls(most) for fetch in changes)) // 2
    rechecks = orders_to_recheck(states, changes, request, min(request.rechecks, to_spare), now)
    fetches = planned.fetches + rechecks
    to_spare -= sum(fetch.most_calls(most) for fetch in rechecks)
    ids = {fetch.order_id for fetch in fetches}
    return Plan(fetches + optional_fetches(states, ids, request.optional_parts, to_spare, now), [])


def as_listed(states: Mapping[str, OrderState], listed: Mapping[str, ListedOrder]) -> dict[str, OrderState]:
    """The stored states as they will be once what the lists say has been stored."""
    merged = dict(states)
    for order_id, order in listed.items():
        fresh = OrderState(
            order_id=order_id,
            order_date=order.order_date,
            listed_fingerprint=order.fingerprint,
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
                listed_fingerprint=fresh.listed_fingerprint,
                listed_status=fresh.listed_status,
                listed_status_changed_at=fresh.listed_status_changed_at,
                listed_filed=fresh.listed_filed,
                is_listed=True,
            )
        )
    return merged
