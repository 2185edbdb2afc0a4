"""The JSON endpoints: sync, status, orders. /api/openapi.json describes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StrictBool
from pydantic.alias_generators import to_camel

from bl_pipeline.columns import OPTIONAL_PARTS, OrderGroup
from bl_pipeline.dagster_names import Job
from bl_pipeline.desk import answers
from bl_pipeline.desk.failures import Refused
from bl_pipeline.desk.next_sync import next_sync
from bl_pipeline.desk.overview import current_run, launch, require_changes
from bl_pipeline.desk.progress import RunState, read_run_state
from bl_pipeline.desk.state import Desk, DeskOf, desks_of, view_of
from bl_pipeline.guard import PROBLEM
from bl_pipeline.questions import parse_order_number
from bl_pipeline.rules.statuses import STATUSES
from bl_pipeline.sync.status import Status
from bl_pipeline.warehouse.database import PLATFORM
from bl_pipeline.warehouse.landing import read_body
from bl_pipeline.warehouse.orders_list import LATEST_FIRST, SORTS, parse_filter, read_orders
from bl_pipeline.warehouse.runs import last_runs
from bl_pipeline.warehouse.sales import read_order, read_part
from bl_pipeline.warehouse.state import read_states

_STATUS = "/api/integrations/bricklink/status"
_MOST = 1000  # orders on a page
_LARGEST = 2**31 - 1

_PROBLEMS = {
    400: "The request cannot be read",
    401: "BL_DESK_TOKEN is set, and the request does not have it",
    403: "This desk is read-only (BL_DESK_READ_ONLY), or the request comes from a page of another site",
    404: "There is no such order, or no such run; or the address names none of several stores",
    409: "A sync is running already, or the store is not connected",
    422: "A value is not one that can be asked for",
    429: "The call budget is used up",
    503: "The warehouse cannot be reached",
}
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds until calls are free again", "schema": {"type": "integer", "minimum": 1}}
}


def _problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """These answers, and those that every endpoint has, for the description."""
    content = {PROBLEM: {"schema": answers.Problem.model_json_schema()}}
    return {
        code: {
            "description": _PROBLEMS[code],
            "content": content,
            **({"headers": _RETRY_AFTER} if code == 429 else {}),
        }
        for code in sorted({400, 401, 403, 422, 503, *codes})
    }


_LAUNCHED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "A run was started",
        "headers": {"Location": {"description": "The same as statusUrl", "schema": {"type": "string"}}},
    }
}

router = APIRouter(prefix="/api")

OrderNumber = Annotated[
    str,
    Path(
        description="BrickLink's order number, with or without BL- before it",
        # Only described: parse_order_number says better what is wrong.
        json_schema_extra={"pattern": r"^\s*([Bb][Ll]-)?[0-9]+\s*$", "examples": ["15646315"]},
    ),
]


class SyncOptions(BaseModel):
    """How to sync."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    include_filed: StrictBool = Field(
        default=True, description="Ask the list of filed orders too: one call, and changes to filed orders are seen"
    )
    full_sync: StrictBool = Field(
        default=False,
        description="Fetch every order again, changed or not; goes on over several runs if the budget is used up",
    )
    include_items: StrictBool = Field(default=True, description="Fetch the items of new and changed orders")


_SORTS: list[JsonValue] = [*SORTS, *(f"-{name}" for name in SORTS)]


def _known_sort(sort: str) -> str:
    if sort not in _SORTS:
        raise ValueError(f"it is one of {', '.join(map(str, _SORTS))}")
    return sort


