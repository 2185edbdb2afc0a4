"""The sync as a Dagster graph: list → plan → a fan-out of batches → finish.

Ops pass data to each other only through the database: between them is Dagster's Nothing, so any executor can run them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from bl_pipeline.columns import OPTIONAL_PARTS, PARTS, TABLES, AnswerKind
from bl_pipeline.defs import metadata
from bl_pipeline.defs.resources import SyncSessionResource
from bl_pipeline.defs.step_errors import explained
from bl_pipeline.records import EVERY_DATE, OrderDates, RunStatus, SyncRequest
from bl_pipeline.reports.questions import parse_order_number
from bl_pipeline.sync.interruptions import Interrupted

if TYPE_CHECKING:
    # What a run needs is imported when it runs: the definitions are loaded by every process of Dagster.
    from bl_pipeline.sync.session import SyncSession

PART_ASSETS = {TABLES[kind].name: kind for kind in PARTS}
ASSETS = ("order_summaries", "order_changes", "orders", *PART_ASSETS)
API_POOL = "bricklink_api"


class RequestConfig(dg.Config):
    """The request of a run, as the ops get it."""

    full_sync: bool = False
    include_filed: bool = True
    include_items: bool = True
    order_ids: list[str] | None = None
    only_failed: bool = False
    messages: bool = False
    feedback: bool = False

    def request(self, context: dg.OpExecutionContext) -> SyncRequest:
        """The request; a partitioned run is about the orders of its month."""
        dates = EVERY_DATE
        if context.has_partition_key:
            window = context.partition_time_window
            dates = OrderDates(window.start, window.end)
        order_ids = None
        if self.order_ids is not None:
            order_ids = tuple(dict.fromkeys(map(parse_order_number, self.order_ids)))
        return SyncRequest(
            include_filed=self.include_filed,
            include_items=self.include_items,
            full_sync=self.full_sync,
            order_ids=order_ids,
            only_failed=self.only_failed,
            dates=dates,
            also=frozenset(kind for kind in OPTIONAL_PARTS if getattr(self, kind)),
        )


def _begin(context: dg.OpExecutionContext, session: "SyncSession", request: SyncRequest) -> None:
    session.begin(
        context.run_id,
        job=context.job_name,
        of_all_orders=request.of_all_orders,
        waiting=lambda: context.log.info("Another sync of this store is running; waiting for it to end."),
    )


def _join(context: dg.OpExecutionContext, config: RequestConfig, session: "SyncSession", *, planned: bool) -> None:
    """Go on with a run that an earlier step has begun; `planned` if one has planned it, too.

    A run re-executed from the failure has no such step. The missing steps are done here: the answers and the plan of
    the failed run are outdated.
    """
    if session.run_id or session.attach(context.run_id):
        return
    from bl_pipeline.sync.run import catch_up  # noqa: PLC0415

    request = config.request(context)
    _begin(context, session, request)
    with run_step(context, session):
        catch_up(session, request, planned=planned)


@contextmanager
def run_step(context: dg.OpExecutionContext, session: "SyncSession") -> Iterator[None]:
    """Around each step: what ends the run before its end is noted, and shown as the newest event of `orders`."""
    from bl_pipeline.defs.store_state import show_end  # noqa: PLC0415

    try:
        with session.step():
            yield
    except GeneratorExit:  # as in SyncSession.step
        raise
    except BaseException as error:
        show_end(context, session)
        if not isinstance(error, Interrupted):
            raise
        # By `bl cancel`. Dagster gets the same as from its own Terminate.
        run = context.instance.get_run_by_id(context.run_id)
        if run is not None and not run.is_finished:
            context.instance.report_run_canceling(run, message="Canceled by bl cancel.")
        raise dg.DagsterExecutionInterruptedError from None


def _end(context: dg.OpExecutionContext, session: "SyncSession") -> dict[str, Any]:
    """Note the end of the run; its report. Raises dg.Failure if what stopped the run has to be repaired first."""
    from bl_pipeline.defs.store_state import show, sync_report  # noqa: PLC0415
    from bl_pipeline.sync.finishing import finish  # noqa: PLC0415

    with run_step(context, session):
        session.result = result = finish(session)
    report = sync_report(session, result)
    if result.run_status is RunStatus.FAILED:
        show(context.log_event, session, report)
        raise dg.Failure(result.message, metadata=report, allow_retries=False)
    return report


def _end_if_failed(context: dg.OpExecutionContext, session: "SyncSession") -> None:
    """End a run that cannot go on before its step reports what it has not done."""
    if session.has_failed():
        _end(context, session)


@dg.op(
    out=dg.Out(dg.Nothing),
    pool=API_POOL,
    description="Asks BrickLink's two lists of sales, unfiled and filed, and stores what they say of each order.",
)
@explained
def list_orders(
    context: dg.OpExecutionContext, config: RequestConfig, sync: SyncSessionResource
) -> Iterator[dg.Output[None]]:
    from bl_pipeline.sync import listing  # noqa: PLC0415

    request = config.request(context)
    _begin(context, sync.session, request)
    with run_step(context, sync.session):
        listed = listing.list_orders(sync.session, request)
    _end_if_failed(context, sync.session)
    yield dg.Output(
        None,
        metadata={
            **({} if listed is None else {"orders_listed": listed, "dagster/row_count": listed}),
            **metadata.usage_metadata(sync.session.usage()),
        },
    )


@dg.op(
    ins={"listed": dg.In(dg.Nothing)},
    out={"order_changes": dg.Out(dg.Nothing), "batches": dg.DynamicOut(dg.Nothing)},
    description="Finds new and changed orders, and plans what to fetch within the call budget.",
)
@explained
def plan_changes(
    context: dg.OpExecutionContext, config: RequestConfig, sync: SyncSessionResource
) -> Iterator[dg.Output[None] | dg.DynamicOutput[None]]:
    from bl_pipeline.sync import planning  # noqa: PLC0415

    _join(context, config, sync.session, planned=False)
    with run_step(context, sync.session):
        plan = planning.plan_changes(sync.session, config.request(context))
    _end_if_failed(context, sync.session)
    for number in planning.batch_numbers(plan):
        yield dg.DynamicOutput(None, mapping_key=f"batch_{number:04}", output_name="batches")
    yield dg.Output(None, "order_changes", metadata=metadata.plan_metadata(plan) if plan else {})


@dg.op(
    ins={"batch": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    pool=API_POOL,
    description="Fetches one batch of orders and their items, lands the answers and loads them.",
)
@explained
def fetch_orders(context: dg.OpExecutionContext, config: RequestConfig, sync: SyncSessionResource) -> None:
    from bl_pipeline.sync.fetching import fetch_batch  # noqa: PLC0415

    key = context.get_mapping_key()
    assert key is not None
    _join(context, config, sync.session, planned=True)
    with run_step(context, sync.session):
        counts = fetch_batch(sync.session, int(key.removeprefix("batch_")), include_items=config.include_items)
    context.log.info(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "nothing done")


@dg.op(
    ins={"fetched": dg.In(dg.Nothing)},
    out={
        "orders": dg.Out(dg.Nothing),
        **{
            # An asset that no run asks for is not materialized: it would look as if it were up to date.
            name: dg.Out(dg.Nothing, is_required=kind not in OPTIONAL_PARTS)
            for name, kind in PART_ASSETS.items()
        },
    },
    description="Notes the end of the run and reports its SyncResult.",
)
@explained
def finish_sync(
    context: dg.OpExecutionContext, config: RequestConfig, sync: SyncSessionResource
) -> Iterator[dg.Output[None]]:
    from bl_pipeline.defs.store_state import log_checks  # noqa: PLC0415

    _join(context, config, sync.session, planned=True)
    report = _end(context, sync.session)
    asked = config.request(context).also | {part.kind for part in sync.session.store.optional_parts}
    names = {name: kind for name, kind in PART_ASSETS.items() if kind in asked or kind not in OPTIONAL_PARTS}
    orders, *counts = sync.session.count_rows([AnswerKind.ORDER, *names.values()])
    reports = {"orders": {**report, "dagster/row_count": orders}}
    reports |= {name: {"dagster/row_count": count} for name, count in zip(names, counts, strict=True)}
    for name, values in reports.items():
        if context.has_assets_def:
            yield dg.Output(None, name, metadata=values)
        else:
            # A run about some orders is in the assets' history too. One that changed nothing makes nothing fresh.
            changed = report["orders_created"] or report["orders_updated"]
            event = dg.AssetMaterialization if changed else dg.AssetObservation
            context.log_event(event(name, metadata=values))
            yield dg.Output(None, name)
    if not context.has_assets_def:
        # The job of the assets has a step for them.
        log_checks(context.log_event, sync.session)


def sync_graph(name: str, config: dg.ConfigMapping, description: str) -> dg.GraphDefinition:
    """The sync with its own way of being asked."""

    @dg.graph(
        name=name,
        out={asset: dg.GraphOut() for asset in ASSETS},
        config=config,
        description=description,
    )
    def graph() -> dict[str, Any]:
        summaries = list_orders()
        changes, batches = plan_changes(summaries)
        orders, *parts = finish_sync(batches.map(fetch_orders).collect())
        made = {"order_summaries": summaries, "order_changes": changes, "orders": orders}
        return made | dict(zip(PART_ASSETS, parts, strict=True))

    return graph


def op_config(config: RequestConfig) -> dict[str, Any]:
    """The same request for every op that needs it."""
    values = {"config": config.model_dump()}
    return dict.fromkeys(("list_orders", "plan_changes", "fetch_orders", "finish_sync"), values)
