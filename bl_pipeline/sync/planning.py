"""The second step of a sync: decide which orders to fetch, within the call budget, and store the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import ceil
from uuid import uuid4

from bl_pipeline.records import Fetch, FullSync, OrderState, Reason, Stop, StopReason, SyncRequest
from bl_pipeline.rules.changes import RECHECK_AFTER, RECHECK_OPEN_AFTER, Plan, as_listed
from bl_pipeline.rules.changes import plan as plan_fetches
from bl_pipeline.rules.forecast import CALLS_TO_LIST, Forecast, forecast
from bl_pipeline.rules.kinds import asked_parts, wanted_parts
from bl_pipeline.rules.statuses import OPEN, PURGED
from bl_pipeline.sync.listing import ask_lists
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.warehouse import full_syncs, run_orders, runs, state
from bl_pipeline.warehouse.usage import WINDOW, count_run_calls

BATCH_SIZE = 1000
"""Orders per batch: at its end threads are idle, and each is a step of Dagster. It is loaded in smaller portions."""


def complete_request(session: SyncSession, request: SyncRequest) -> SyncRequest:
    """The request with the full syncs that are still open, the re-checks that are left of the day's, and the optional
    parts of the settings."""
    with session.warehouse.engine.connect() as connection:
        open_full_syncs = full_syncs.open_full_syncs(connection, session.warehouse)
        rechecked = run_orders.count_planned_calls(
            connection, session.warehouse, Reason.RECHECK, since=session.clock() - WINDOW
        )
    return replace(
        request,
        # Without items this run could not do what such a full sync asks for.
        full_syncs=[each for each in open_full_syncs if request.include_items or not each.include_items],
        rechecks=max(session.store.rechecks_per_day - rechecked, 0),
        optional_parts=session.store.optional_parts,
    )


def plan_changes(session: SyncSession, request: SyncRequest, *, batch_size: int = BATCH_SIZE) -> Plan | None:
    """Decide what to fetch and what to defer, and store it; None if the run was stopped before."""
    with session.transaction() as connection:
        stopped = runs.read_stop(connection, session.run_id)
        # Although the lists could not be asked: the next run that has calls goes on with the full sync.
        if request.full_sync and (stopped is None or stopped.reason is StopReason.BUDGET):
            full_syncs.request_full_sync(
                connection,
                session.warehouse,
                include_items=request.include_items,
                dates=request.dates,
                now=session.clock(),
            )
        if stopped:
            return None
        run = runs.read_run(connection, session.run_id)
    if request.order_ids == ():
        session.stop(Stop(StopReason.ERROR, "Which orders? Give at least one number in order_ids, such as 15646315."))
        return None
    request = complete_request(session, request)
    known = states_to_plan(session, request)
    unknown = [order_id for order_id in request.order_ids or () if order_id not in known]
    request = replace(request, order_ids=_known(request.order_ids, known))
    plan = plan_fetches(known, request, session.usage().left, session.clock())
    asked = run is not None and run.orders_listed is not None
    skipped = count_skipped(session, known, plan, request) if asked else 0
    _save_plan(session, plan, unknown=unknown, skipped=skipped, batch_size=batch_size)
    session.progress.planned(len(plan.fetches))
    return plan


def batch_numbers(plan: Plan | None, *, batch_size: int = BATCH_SIZE) -> range:
    """The numbers of the batches a plan is fetched in, from 1."""
    fetches = len(plan.fetches) if plan else 0
    return range(1, ceil(fetches / batch_size) + 1)


def _known(order_ids: tuple[str, ...] | None, known: Mapping[str, OrderState]) -> tuple[str, ...] | None:
    return None if order_ids is None else tuple(order_id for order_id in order_ids if order_id in known)


def states_to_plan(session: SyncSession, request: SyncRequest) -> dict[str, OrderState]:
    """The states that the plan of a complete request needs, by order id; not the many that it would leave out."""
    now = session.clock()
    with session.warehouse.engine.connect() as connection:
        if request.order_ids is not None or request.full_syncs:
            return state.read_states(connection, session.warehouse, request.order_ids)
        optional = request.optional_parts
        wanted = state.Wanted(
            parts=wanted_parts(include_items=request.include_items),
            purged=PURGED,
            open_groups=OPEN,
            open_before=now - RECHECK_OPEN_AFTER,
            others_before=now - RECHECK_AFTER,
            rechecks=request.rechecks,
            optional_groups=[group for part in optional for group in part.groups],
            optional_since=now - max(part.max_age for part in optional) if optional else None,
        )
        return state.read_states_to_plan(connection, session.warehouse, wanted)


def count_skipped(session: SyncSession, known: Mapping[str, OrderState], plan: Plan, request: SyncRequest) -> int:
    """How many orders the run was about and did not need to fetch; `known` has all that are in the plan."""
    planned = (known[fetch.order_id] for fetch in [*plan.fetches, *plan.deferred])
    with session.warehouse.engine.connect() as connection:
        all_of_them = state.count_sound(
            connection, session.warehouse, request.dates, include_filed=request.include_filed
        )
    return all_of_them - sum(
        order.is_listed
        and not order.failed
        and order.order_date in request.dates
        and (request.include_filed or not order.listed_filed)
        for order in planned
    )


def _save_plan(session: SyncSession, plan: Plan, *, unknown: Iterable[str], skipped: int, batch_size: int) -> None:
    planned = [replace(fetch, batch_number=position // batch_size + 1) for position, fetch in enumerate(plan.fetches)]
    # An order that is in no list is in no batch: it has failed already.
    failed = [Fetch(order_id, Reason.REQUESTED) for order_id in unknown]
    with session.transaction() as connection:
        run_orders.save_plan(connection, session.run_id, planned, plan.deferred, failed, skipped=skipped)


def forecast_sync(session: SyncSession, request: SyncRequest) -> Forecast:
    """Ask the lists, and say what a sync would fetch now; nothing is stored but the calls.

    Raises BrickLinkError, BudgetExhausted or SettingsError if the lists cannot be asked.
    """
    run_id = f"plan {uuid4()}"
    listed = ask_lists(session, run_id, include_filed=request.include_filed)
    with session.warehouse.engine.connect() as connection:
        calls_used = count_run_calls(connection, run_id)
        known = state.read_states(connection, session.warehouse)
    request = complete_request(session, request)
    if request.full_sync:
        asked = FullSync(session.clock(), request.include_items, request.dates)
        request = replace(request, full_syncs=[*request.full_syncs, asked])
    usage = session.usage()
    calls_for_lists = CALLS_TO_LIST if request.include_filed else 1
    return forecast(
        plan_fetches(as_listed(known, listed), request, max(usage.left - calls_for_lists, 0), session.clock()),
        orders_listed=len(listed),
        calls_for_lists=calls_for_lists,
        calls_used=calls_used,
        calls_left=usage.left,
        calls_a_day=session.store.budget.allowed,
        parts=asked_parts(request),
    )
