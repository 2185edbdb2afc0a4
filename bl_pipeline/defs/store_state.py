"""The state of the store, as the newest event of `orders` and in its checks: after every run, however it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from bl_pipeline.dagster_names import Names, names_of
from bl_pipeline.defs import metadata
from bl_pipeline.defs.check_results import check_specs, evaluate
from bl_pipeline.defs.of_a_store import asset_key
from bl_pipeline.records import Outcome, SyncResult
from bl_pipeline.sync.finishing import read_result
from bl_pipeline.sync.status import state_after_runs
from bl_pipeline.sync.unexpected import frames
from bl_pipeline.warehouse import run_orders, runs, trends
from bl_pipeline.warehouse.usage import ledger_key, read_usage

if TYPE_CHECKING:
    from bl_pipeline.sync.session import SyncSession


def sync_report(session: SyncSession, result: SyncResult) -> dict[str, Any]:
    """What the UI shows of the `orders` asset; the indicator is the one that `bl status` shows when the run is over."""
    warehouse, now = session.warehouse, session.clock()
    with warehouse.engine.connect() as connection:
        key = ledger_key(connection, session.store)
        usage = read_usage(connection, key, session.store.budget, now)
        created = run_orders.run_order_ids(connection, session.run_id, Outcome.CREATED, limit=metadata.ORDERS_LINKED)
        detected_by = run_orders.count_reasons(connection, session.run_id)
        report = {
            **state_after_runs(session.store, connection, warehouse, now).as_metadata,
            **metadata.result_metadata(result),
            "time_zone": session.store.timezone,
            **metadata.usage_metadata(usage),
            "calls_by_hour": metadata.calls_chart(trends.calls_by_hour(connection, key, now), usage),
            "orders_by_day": metadata.orders_chart(trends.orders_by_day(connection, warehouse, now), now),
            "last_runs": metadata.runs_table(runs.last_runs(connection, warehouse, limit=metadata.RUNS_SHOWN)),
        }
    if session.timezone_before:
        report["time_zone_before"] = session.timezone_before
    if created:
        report["new_orders"] = metadata.order_links(created, total=result.orders_created)
    if detected_by:
        report["detected_by"] = metadata.detected_by_table(detected_by)
    return report


def show_end(context: dg.OpExecutionContext, session: SyncSession) -> None:
    """In a step of a run that did not reach its end: show what sync.runs has of it.

    The user has to see what ended the run, so an error here does not hide it.
    """
    try:
        _show_noted(context.log_event, session)
    except Exception as error:
        where = "\n".join(frames(error))
        context.log.warning("The state of the store could not be shown: %s at\n%s", type(error).__name__, where)


def show_end_outside_of_a_run(instance: dg.DagsterInstance, session: SyncSession) -> None:
    """The same, if no step of the run can do it, for example after an interruption between two steps."""
    _show_noted(instance.report_runless_asset_event, session)


def _show_noted(log: Callable[[Any], None], session: SyncSession) -> None:
    show(log, session, sync_report(session, read_result(session.warehouse, session.run_id)))


def show(log: Callable[[Any], None], session: SyncSession, values: Mapping[str, Any]) -> None:
    """Log an observation of `orders` with these values, and the result of every check."""
    log(dg.AssetObservation(asset_key(names_of(session.store), "orders"), metadata=values))
    log_checks(log, session)


def show_state(log: Callable[[Any], None], session: SyncSession) -> None:
    """Show the state of the store now, without a run of a sync to report."""
    with session.warehouse.engine.connect() as connection:
        stands = state_after_runs(session.store, connection, session.warehouse, session.clock())
    show(log, session, stands.as_metadata)


def log_checks(log: Callable[[Any], None], session: SyncSession) -> None:
    """Log the result of every check."""
    keys = [spec.key for spec in check_specs(names_of(session.store))]
    for result in evaluate(session, keys):
        assert result.asset_key is not None
        assert result.check_name is not None
        log(
            dg.AssetCheckEvaluation(
                result.asset_key,
                result.check_name,
                result.passed,
                metadata=result.metadata,
                severity=result.severity,
            )
        )


def newest_event(instance: dg.DagsterInstance, names: Names) -> dict[str, Any] | None:
    """The metadata of the newest event of the store's `orders`, a materialization or an observation, if any."""
    orders = asset_key(names, "orders")
    records = [
        *instance.fetch_materializations(orders, limit=1).records,
        *instance.fetch_observations(orders, limit=1).records,
    ]
    if not records:
        return None
    newest = max(records, key=lambda record: record.storage_id)
    event = newest.asset_materialization or newest.asset_observation
    return {name: value.value for name, value in event.metadata.items()} if event else None
