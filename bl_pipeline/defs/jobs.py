"""The assets and jobs of a store's sync: one graph, asked in different ways."""

from datetime import timedelta
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from pydantic import Field

from bl_pipeline.dagster_names import Job, Names, names_of
from bl_pipeline.defs.metadata import rebuild_metadata, table_metadata
from bl_pipeline.defs.of_a_store import asset_key, job_of, session_of, settings_of
from bl_pipeline.defs.step_errors import explained
from bl_pipeline.defs.sync_graph import ASSETS, PART_ASSETS, RequestConfig, op_config, sync_graph
from bl_pipeline.rules.indicator import FRESH_FOR, STALE_AFTER, SYNC_EVERY, sync_offset
from bl_pipeline.settings import Store
from bl_pipeline.warehouse import tables

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2000-01-01", end_offset=1, timezone="UTC")
"""Months of order_date in UTC, the current one included.

They begin with BrickLink, not with the store's first order: the definitions are loaded by many processes, without the
warehouse and at different times, and all must agree on the months.
"""

_MINUTE = timedelta(minutes=1)


class SyncConfig(dg.Config):
    """How to sync."""

    full_sync: bool = Field(
        default=False,
        description="Fetch every order again, changed or not. Goes on over several runs if the call budget is used up.",
    )
    include_filed: bool = Field(
        default=True, description="Ask the list of filed orders too: one call, and changes to filed orders are seen."
    )
    include_items: bool = Field(default=True, description="Fetch the items of new and changed orders.")
    order_ids: list[str] = Field(
        default=[], description='Fetch only these orders, whatever is stored of them, such as ["15646315"].'
    )


class FullSyncConfig(dg.Config):
    """How to fetch a month's orders again."""

    include_items: bool = Field(default=True, description="Fetch the items of the orders again too.")


class RefreshConfig(dg.Config):
    """Which orders to fetch again."""

    order_ids: list[str] = Field(description='The orders to fetch again, such as ["15646315"].')
    include_items: bool = Field(default=True, description="Fetch the items of the orders again too.")
    messages: bool = Field(default=False, description="Fetch the messages about the orders too, a call for each.")
    feedback: bool = Field(default=False, description="Fetch the feedback about the orders too, a call for each.")


@dg.config_mapping
def sync_config(config: SyncConfig) -> dict[str, Any]:
    return op_config(RequestConfig(**{**config.model_dump(), "order_ids": config.order_ids or None}))


@dg.config_mapping
def full_sync_config(config: FullSyncConfig) -> dict[str, Any]:
    return op_config(RequestConfig(full_sync=True, include_items=config.include_items))


@dg.config_mapping
def refresh_config(config: RefreshConfig) -> dict[str, Any]:
    return op_config(RequestConfig(**config.model_dump()))


# With a schema of its own: Dagster warns of a Config class without fields.
@dg.config_mapping(config_schema={})
def retry_config(_nothing: dict[str, Any]) -> dict[str, Any]:
    return op_config(RequestConfig(only_failed=True))


_DESCRIPTIONS = {
    "order_summaries": "What BrickLink's lists say of each sale: sync.order_state.",
    "order_changes": "Which orders each run fetches, and why: sync.run_orders.",
    "orders": "Every sale, one row an order: sales.orders. Its metadata is the report of the sync.",
    "order_items": "Every lot of every sale: sales.order_items.",
    "order_messages": "Messages about sales, if BL_MESSAGES asks for them: sales.order_messages.",
    "order_feedback": "Feedback about sales, if BL_FEEDBACK asks for it: sales.order_feedback.",
}
_TABLES = {
    "order_summaries": tables.order_state,
    "order_changes": tables.run_orders,
    "orders": tables.orders,
    **{name: tables.parts[kind] for name, kind in PART_ASSETS.items()},
}
_FRESH = dg.FreshnessPolicy.time_window(warn_window=FRESH_FOR, fail_window=STALE_AFTER)


def sales_assets(names: Names) -> dg.AssetsDefinition:
    """The assets of the store's sync."""
    keys = {name: asset_key(names, name) for name in ASSETS}
    return dg.AssetsDefinition.from_graph(
        sync_graph(names, names.graph, sync_config, "Brings new and changed sales into the warehouse."),
        keys_by_output_name=keys,
        internal_asset_deps={
            "order_summaries": set(),
            "order_changes": {keys["order_summaries"]},
            **{name: {keys["order_changes"]} for name in ("orders", *PART_ASSETS)},
        },
        group_name=names.of("sales"),
        descriptions_by_output_name=_DESCRIPTIONS,
        metadata_by_output_name={name: table_metadata(table) for name, table in _TABLES.items()},
        tags_by_output_name={name: {"dagster/kind/bricklink": "", "dagster/kind/postgres": ""} for name in ASSETS},
    ).map_asset_specs(lambda spec: dg.apply_freshness_policy(spec, _FRESH) if spec.key == keys["orders"] else spec)


