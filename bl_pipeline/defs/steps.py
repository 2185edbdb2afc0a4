"""The steps of a sync before and after its fan-out, as plain functions on a session; ops give them to Dagster.

A step that finds that nothing more can be done notes a stop with the run: the steps after it then do
nothing, and the last one reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from math import ceil

from bl_pipeline.bricklink import BrickLinkClient, BrickLinkError
from bl_pipeline.defs.session import SyncSession
from bl_pipeline.defs.stops import stop_for
from bl_pipeline.settings import SettingsError
from bl_pipeline.sync.changes import (
    EVERY_DATE,
    Fetch,
    FullSync,
    OrderDates,
    OrderState,
    Plan,
    Reason,
    Wanted,
    as_listed,
)
from bl_pipeline.sync.changes import plan as plan_fetches
from bl_pipeline.sync.forecast import Forecast, forecast
from bl_pipeline.sync.result import StopReason, SyncResult
from bl_pipeline.sync.summaries import ListedOrder, merge_lists
from bl_pipeline.warehouse import full_syncs, runs, state
from bl_pipeline.warehouse.ledger import WINDOW, BudgetExhausted, count_run_calls, ledger_key, read_usage

BATCH_SIZE = 50
"""Orders a batch: enough to keep its threads busy to the end, few enough for one transaction."""

LISTS_FRESH_FOR = timedelta(hours=1)
"""A backfill runs once per month of orders: the lists asked by its first run serve the others."""


@dataclass(frozen=True)
class SyncRequest:
    """What a run is asked for.

    `order_ids`: just these, whatever their state; None is every order. `only_failed`: just those that failed
    before. `full_sync`: fetch again whatever was fetched before now, of `dates` only where they are given.
    """

    include_filed: bool = True
    include_items: bool = True
    full_sync: bool = False
    order_ids: tuple[str, ...] | None = None
    only_failed: bool = False
    dates: OrderDates = EVERY_DATE

    @property
    def of_all_orders(self) -> bool:
        """Whether the run, if nothing stops it, brings every order in step."""
        return self.order_ids is None and not self.only_failed and self.dates == EVERY_DATE


def order_state(row: state.StateRow) -> OrderState:
    """A stored state as the planning sees it."""
    return OrderState(**{field.name: getattr(row, field.name) for field in fields(OrderState)})


def stop(session: SyncSession, reason: StopReason, message: str) -> None:
    """Note that the run cannot go on; the first reason stays."""
    with session.warehouse.engine.begin() as connection:
        runs.stop_run(connection, session.run_id, reason=reason, message=message)


def list_orders(session: SyncSession, request: SyncRequest) -> int | None:
    """Ask BrickLink's lists and store what they say of each sale; the number of sales, None where not asked."""
    with session.warehouse.engine.connect() as connection:
        known = {
            order_id: order_state(row) for order_id, row in state.read_states(connection, session.warehouse).items()
        }
        listed_at = runs.last_listed_at(connection, session.warehouse)
    if not _needs_lists(request, known, listed_at, session.clock()):
        return None
    try:
        session.check_store()
    except SettingsError as error:
        stop(session, *stop_for(error, session.clock()))
        return None
    usage = session.usage()
    lists_wanted = 2 if request.include_filed else 1
    if usage.left < lists_wanted:
        stop(session, *stop_for(BudgetExhausted(usage.next_reset_at), session.clock()))
        return None
    try:
        with session.client(session.run_id) as client:
            listed = _ask_lists(client, include_filed=request.include_filed)
        session.check_store(listed)
    except (BrickLinkError, BudgetExhausted, SettingsError) as error:
        stop(session, *stop_for(error, session.clock(), listing=True))
        return None
    if not listed and request.include_filed and any(known_order.is_listed for known_order in known.values()):
        stop(
            session,
            StopReason.ERROR,
            f"BrickLink lists no orders at all, but the warehouse has {len(known)}. Nothing was changed. Check that "
            "the credentials are those of this store (BL_STORE), and try again later.",
        )
        return None
    _save_lists(session, known, listed, include_filed=request.include_filed, of_all=request.of_all_orders)
    return len(listed)


def _needs_lists(
    request: SyncRequest, known: Mapping[str, OrderState], listed_at: datetime | None, now: datetime
) -> bool:
    if request.only_failed:
        return False
    if request.order_ids is not None:
        return any(order_id not in known for order_id in request.order_ids)
    if request.dates != EVERY_DATE:
        # Lists asked in the future were asked before the clock was set back.
        return listed_at is None or not timedelta(0) <= now - listed_at <= LISTS_FRESH_FOR
    return True


