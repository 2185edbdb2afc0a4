"""The whole of a sync; Dagster's ops are its steps, one by one."""

from __future__ import annotations

from bl_pipeline.dagster_names import Job
from bl_pipeline.records import SyncRequest, SyncResult
from bl_pipeline.sync.fetching import fetch_batch
from bl_pipeline.sync.finishing import finish
from bl_pipeline.sync.listing import list_orders
from bl_pipeline.sync.planning import BATCH_SIZE, batch_numbers, plan_changes
from bl_pipeline.sync.session import SyncSession


def run_sync(
    session: SyncSession, request: SyncRequest, *, run_id: str, job: str = Job.SYNC_ORDERS, batch_size: int = BATCH_SIZE
) -> SyncResult:
    """List, plan, fetch batch by batch, and finish; waits for the store's lock if another sync has it.

    `run_id` and `job` name the run in sync.runs; `batch_size` is in orders. What stops the run, such as a budget that
    is used up, is in the result. Raises Interrupted if the run was canceled; an unexpected error is raised as
    it is.
    """
    session.begin(run_id, job=job, of_all_orders=request.of_all_orders)
    with session.step():
        list_orders(session, request)
    with session.step():
        plan = plan_changes(session, request, batch_size=batch_size)
    for number in batch_numbers(plan, batch_size=batch_size):
        with session.step():
            fetch_batch(session, number, include_items=request.include_items)
    with session.step():
        session.result = finish(session)
    return session.result


def catch_up(session: SyncSession, request: SyncRequest, *, planned: bool) -> None:
    """Do at once what earlier steps of a run would have done: its lists, and if `planned` its plan and its batches.

    A run that is re-executed from its failure begins in the middle, and the plan of the failed run is outdated.
    """
    list_orders(session, request)
    if planned:
        for number in batch_numbers(plan_changes(session, request)):
            fetch_batch(session, number, include_items=request.include_items)
