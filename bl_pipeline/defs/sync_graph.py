"""The sync as a Dagster graph: list → plan → a fan-out of batches → finish.

Ops pass data to each other only through the database: between them is Dagster's Nothing, so any executor can run them.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg

from bl_pipeline.columns import OPTIONAL_PARTS, PARTS, TABLES, AnswerKind
from bl_pipeline.dagster_names import Job, Names, names_of
from bl_pipeline.defs import metadata
from bl_pipeline.defs.of_a_store import asset_key, session_of
from bl_pipeline.defs.step_errors import explained
from bl_pipeline.questions import parse_order_number
from bl_pipeline.records import EVERY_DATE, OrderDates, RunStatus, SyncRequest
from bl_pipeline.sync.interruptions import Interrupted

if TYPE_CHECKING:
    # What a run needs is imported when it runs: the definitions are loaded by every process of Dagster.
    from bl_pipeline.sync.session import SyncSession

PART_ASSETS = {TABLES[kind].name: kind for kind in PARTS}
ASSETS = ("order_summaries", "order_changes", "orders", *PART_ASSETS)


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
    """Note the run as begun, as soon as no other run has the store; raises what ends it if it is terminated."""
    names = names_of(session.store)
    _refuse_other_stores(context, names)
    run_id, job, of_all_orders = context.run_id, names.job(context.job_name), request.of_all_orders

    def waiting() -> None:
        context.log.info("Another sync of this store is running; waiting for it to end.")

    if session.lease is None:
        session.begin(run_id, job=job, of_all_orders=of_all_orders, waiting=waiting)
    elif not session.try_begin_distributed(run_id, job=job, of_all_orders=of_all_orders):
        waiting()
        while not session.try_begin_distributed(run_id, job=job, of_all_orders=of_all_orders):
            if session.canceled.wait(1.0) or session.is_terminated():
                raise dg.DagsterExecutionInterruptedError


def _refuse_other_stores(context: dg.OpExecutionContext, names: Names) -> None:
    """Raise dg.Failure if the run is to sync other stores too: what is noted of a run is of one store.

    Only who materializes assets of several stores at once can ask for it.
    """
    stores = {key.path[0] for key in context.job_def.asset_layer.executable_asset_keys if key.path[1:] == ["orders"]}
    if len(stores) > 1:
        raise dg.Failure(
            f"This run has assets of several stores: {', '.join(sorted(stores))}. A run syncs one store, so that none "
            "waits for another, and nothing was fetched.\nMaterialize the assets of one store at a time, such as those "
            f"of the group {names.of('sales')}, or launch {names.of(Job.SYNC_ORDERS)}.",
            allow_retries=False,
        )


def _join(context: dg.OpExecutionContext, config: RequestConfig, session: "SyncSession", *, planned: bool) -> None:
    """Go on with a run that an earlier step has begun; `planned` if one has planned it, too.

    A run re-executed from the failure has no such step. The missing steps are done here: the answers and the plan of
    the failed run are outdated.
    """
    if session.run_id or (session.lease and session.attach(context.run_id)):
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
        # By `bl cancel`, or by a signal whose exception was lost. Dagster gets the same as from its own Terminate.
        run = context.instance.get_run_by_id(context.run_id)
        if run is not None and not run.is_finished and run.status is not dg.DagsterRunStatus.CANCELING:
            by = " by bl cancel" if session.cancel_requested else ""
            context.instance.report_run_canceling(run, message=f"Canceled{by}.")
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


def _made(
    context: dg.OpExecutionContext,
    session: "SyncSession",
    asset: str,
    values: Mapping[str, Any],
    output_name: str | None = None,
) -> dg.Output[None]:
    """The output of a step that makes an asset, whose materialization shows these values.

    Given to the output itself, Dagster would store them a second time, with the event of the output.
    """
    if not context.has_assets_def:
        return dg.Output(None, output_name or asset, metadata=values)
    key = asset_key(names_of(session.store), asset)
    context.get_step_execution_context().add_asset_metadata(values, asset_key=key)
    return dg.Output(None, output_name or asset)


def _list_orders(
    context: dg.OpExecutionContext, config: RequestConfig, session: "SyncSession"
) -> Iterator[dg.Output[None]]:
    from bl_pipeline.sync import listing  # noqa: PLC0415

    request = config.request(context)
    _begin(context, session, request)
    with run_step(context, session):
        listed = listing.list_orders(session, request)
    _end_if_failed(context, session)
    counts = {} if listed is None else {"orders_listed": listed, "dagster/row_count": listed}
    report = counts | metadata.usage_metadata(session.usage())
    yield _made(context, session, "order_summaries", report, output_name="result")


def _plan_changes(
    context: dg.OpExecutionContext, config: RequestConfig, session: "SyncSession"
) -> Iterator[dg.Output[None] | dg.DynamicOutput[None]]:
    from bl_pipeline.sync import planning  # noqa: PLC0415

    _join(context, config, session, planned=False)
    with run_step(context, session):
        plan = planning.plan_changes(session, config.request(context))
    _end_if_failed(context, session)
    for number in planning.batch_numbers(plan):
        yield dg.DynamicOutput(None, mapping_key=f"batch_{number:04}", output_name="batches")
    yield _made(context, session, "order_changes", metadata.plan_metadata(plan) if plan else {})


def _fetch_orders(
    context: dg.OpExecutionContext, config: RequestConfig, session: "SyncSession"
) -> Iterator[dg.Output[None]]:
    from bl_pipeline.sync.fetching import fetch_batch  # noqa: PLC0415

    key = context.get_mapping_key()
    assert key is not None
    _join(context, config, session, planned=True)
    with run_step(context, session):
        counts = fetch_batch(session, int(key.removeprefix("batch_")), include_items=config.include_items)
    context.log.info(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "nothing done")
    yield dg.Output(None)


def _finish_sync(
    context: dg.OpExecutionContext, config: RequestConfig, session: "SyncSession"
) -> Iterator[dg.Output[None]]:
    """End the run, and show its result: materializations in the job of the assets, events of these assets elsewhere."""
    from bl_pipeline.defs.store_state import log_checks  # noqa: PLC0415

    _join(context, config, session, planned=True)
    report = _end(context, session)
    asked = config.request(context).also | {part.kind for part in session.store.optional_parts}
    parts = {name: kind for name, kind in PART_ASSETS.items() if kind in asked or kind not in OPTIONAL_PARTS}
    orders, *counts = session.count_rows([AnswerKind.ORDER, *parts.values()])
    reports = {"orders": {**report, "dagster/row_count": orders}}
    reports |= {name: {"dagster/row_count": count} for name, count in zip(parts, counts, strict=True)}
    names = names_of(session.store)
    for name, values in reports.items():
        if context.has_assets_def:
            yield _made(context, session, name, values)
        else:
            # A run about some orders is in the assets' history too. One that changed nothing makes nothing fresh.
            changed = report["orders_created"] or report["orders_updated"]
            event = dg.AssetMaterialization if changed else dg.AssetObservation
            context.log_event(event(asset_key(names, name), metadata=values))
            yield dg.Output(None, name)
    if not context.has_assets_def:
        # The job of the assets has a step for them.
        log_checks(context.log_event, session)


class SyncOps(NamedTuple):
    """One op for each step. In a graph they have the names of these fields, whatever the store."""

    list_orders: dg.OpDefinition
    plan_changes: dg.OpDefinition
    fetch_orders: dg.OpDefinition
    finish_sync: dg.OpDefinition


@cache
def sync_ops(names: Names) -> SyncOps:
    """The steps of the store's syncs."""
    nothing = dg.Out(dg.Nothing)
    return SyncOps(
        list_orders=_op(
            names,
            _list_orders,
            out=nothing,
            pool=names.pool,
            description="Asks BrickLink's two lists of sales, unfiled and filed, and stores what they say of each "
            "order.",
        ),
        plan_changes=_op(
            names,
            _plan_changes,
            ins={"listed": dg.In(dg.Nothing)},
            out={"order_changes": nothing, "batches": dg.DynamicOut(dg.Nothing)},
            description="Finds new and changed orders, and plans what to fetch within the call budget.",
        ),
        fetch_orders=_op(
            names,
            _fetch_orders,
            ins={"batch": dg.In(dg.Nothing)},
            out=nothing,
            pool=names.pool,
            description="Fetches one batch of orders and their items, lands the answers and loads them.",
        ),
        finish_sync=_op(
            names,
            _finish_sync,
            ins={"fetched": dg.In(dg.Nothing)},
            out={
                "orders": nothing,
                **{
                    # An asset that no run asks for is not materialized: it would look as if it were up to date.
                    name: dg.Out(dg.Nothing, is_required=kind not in OPTIONAL_PARTS)
                    for name, kind in PART_ASSETS.items()
                },
            },
            description="Notes the end of the run and reports its SyncResult.",
        ),
    )


def _op(
    names: Names,
    step: Callable[[dg.OpExecutionContext, RequestConfig, "SyncSession"], Iterator[Any]],
    **definition: Any,
) -> dg.OpDefinition:
    @explained
    def compute(context: dg.OpExecutionContext, config: RequestConfig) -> Iterator[Any]:
        yield from step(context, config, session_of(context, names))

    name = names.of(step.__name__.removeprefix("_"))
    return dg.op(name=name, required_resource_keys={names.resource}, **definition)(compute)


def sync_graph(names: Names, name: str, config: dg.ConfigMapping, description: str) -> dg.GraphDefinition:
    """The store's sync with its own way of being asked."""
    ops = sync_ops(names)
    list_orders, plan_changes, fetch_orders, finish_sync = (
        op.alias(step) for step, op in zip(SyncOps._fields, ops, strict=True)
    )

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
    return dict.fromkeys(SyncOps._fields, values)
