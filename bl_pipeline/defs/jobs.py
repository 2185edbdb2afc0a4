"""The sync's assets and jobs: one graph, asked in different ways."""

from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from bl_pipeline.defs.metadata import rebuild_metadata, table_metadata
from bl_pipeline.defs.resources import SyncSessionResource
from bl_pipeline.defs.step_errors import explained
from bl_pipeline.defs.sync_graph import ASSETS, PART_ASSETS, RequestConfig, op_config, sync_graph
from bl_pipeline.rules.indicator import FRESH_FOR, STALE_AFTER, SYNC_EVERY
from bl_pipeline.settings import NO_CREDENTIALS, load_settings
from bl_pipeline.warehouse import tables

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2000-01-01", end_offset=1, timezone="UTC")
"""Months of order_date in UTC, the current one included.

They begin with BrickLink, not with the store's first order: the definitions are loaded by many processes, without the
warehouse and at different times, and all must agree on the months.
"""


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
_key = dg.AssetKey

_FRESH = dg.FreshnessPolicy.time_window(warn_window=FRESH_FOR, fail_window=STALE_AFTER)

sales = dg.AssetsDefinition.from_graph(
    sync_graph("sync", sync_config, "Brings new and changed sales into the warehouse."),
    keys_by_output_name={name: _key(name) for name in ASSETS},
    internal_asset_deps={
        "order_summaries": set(),
        "order_changes": {_key("order_summaries")},
        **{name: {_key("order_changes")} for name in ("orders", *PART_ASSETS)},
    },
    group_name="sales",
    descriptions_by_output_name=_DESCRIPTIONS,
    metadata_by_output_name={name: table_metadata(table) for name, table in _TABLES.items()},
    tags_by_output_name={name: {"dagster/kind/bricklink": "", "dagster/kind/postgres": ""} for name in ASSETS},
).map_asset_specs(lambda spec: dg.apply_freshness_policy(spec, _FRESH) if spec.key == _key("orders") else spec)

sync_orders = dg.define_asset_job(
    "sync_orders",
    selection=dg.AssetSelection.assets(sales),
    description="Brings new and changed sales into the warehouse.",
)
full_sync = sync_graph(
    "full_sync",
    full_sync_config,
    "Fetches every order of a month again, changed or not; backfill it over the months wanted. What a terminated run "
    "leaves, the next syncs fetch: cancel_full_sync withdraws it.",
    # The half-hourly sync runs between the months of a long backfill.
).to_job(partitions_def=MONTHS, tags={"dagster/priority": "-1"})
refresh_order = sync_graph("refresh_order", refresh_config, "Fetches the given orders again.").to_job()
retry_failed_orders = sync_graph(
    "retry_failed_orders", retry_config, "Tries again the orders that failed before, and only these."
).to_job()


@dg.op(
    description="Makes the tables of `sales` again from the answers as they were received, with no call.",
)
@explained
def rebuild_sales(context: dg.OpExecutionContext, sync: SyncSessionResource) -> None:
    from bl_pipeline.defs.store_state import show_standing  # noqa: PLC0415
    from bl_pipeline.sync.rebuild import rebuild as step  # noqa: PLC0415

    sync.session.take_lock(lambda: context.log.info("A sync of this store is running; waiting for it to end."))
    result = step(sync.session)
    context.add_output_metadata(rebuild_metadata(result))
    # What it repaired is no fault of the store any more.
    show_standing(context.log_event, sync.session)
    if result.undone:
        raise dg.Failure(result.message, metadata=rebuild_metadata(result), allow_retries=False)


@dg.job(description="Makes `sales` again from `landing`, with no call to BrickLink.")
def rebuild() -> None:
    rebuild_sales()


@dg.op(
    description="Withdraws the full syncs that are not complete: no later sync goes on with them.",
)
@explained
def withdraw_full_syncs(context: dg.OpExecutionContext, sync: SyncSessionResource) -> None:
    from bl_pipeline.defs.store_state import show_standing  # noqa: PLC0415
    from bl_pipeline.warehouse import full_syncs  # noqa: PLC0415

    session = sync.session
    with session.warehouse.engine.begin() as connection:
        withdrawn = full_syncs.withdraw_full_syncs(connection, session.warehouse, session.clock())
    context.add_output_metadata({"full_syncs_withdrawn": len(withdrawn)})
    show_standing(context.log_event, session)


@dg.job(
    description="Withdraws a full sync that is still open, as bl cancel does. A run that is going on is not touched: "
    "terminate it under Runs."
)
def cancel_full_sync() -> None:
    withdraw_full_syncs()


@dg.schedule(
    job=sync_orders,
    cron_schedule=f"*/{SYNC_EVERY // timedelta(minutes=1)} * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every half hour: two calls, and those for what has changed.",
)
@explained
def sync_orders_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """A run, unless one is waiting already, for example for a long first sync: one more would find nothing to do."""
    if load_settings().store.credentials is None:
        # Rather than a red run every half hour until the store is connected.
        return dg.SkipReason(NO_CREDENTIALS)
    waiting = dg.RunsFilter(job_name=sync_orders.name, statuses=[dg.DagsterRunStatus.QUEUED])
    if context.instance.get_run_records(waiting, limit=1):
        return dg.SkipReason("A sync is waiting for its turn already.")
    return dg.RunRequest()