def _ask_lists(client: BrickLinkClient, *, include_filed: bool) -> dict[str, ListedOrder]:
    # One after the other: where the first is refused, the second call is spared.
    unfiled, unreadable = client.orders(filed=False).read()
    if not include_filed:
        return merge_lists([*unfiled, *unreadable], [])
    filed, unreadable_filed = client.orders(filed=True).read()
    return merge_lists([*unfiled, *unreadable], [*filed, *unreadable_filed])


def _save_lists(
    session: SyncSession,
    known: Mapping[str, OrderState],
    listed: Mapping[str, ListedOrder],
    *,
    include_filed: bool,
    of_all: bool,
) -> None:
    now = session.clock()
    moved = [
        state.Listing(
            order_id=order.order_id,
            order_date=order.order_date,
            content_hash=order.content_hash,
            status=order.status,
            status_changed_at=order.status_changed_at,
            is_filed=order.is_filed,
        )
        for order in listed.values()
        if order.order_id not in known or not known[order.order_id].listed_as(order)
    ]
    gone = [
        order.order_id
        for order in known.values()
        if order.is_listed and order.order_id not in listed and (include_filed or not order.listed_filed)
    ]
    with session.warehouse.engine.begin() as connection:
        state.save_listings(connection, session.warehouse, moved, now)
        # Without the filed list, an order gone from the other may just have been filed.
        if gone and include_filed:
            state.save_unlisted(connection, session.warehouse, gone)
        runs.save_orders_listed(
            connection, session.run_id, len(listed) if of_all else None, listed_at=now if include_filed else None
        )


def wanted_for(session: SyncSession, request: SyncRequest) -> Wanted:
    """The request with the full syncs that are still to be completed."""
    with session.warehouse.engine.connect() as connection:
        open_requests = full_syncs.open_full_syncs(connection, session.warehouse)
        rechecked = runs.count_planned_calls(
            connection, session.warehouse, Reason.RECHECK, since=session.clock() - WINDOW
        )
    return Wanted(
        include_items=request.include_items,
        order_ids=request.order_ids or (),
        only_failed=request.only_failed,
        dates=request.dates,
        full_syncs=[
            FullSync(entry.requested_at, entry.include_items, OrderDates(entry.orders_from, entry.orders_before))
            for entry in open_requests
            # Without items this run could not do what such a full sync asks for.
            if request.include_items or not entry.include_items
        ],
        rechecks=max(session.settings.bl_rechecks_per_day - rechecked, 0),
    )


def plan_changes(session: SyncSession, request: SyncRequest) -> Plan | None:
    """Decide what to fetch and what to defer, and store it; None where the run was stopped before."""
    with session.warehouse.engine.begin() as connection:
        stopped = runs.read_stop(connection, session.run_id)
        # Where not even the lists could be asked, the next run that has calls goes on with the full sync.
        if request.full_sync and (stopped is None or stopped[0] == StopReason.BUDGET):
            full_syncs.request_full_sync(
                connection,
                session.warehouse,
                include_items=request.include_items,
                orders_from=request.dates.start,
                orders_before=request.dates.before,
                now=session.clock(),
            )
        if stopped:
            return None
        known = {
            order_id: order_state(row) for order_id, row in state.read_states(connection, session.warehouse).items()
        }
        run = runs.read_run(connection, session.run_id)
    if request.order_ids == ():
        stop(session, StopReason.ERROR, "Which orders? Give at least one number in order_ids, such as 15646315.")
        return None
    unknown = [order_id for order_id in request.order_ids or () if order_id not in known]
    request = replace(request, order_ids=_known(request.order_ids, known))
    if request.order_ids == ():
        plan = Plan([], [])
    else:
        plan = plan_fetches(known, wanted_for(session, request), session.usage().left, session.clock())
    asked = run is not None and run.orders_listed is not None
    skipped = _count_unchanged(known, plan, request) if asked else 0
    _save_plan(session, plan, unknown=unknown, skipped=skipped)
    session.progress.planned(len(plan.fetches))
    return plan


def batch_numbers(plan: Plan | None) -> range:
    """The numbers of the batches a plan is fetched in, from 1."""
    fetches = len(plan.fetches) if plan else 0
    return range(1, ceil(fetches / BATCH_SIZE) + 1)


def _known(order_ids: tuple[str, ...] | None, known: Mapping[str, OrderState]) -> tuple[str, ...] | None:
    return None if order_ids is None else tuple(order_id for order_id in order_ids if order_id in known)