def sync_orders(names: Names, sales: dg.AssetsDefinition) -> UnresolvedAssetJobDefinition:
    """The ordinary sync: it materializes the assets."""
    return dg.define_asset_job(
        names.of(Job.SYNC_ORDERS),
        selection=dg.AssetSelection.assets(sales),
        description="Brings new and changed sales into the warehouse.",
    )


def other_jobs(names: Names) -> list[dg.JobDefinition]:
    """The store's jobs beside it that write nothing at BrickLink."""
    full_sync = sync_graph(
        names,
        names.of(Job.FULL_SYNC),
        full_sync_config,
        "Fetches every order of a month again, changed or not; backfill it over the months wanted. What a terminated "
        f"run leaves, the next syncs fetch: {names.of(Job.CANCEL_FULL_SYNC)} withdraws it.",
    )
    refresh_order = sync_graph(names, names.of(Job.REFRESH_ORDER), refresh_config, "Fetches the given orders again.")
    retry_failed_orders = sync_graph(
        names,
        names.of(Job.RETRY_FAILED_ORDERS),
        retry_config,
        "Tries again the orders that failed before, and only these.",
    )
    return [
        # The half-hourly sync runs between the months of a long backfill.
        full_sync.to_job(partitions_def=MONTHS, tags={"dagster/priority": "-1"}),
        refresh_order.to_job(),
        retry_failed_orders.to_job(),
        _rebuild(names),
        _cancel_full_sync(names),
    ]


def _rebuild(names: Names) -> dg.JobDefinition:
    @dg.op(
        name=names.of("replay_answers"),
        required_resource_keys={names.resource},
        description="Makes the tables of `sales` again from the answers as they were received, with no call.",
    )
    @explained
    def rebuild_sales(context: dg.OpExecutionContext) -> None:
        from bl_pipeline.defs.store_state import show_state  # noqa: PLC0415
        from bl_pipeline.sync.rebuild import rebuild as step  # noqa: PLC0415

        session = session_of(context, names)
        session.take_lock(lambda: context.log.info("A sync of this store is running; waiting for it to end."))
        result = step(session)
        context.add_output_metadata(rebuild_metadata(result))
        # What it repaired is no fault of the store any more.
        show_state(context.log_event, session)
        if result.undone:
            raise dg.Failure(result.message, metadata=rebuild_metadata(result), allow_retries=False)

    return job_of(
        rebuild_sales,
        name=names.of(Job.REBUILD),
        step="rebuild_sales",
        description="Makes `sales` again from `landing`, with no call to BrickLink.",
    )


def _cancel_full_sync(names: Names) -> dg.JobDefinition:
    @dg.op(
        name=names.of("withdraw_full_syncs"),
        required_resource_keys={names.resource},
        description="Withdraws the full syncs that are not complete: no later sync goes on with them.",
    )
    @explained
    def withdraw_full_syncs(context: dg.OpExecutionContext) -> None:
        from bl_pipeline.defs.store_state import show_state  # noqa: PLC0415
        from bl_pipeline.warehouse import full_syncs  # noqa: PLC0415

        session = session_of(context, names)
        with session.warehouse.engine.begin() as connection:
            withdrawn = full_syncs.withdraw_full_syncs(connection, session.warehouse, session.clock())
        context.add_output_metadata({"full_syncs_withdrawn": len(withdrawn)})
        show_state(context.log_event, session)

    return job_of(
        withdraw_full_syncs,
        name=names.of(Job.CANCEL_FULL_SYNC),
        step="withdraw_full_syncs",
        description="Withdraws a full sync that is still open, as bl cancel does. A run that is going on is not "
        "touched: terminate it under Runs.",
    )


def sync_schedule(store: Store, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """The schedule of the store's syncs: with several stores at minutes of its own, so that not all are at once."""
    names = names_of(store)
    every, after = SYNC_EVERY // _MINUTE, sync_offset(store.place, store.stores) // _MINUTE
    minutes = ",".join(map(str, range(after, 60, every))) if after else f"*/{every}"

    @dg.schedule(
        name=names.schedule,
        job=job,
        cron_schedule=f"{minutes} * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every half hour: two calls, and those for what has changed.",
    )
    @explained
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """A run, unless one is waiting already, such as for a long first sync: one more would find nothing to do."""
        now = settings_of(names).store
        if now.credentials is None:
            # Rather than a red run every half hour until the store is connected.
            return dg.SkipReason(now.no_credentials)
        waiting = dg.RunsFilter(job_name=job.name, statuses=[dg.DagsterRunStatus.QUEUED])
        if context.instance.get_run_records(waiting, limit=1):
            return dg.SkipReason("A sync is waiting for its turn already.")
        return dg.RunRequest()

    return schedule
