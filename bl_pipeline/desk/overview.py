"""The overview of a store: how it stands, and what can be done about it; and the page of one run."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from bl_pipeline.bricklink import BrickLinkError
from bl_pipeline.dagster_names import Job
from bl_pipeline.desk.failures import KINDS, Refused
from bl_pipeline.desk.next_sync import next_sync
from bl_pipeline.desk.pages import page
from bl_pipeline.desk.progress import RunState, read_run_state
from bl_pipeline.desk.state import Desk, DeskOf
from bl_pipeline.questions import parse_order_number
from bl_pipeline.records import ExitCode, StopReason
from bl_pipeline.rules.indicator import Indicator, Remedies
from bl_pipeline.sync.canceling import cancel_store
from bl_pipeline.sync.status import Status
from bl_pipeline.sync.stops import stop_for
from bl_pipeline.sync.trial import try_connection
from bl_pipeline.warehouse.ledger import BudgetExhausted
from bl_pipeline.warehouse.run_orders import only_order
from bl_pipeline.warehouse.state import failed_orders
from bl_pipeline.wording import plural

router = APIRouter()

ON_THE_DESK = Remedies(
    connect="The overview of the store says how to connect it.",
    sync="Start one: press Sync now.",
    repair="Press Sync now. While bl up runs, it syncs the store every half hour.",
    retry="Below you see why, and can try them again.",
    withdraw="To end it, press Cancel, or Withdraw the full sync.",
)
"""What is to be done, for somebody who sees the overview."""


def require_changes(desk: Desk) -> None:
    """Raise Refused if this desk is read-only."""
    if desk.read_only:
        raise Refused(403, "This desk is read-only", KINDS["read-only"], kind="read-only")


def launch(desk: Desk, job: str, config: dict[str, Any]) -> str:
    """Start a run of a job; returns its id. Raises Refused if it cannot start now, with the status of an endpoint."""
    require_changes(desk)
    with desk.launches.one_at_a_time:
        _check_launch(desk)
        return desk.launches.start(job, config)


def _check_launch(desk: Desk) -> None:
    status = desk.status(ON_THE_DESK)
    if desk.settings.store.credentials is None:
        raise Refused(409, "The store is not connected", status.reason, kind="not-connected")
    # A process ends some seconds after its run: another run can start as soon as the store's lock is free.
    begun = (read_run_state(desk, run_id) for run_id in desk.launches.running())
    if status.indicator is Indicator.SYNCING or any(run and run.goes_on for run in begun):
        how = "There is only one at a time. Wait until it has ended, or cancel it."
        raise Refused(409, "A sync is running", how, kind="sync-running")
    if status.calls.left == 0:
        reset = status.calls.next_reset_at
        again = f"Calls are free again from {reset:%Y-%m-%d %H:%M} UTC" if reset else "With these settings none is free"
        after = {"Retry-After": str(max(int((reset - desk.clock()).total_seconds()) + 1, 1))} if reset else {}
        at = {"nextResetAt": reset.astimezone(UTC).isoformat().replace("+00:00", "Z")} if reset else {}
        raise Refused(
            429,
            "The call budget is used up",
            f"{status.calls.used:,} calls were made in the last 24 hours. {again}. What was fetched is kept. "
            "To change the budget: BL_DAILY_CALL_LIMIT, BL_CALL_RESERVE.",
            after,
            at,
            "budget-used-up",
        )


def show_store(request: Request, desk: Desk) -> HTMLResponse:
    """The card of one store. A desk that only shows has no buttons, so it says what to do in a terminal."""
    status = desk.status(None if desk.read_only else ON_THE_DESK)
    with desk.source.reading() as (connection, warehouse):
        failed = failed_orders(connection, warehouse) if status.failed_orders else []
    return page(
        request,
        "overview",
        status=200,
        stands=status,
        word=status.indicator.replace("_", " ").capitalize(),
        next_sync=next_sync(desk),
        failed=failed,
        variables=desk.settings.credential_variables,
        stop=_stop(status),
        run=current_run(desk, status),
    )


def _stop(status: Status) -> StopReason | None:
    """What stopped the last run, if that is why the store is not synced."""
    run = status.last_run
    return run.stop_reason if run and status.indicator in (Indicator.ERROR, Indicator.STALE) else None


def current_run(desk: Desk, status: Status) -> RunState | None:
    """The run that is going on, or that this desk has started a moment ago."""
    running = desk.launches.running()
    if status.indicator is not Indicator.SYNCING and not running:
        return None
    run_id = running[-1] if running else status.last_run.run_id if status.last_run else ""
    return read_run_state(desk, run_id)


def _to_run(desk: Desk, run_id: str) -> RedirectResponse:
    return RedirectResponse(f"{desk.root}/runs/{run_id}", status_code=303)


@router.get("/problems")
def problems(request: Request) -> HTMLResponse:
    """What each `type` of the endpoints' problem details means."""
    return page(request, "problems", kinds=KINDS)


