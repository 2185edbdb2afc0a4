"""Old runs deleted from Dagster's history, with their events, logs and results of checks."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    ConcurrencySlotsTable,
    PendingStepsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable
from sqlalchemy import delete, func, select

_AT_A_TIME = 500
"""Runs a transaction: Dagster's own way takes some connections and statements for each run."""


def delete_runs_before(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete the runs that ended and were created before then, with all that is stored of them; returns how many.

    Some hundred at a time: an interruption leaves the others as they are, and the next call goes on with them.
    """
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    run_ids = instance.get_run_ids(dg.RunsFilter(created_before=before, statuses=ended))
    kept = _runs_last_seen(instance)
    old = [run_id for run_id in reversed(run_ids) if run_id not in kept]  # the oldest first
    for start in range(0, len(old), _AT_A_TIME):
        _delete(instance, old[start : start + _AT_A_TIME])
    _delete_check_results(instance, before)
    return len(old)


def _delete(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    """Like `instance.delete_run`, for many runs at once; the runs come last, so that it can be repeated."""
    events, runs = instance.event_log_storage, instance.run_storage
    assert isinstance(events, SqlEventLogStorage)
    assert isinstance(runs, SqlRunStorage)
    of_these = SqlEventLogStorageTable.c.run_id.in_(run_ids)
    with events.index_connection() as connection:
        waiting = {
            run_id
            for table in (ConcurrencySlotsTable, PendingStepsTable)
            for (run_id,) in connection.execute(select(table.c.run_id).where(table.c.run_id.in_(run_ids)))
        }
        event_ids = select(SqlEventLogStorageTable.c.id).where(of_these)
        connection.execute(delete(AssetEventTagsTable).where(AssetEventTagsTable.c.event_id.in_(event_ids)))
        connection.execute(delete(SqlEventLogStorageTable).where(of_these))
    for run_id in waiting:
        events.free_concurrency_slots_for_run(run_id)
    for run_id in run_ids:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    with runs.connect() as connection:
        connection.execute(delete(RunsTable).where(RunsTable.c.run_id.in_(run_ids)))


def _delete_check_results(instance: dg.DagsterInstance, before: datetime) -> None:
    """Those of before then but the last one of each check: Dagster leaves them when it deletes their run."""
    events = instance.event_log_storage
    assert isinstance(events, SqlEventLogStorage)
    results = AssetCheckExecutionsTable.c
    last = select(func.max(results.id)).group_by(results.asset_key, results.check_name)
    # The column has no time zone; it is in UTC.
    is_old = results.create_timestamp < before.astimezone(UTC).replace(tzinfo=None)
    with events.index_connection() as connection:
        connection.execute(delete(AssetCheckExecutionsTable).where(is_old, results.id.not_in(last)))


def _runs_last_seen(instance: dg.DagsterInstance) -> set[str]:
    """The run of each asset's last materialization: without it, the asset would look as if it had never been made."""
    events = [instance.get_latest_materialization_event(key) for key in instance.get_asset_keys()]
    return {event.run_id for event in events if event is not None}
