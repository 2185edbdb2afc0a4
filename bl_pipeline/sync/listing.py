"""The first step of a sync: ask BrickLink's lists of orders and store what they say of each sale."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from bl_pipeline.bricklink import BrickLinkClient, BrickLinkError, each_summary
from bl_pipeline.records import EVERY_DATE, ListedOrder, Stop, StopReason, SyncRequest
from bl_pipeline.rules.forecast import CALLS_TO_LIST
from bl_pipeline.rules.summaries import listed_orders
from bl_pipeline.settings import SettingsError
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.sync.settling import settle_writes
from bl_pipeline.sync.stops import stop_for
from bl_pipeline.sync.threads import in_a_thread
from bl_pipeline.warehouse import runs, state
from bl_pipeline.warehouse.ledger import BudgetExhausted

LISTS_FRESH_FOR = timedelta(hours=1)
"""A backfill runs once per month of orders: the lists asked by its first run serve the others."""


def list_orders(session: SyncSession, request: SyncRequest) -> int | None:
    """Ask BrickLink's lists and store what they say of each sale; the number of sales, None if not asked.

    First, the writes that a dead run has left open are settled: see `settle_writes`.
    """
    settle_writes(session)
    if session.is_stopped() or not _needs_lists(session, request):
        return None
    try:
        listed = ask_lists(session, session.run_id, include_filed=request.include_filed)
    except (BrickLinkError, BudgetExhausted, SettingsError) as error:
        session.stop(stop_for(error, session.clock(), listing=True))
        return None
    if not listed and request.include_filed:
        with session.warehouse.engine.connect() as connection:
            known = state.count_orders(connection, session.warehouse)
        if known.listed:
            message = (
                f"BrickLink lists no orders at all, but the warehouse has {known.all}. Nothing was changed. Check that "
                "the credentials are those of this store (BL_STORE), and try again later."
            )
            session.stop(Stop(StopReason.ERROR, message))
            return None
    _save_lists(session, listed, include_filed=request.include_filed, of_all=request.of_all_orders)
    return len(listed)


def _needs_lists(session: SyncSession, request: SyncRequest) -> bool:
    """Whether the run must ask BrickLink's lists (two calls), or the stored states are enough.

    Not for orders that failed, nor for requested orders that are all known. For part of the dates only if the lists
    were last asked more than LISTS_FRESH_FOR ago.
    """
    if request.only_failed:
        return False
    with session.warehouse.engine.connect() as connection:
        if request.order_ids is not None:
            known = state.read_states(connection, session.warehouse, request.order_ids)
            return any(order_id not in known for order_id in request.order_ids)
        if request.dates != EVERY_DATE:
            listed_at = runs.last_listed_at(connection, session.warehouse)
            # If the lists were asked in the future, the clock was set back since.
            return listed_at is None or not timedelta(0) <= session.clock() - listed_at <= LISTS_FRESH_FOR
    return True


def ask_lists(session: SyncSession, run_id: str, *, include_filed: bool) -> dict[str, ListedOrder]:
    """The sales in BrickLink's list of unfiled orders, and in that of filed ones, by order id; nothing is stored.

    `run_id` is the run that the ledger notes with the calls. Raises BudgetExhausted, before any call, if not all lists
    can be asked; BrickLinkError; SettingsError if the orders are stored under another name of the store; and
    Interrupted if the run was canceled.
    """
    session.check_store()
    usage = session.usage()
    if usage.left < (CALLS_TO_LIST if include_filed else 1):
        raise BudgetExhausted(usage.next_reset_at)
    with session.calling(run_id) as (client, _):
        listed = in_a_thread(session, lambda: _read_lists(client, include_filed=include_filed))
    session.check_store(listed)
    return listed


def _read_lists(client: BrickLinkClient, *, include_filed: bool) -> dict[str, ListedOrder]:
    # One after the other: if the first is refused, the second call is saved.
    unfiled = _listed(client, filed=False)
    return unfiled | _listed(client, filed=True) if include_filed else unfiled


def _listed(client: BrickLinkClient, *, filed: bool) -> dict[str, ListedOrder]:
    answer = client.orders(filed=filed)
    try:
        return listed_orders(each_summary(answer.raw), filed=filed)
    except BrickLinkError as error:
        error.method, error.path = answer.method, answer.path
        raise


def _save_lists(
    session: SyncSession,
    listed: Mapping[str, ListedOrder],
    *,
    include_filed: bool,
    of_all: bool,
) -> None:
    """Store in one transaction what the lists say, and note with the run how many sales they have.

    `listed` is by order id. Only orders of which the lists say something new are written. Orders that
    are in no list any more are marked as not listed, if both lists were asked (`include_filed`); what is stored of
    them stays. `of_all`: the run is about all orders, else it does not note the number.
    """
    now = session.clock()
    moved, gone = dict(listed), []
    with session.transaction() as connection:
        for stored in state.read_listed(connection, session.warehouse):
            order = listed.get(stored.order_id)
            if order is None:
                gone.append(stored.order_id)
            elif order == stored:
                del moved[stored.order_id]
        state.save_listed(connection, session.warehouse, moved.values(), now)
        # Without the filed list, an order gone from the other may just have been filed.
        if gone and include_filed:
            state.save_unlisted(connection, session.warehouse, gone)
        runs.save_orders_listed(
            connection, session.run_id, len(listed) if of_all else None, listed_at=now if include_filed else None
        )