@router.post("/sync")
def sync(
    desk: DeskOf,
    full: Annotated[bool, Form()] = False,
    filed: Annotated[bool, Form()] = False,
    items: Annotated[bool, Form()] = False,
) -> RedirectResponse:
    """Sync now."""
    config = {"full_sync": full, "include_filed": filed, "include_items": items}
    return _to_run(desk, launch(desk, Job.SYNC_ORDERS, config))


@router.post("/test")
def test(request: Request, desk: DeskOf) -> HTMLResponse:
    """One call that shows whether BrickLink accepts the credentials."""
    require_changes(desk)
    try:
        sales = try_connection(desk.settings.store, desk.source.warehouse(), asked_by="desk")
    except (BrickLinkError, BudgetExhausted) as error:
        stop = stop_for(error, desk.clock(), listing=True)
        return page(request, "message", title="The connection does not work", text=stop.message)
    text = f"BrickLink accepts the credentials, and lists {plural(sales, 'unfiled order')}. This took one call."
    return page(request, "message", title="The connection works", text=text)


@router.get("/disconnect")
def disconnect(request: Request, desk: DeskOf) -> HTMLResponse:
    """How the credentials are removed."""
    return page(request, "disconnect", variables=desk.settings.credential_variables)


@router.post("/retry")
def retry(desk: DeskOf) -> RedirectResponse:
    """Try again the orders that failed."""
    return _to_run(desk, launch(desk, Job.RETRY_FAILED_ORDERS, {}))


@router.post("/orders/{order_id}/refresh")
def refresh(desk: DeskOf, order_id: str) -> RedirectResponse:
    """Fetch one order, also one that is not stored yet: the page that says so has a button for it."""
    return _to_run(desk, launch(desk, Job.REFRESH_ORDER, {"order_ids": [parse_order_number(order_id)]}))


@router.post("/cancel")
def cancel(request: Request, desk: DeskOf) -> HTMLResponse:
    """Cancel the running sync, and withdraw a full sync that is still open."""
    require_changes(desk)
    starting = [run_id for run_id in desk.launches.running() if _is_starting(desk, run_id)]
    for run_id in starting:
        desk.launches.interrupt(run_id)
    done = cancel_store(desk.source.warehouse())
    text = done.message(lambda time: f"{time:%Y-%m-%d %H:%M} UTC")
    title = "Canceled" if starting or done.run or done.full_syncs else "Nothing was canceled"
    if starting and done.run is None:
        withdrawn = f"\n{text}" if done.full_syncs else ""
        text = f"The sync was starting, and is canceled. Nothing more is asked of BrickLink.{withdrawn}"
    return page(request, "message", title=title, text=text)


def _is_starting(desk: Desk, run_id: str) -> bool:
    state = read_run_state(desk, run_id)
    return state is not None and not state.has_begun


@router.get("/runs/{run_id}")
def run(request: Request, desk: DeskOf, run_id: str) -> Response:
    """One run: its progress, then its result, which for a refresh of one order is on the page of the order."""
    state = read_run_state(desk, run_id)
    if state is None:
        why = "It may be of another store, or of another warehouse."
        raise Refused(404, "There is no such run", why, kind="no-such-run")
    again = "/retry" if state.job == Job.RETRY_FAILED_ORDERS else "/sync"
    if state.job == Job.REFRESH_ORDER and not state.goes_on:
        with desk.source.reading() as (connection, _):
            order_id = only_order(connection, run_id)
        if order_id is not None:
            if state.exit_code == ExitCode.DONE:
                return RedirectResponse(f"{desk.root}/orders/{order_id}?run={run_id}", status_code=303)
            again = f"/orders/{order_id}/refresh"
    stopped: dict[str, Any] = (
        {
            "calls": desk.status().calls,
            "next_sync": next_sync(desk),
            "variables": desk.settings.credential_variables,
        }
        if state.stop_reason
        else {}
    )
    return page(request, "run", run=state, stop=state.stop_reason, again=again, **stopped)