def _count_unchanged(known: Mapping[str, OrderState], plan: Plan, request: SyncRequest) -> int:
    to_fetch = {fetch.order_id for fetch in [*plan.fetches, *plan.deferred]}
    return sum(
        order.is_listed
        and not order.failed
        and order.order_id not in to_fetch
        and order.order_date in request.dates
        and (request.include_filed or not order.listed_filed)
        for order in known.values()
    )


def _save_plan(session: SyncSession, plan: Plan, *, unknown: Iterable[str], skipped: int) -> None:
    def planned(fetches: list[Fetch]) -> list[runs.PlannedOrder]:
        return [
            runs.PlannedOrder(
                order_id=fetch.order_id,
                batch_number=position // BATCH_SIZE + 1,
                reason=fetch.reason,
                fetch_order=fetch.fetch_order,
                force_items=fetch.force_items,
            )
            for position, fetch in enumerate(fetches)
        ]

    # One that no list has belongs to no batch: it has failed before it was asked for.
    failed = [
        runs.PlannedOrder(order_id, batch_number=0, reason=Reason.REQUESTED, fetch_order=True, force_items=False)
        for order_id in unknown
    ]
    with session.warehouse.engine.begin() as connection:
        runs.save_plan(
            connection, session.run_id, planned(plan.fetches), planned(plan.deferred), failed, skipped=skipped
        )


def finish(session: SyncSession) -> SyncResult:
    """Note the end of the run and report it."""
    warehouse, run_id, now = session.warehouse, session.run_id, session.clock()
    with warehouse.engine.begin() as connection:
        run = runs.read_run(connection, run_id)
        assert run is not None
        counts = runs.count_outcomes(connection, run_id)
        counts["skipped"] = counts.get("skipped", 0) + (run.orders_skipped or 0)
        errors = runs.run_errors(connection, warehouse, run_id)
        counts["failed"] = len(errors)
        calls = count_run_calls(connection, run_id)
        if counts.get("deferred"):
            key = ledger_key(connection, session.settings, warehouse.store)
            usage = read_usage(connection, key, session.budget, now)
            # Orders that failed may have left calls of those that were kept for them: the next run can go on at once.
            reason, message = stop_for(BudgetExhausted(usage.next_reset_at or (now if usage.left else None)), now)
            runs.stop_run(connection, run_id, reason=reason, message=message)
        stopped = runs.read_stop(connection, run_id)
        full_syncs.complete_full_syncs(connection, warehouse, now)
        result = SyncResult(
            orders_created=counts.get("created", 0),
            orders_updated=counts.get("updated", 0),
            orders_skipped=counts["skipped"],
            orders_deferred=counts.get("deferred", 0),
            errors=errors,
            api_calls=calls,
            stop_reason=StopReason(stopped[0]) if stopped else None,
            message=stopped[1] if stopped else None,
        )
        elapsed = runs.finish_run(
            connection,
            run_id,
            status=result.run_status,
            counts=counts,
            api_calls=calls,
            detected_by=runs.count_reasons(connection, run_id),
            now=now,
        )
        last_synced_at = runs.last_synced_at(connection, warehouse)
    return replace(result, last_synced_at=last_synced_at, duration_seconds=elapsed.total_seconds())


def forecast_sync(session: SyncSession, request: SyncRequest) -> Forecast:
    """Ask the lists, and say what a sync would fetch now; nothing is stored but the calls.

    Raises BrickLinkError, BudgetExhausted or SettingsError where the lists cannot be asked.
    """
    session.check_store()
    usage = session.usage()
    lists_wanted = 2 if request.include_filed else 1
    if usage.left < lists_wanted:
        raise BudgetExhausted(usage.next_reset_at)
    with session.client("plan") as client:
        listed = _ask_lists(client, include_filed=request.include_filed)
    session.check_store(listed)
    with session.warehouse.engine.connect() as connection:
        known = {
            order_id: order_state(row) for order_id, row in state.read_states(connection, session.warehouse).items()
        }
    wanted = wanted_for(session, request)
    if request.full_sync:
        wanted = replace(
            wanted, full_syncs=[*wanted.full_syncs, FullSync(session.clock(), request.include_items, request.dates)]
        )
    usage = session.usage()
    return forecast(
        plan_fetches(as_listed(known, listed), wanted, usage.left, session.clock()),
        orders_listed=len(listed),
        calls_left=usage.left,
        calls_a_day=session.budget.allowed,
        include_items=request.include_items,
    )