class OrderQuery(BaseModel):
    """Which orders to list: the options of `bl orders`."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    search: str | None = Field(
        default=None,
        description="Part of the order's number, the buyer or the tracking number, or an item's number; case and "
        "accents do not count",
    )
    status: str | None = Field(
        default=None, description=f"BrickLink's word: {', '.join(STATUSES)}, or one that only this store has"
    )
    group: OrderGroup | None = Field(default=None, description="A group of statuses")
    platform: str | None = Field(default=None, description=f"Only this platform: {PLATFORM}")
    country: str | None = Field(
        default=None, description="Only this country: its code, such as DE, or its English name"
    )
    unpaid: bool = Field(
        default=False,
        description="Only orders that are not paid: of the groups pending, shipped, on_hold and unknown",
    )
    not_shipped: bool = Field(
        default=False,
        description="Only orders that are not sent: of the groups pending, processing, on_hold and unknown",
    )
    since: str | None = Field(
        default=None, description="From this year, month, day or time on, such as 2026-03 or 2026-03-14T09:30Z"
    )
    until: str | None = Field(default=None, description="Up to the end of this year, month, day or time")
    sort: Annotated[str, AfterValidator(_known_sort)] = Field(
        default=LATEST_FIRST,
        description="-total is the other way round than total: largest first",
        json_schema_extra={"enum": _SORTS},
    )
    store: str | None = Field(default=None, description="Only this store: its key")
    limit: int = Field(default=20, ge=1, le=_MOST, description="At most this number of orders")
    offset: int = Field(default=0, ge=0, le=_LARGEST, description="Leave out this number at the beginning")


def _launched(desk: Desk, run_id: str, response: Response) -> answers.Launched:
    url = f"{desk.root}{_STATUS}?runId={run_id}"
    response.headers["Location"] = url
    return answers.Launched(run_id=run_id, status_url=url)


@router.post("/integrations/bricklink/sync", status_code=202, responses=_LAUNCHED | _problems(404, 409, 429))
def sync(desk: DeskOf, response: Response, options: SyncOptions | None = None) -> answers.Launched:
    """Start a sync; without a body one of new and changed orders."""
    return _launched(desk, launch(desk, Job.SYNC_ORDERS, (options or SyncOptions()).model_dump()), response)


@router.get("/integrations/bricklink/status", responses=_problems(404))
def status(
    desk: DeskOf,
    run_id: Annotated[
        str | None,
        Query(alias="runId", description="`run` or `lastResult` is about this run; if not given, about the last one"),
    ] = None,
) -> answers.SyncStatus:
    """How the store stands, the run that is going on, and how the last one ended."""
    now = desk.status()
    running, ended = _runs(desk, now, run_id)
    return answers.SyncStatus(
        **_store_state(desk, now),
        run=None if running is None else _progress(running),
        last_result=None if ended is None else _result(ended, now),
    )


@router.get("/stores", responses=_problems())
def stores(request: Request) -> answers.StoreList:
    """The stores of this installation, and how each stands."""
    return answers.StoreList(
        stores=[
            answers.ListedStore(**_store_state(desk, desk.status()), api_url=f"{desk.root}/api")
            for desk in desks_of(request).all
        ]
    )


def _store_state(desk: Desk, now: Status) -> dict[str, Any]:
    """What answers.StoreState has."""
    return {
        "store": now.store,
        "indicator": now.indicator,
        "reason": now.reason,
        "connected": desk.settings.store.credentials is not None,
        "orders_synced": now.orders,
        "orders_failed": now.failed_orders,
        "last_synced_at": now.last_synced_at,
        "next_sync_at": next_sync(desk).at,
        "calls": answers.Calls.model_validate(now.calls),
    }


def _runs(desk: Desk, now: Status, run_id: str | None) -> tuple[RunState | None, RunState | None]:
    """The run that is going on, and the last that ended; if `run_id` is given, that one in its place."""
    if run_id is not None:
        state = read_run_state(desk, run_id)
        if state is None:
            how = "Give a runId as it was answered when the run was started."
            raise Refused(404, "There is no such run", how, kind="no-such-run")
        return (state, None) if state.goes_on else (None, state)
    running = current_run(desk, now)
    with desk.source.reading() as (connection, warehouse):
        # The latest one may be going on.
        latest = last_runs(connection, warehouse, limit=2)
    states = (read_run_state(desk, run.run_id) for run in latest)
    return (running if running and running.goes_on else None), next(
        (state for state in states if state and not state.goes_on), None
    )


def _progress(run: RunState) -> answers.Progress:
    return answers.Progress(
        run_id=run.run_id,
        job=run.job,
        percent=run.percent,
        orders_planned=run.planned,
        orders_fetched=run.fetched,
        orders_created=run.created,
        orders_updated=run.updated,
        orders_skipped=run.skipped,
        current_order_id=run.current,
        api_calls=run.api_calls,
        duration_seconds=run.seconds,
        is_stopping=run.is_stopping,
    )


def _result(run: RunState, now: Status) -> answers.Result:
    return answers.Result(
        run_id=run.run_id,
        job=run.job,
        success=not run.exit_code,
        exit_code=run.exit_code,
        orders_processed=run.created + run.updated + run.skipped,
        orders_created=run.created,
        orders_updated=run.updated,
        orders_skipped=run.skipped,
        orders_deferred=run.deferred,
        errors=[answers.OrderError(platform_order_id=one["order_id"], error=one["error"]) for one in run.errors],
        api_calls=run.api_calls,
        last_synced_at=now.last_synced_at,
        duration_seconds=run.seconds,
        stop_reason=run.stop_reason,
        message=run.message,
    )


@router.get("/orders", responses=_problems())
def orders(request: Request, query: Annotated[OrderQuery, Query()]) -> answers.OrderPage:
    """The stored orders, the latest first, in pages: of one store, or of all if the address names none."""
    view = view_of(request, query.store)
    wanted = replace(parse_filter(**query.model_dump(exclude={"store"})), stores=view.stores)
    with view.source.reading() as (connection, warehouse):
        found = read_orders(connection, warehouse, wanted)
    return answers.OrderPage(
        orders=[answers.ListedOrder.model_validate(row) for row in found.rows],
        count=found.count,
        limit=wanted.limit,
        offset=wanted.offset,
        totals=dict(found.totals),
        without_revenue=found.without_revenue,
    )


def _no_such_order(number: str) -> Refused:
    return Refused(
        404,
        f"There is no order {number} in the warehouse",
        "Look whether its number is right. If it is new at BrickLink, the next sync stores it.",
        kind="no-such-order",
    )


@router.get("/orders/{id}", responses=_problems(404), response_model=answers.NormalizedOrder)
def order(desk: DeskOf, id: OrderNumber) -> Response:
    """One order in full, with or without BL- before its number."""
    number = parse_order_number(id)
    with desk.source.reading() as (connection, warehouse):
        row = read_order(connection, warehouse, number)
        if row is None:
            raise _no_such_order(number)
        parts = {kind: read_part(connection, warehouse, number, kind) for kind in OPTIONAL_PARTS}
        raw = read_body(connection, row["order_document_id"])
    stored = {kind.value: part.rows if part and part.fetched_at else None for kind, part in parts.items()}
    found = answers.NormalizedOrder.model_validate(row | stored)
    body = found.model_dump_json(by_alias=True, exclude={"raw_data"})
    # As received: numbers that were read and written again may look different.
    return Response(f'{body[:-1]},"rawData":{raw or "null"}}}', media_type="application/json")


@router.post("/orders/{id}/refresh", status_code=202, responses=_LAUNCHED | _problems(404, 409, 429))
def refresh(desk: DeskOf, response: Response, id: OrderNumber) -> answers.Launched:
    """Fetch one order again, also one that has failed and is not stored yet."""
    require_changes(desk)
    number = parse_order_number(id)
    with desk.source.reading() as (connection, warehouse):
        if not read_states(connection, warehouse, [number]):
            raise _no_such_order(number)
    return _launched(desk, launch(desk, Job.REFRESH_ORDER, {"order_ids": [number]}), response)
