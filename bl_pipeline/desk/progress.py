"""How far a run is, and how it ended: read from the warehouse, whatever process it runs in."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from bl_pipeline.desk.state import Desk
from bl_pipeline.records import ExitCode, Outcome, ReportedError, RunStatus, StopReason
from bl_pipeline.sync.finishing import read_result
from bl_pipeline.warehouse import run_orders, runs
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lease import DIED
from bl_pipeline.warehouse.lock import is_syncing

_LOST = "The process of the run ended before it could report. Nothing was stored. Try again."


@dataclass(frozen=True)
class RunState:
    """A run as a page shows it. Counts are of orders; `planned` is None until the lists were compared.

    `fetched` counts those whose answers were received; they are stored in batches, later.
    `errors` are those of the result.
    """

    run_id: str
    job: str = ""
    goes_on: bool = False
    is_canceled: bool = False
    is_stopping: bool = False
    planned: int | None = None
    fetched: int = 0
    created: int = 0
    updated: int = 0
    skipped: int = 0
    deferred: int = 0
    current: str | None = None
    seconds: float | None = None
    api_calls: int = 0
    stop_reason: StopReason | None = None
    message: str | None = None
    exit_code: int = ExitCode.DONE
    errors: list[ReportedError] = field(default_factory=list)

    @property
    def has_begun(self) -> bool:
        """Whether sync.runs has it."""
        return self.job != ""

    @property
    def percent(self) -> int | None:
        """How much of what was planned was fetched; None before anything was planned."""
        if self.planned is None:
            return None
        return 100 if not self.planned else min(100 * self.fetched // self.planned, 100)


def read_run_state(desk: Desk, run_id: str) -> RunState | None:
    """The state of a run; None if neither the warehouse nor this desk knows it."""
    # In this order: a process that ends between the two is seen by the second.
    is_ours = run_id in desk.launches.running()
    ended = None if is_ours else desk.launches.ended(run_id)
    with desk.source.reading() as (connection, warehouse):
        run = runs.read_run(connection, run_id)
        if run is None:
            if is_ours:
                return RunState(run_id, goes_on=True)
            if ended is None:
                return None
            return RunState(
                run_id,
                stop_reason=next((one for one in StopReason if one.exit_code == ended.exit_code), None),
                message=ended.message or _LOST,
                exit_code=ended.exit_code,
            )
        progress = run_orders.read_progress(connection, run_id)
        if run.status == RunStatus.STARTED and (is_ours or (ended is None and _is_alive(connection, warehouse, run))):
            counts = run_orders.count_outcomes(connection, run_id)
            return RunState(
                run_id,
                run.job,
                goes_on=True,
                is_stopping=progress.is_stopping,
                planned=None if run.orders_skipped is None else progress.planned,
                fetched=progress.fetched,
                created=counts[Outcome.CREATED],
                updated=counts[Outcome.UPDATED],
                skipped=counts[Outcome.SKIPPED] + (run.orders_skipped or 0),
                current=progress.current,
                seconds=(desk.clock() - run.started_at).total_seconds(),
                api_calls=progress.calls,
            )
    # With a connection of its own: not while that one is kept, or pages that ask at the same time wait for each other.
    result = read_result(warehouse, run_id)
    message = result.message
    if run.status == RunStatus.STARTED:
        # It could not note its end: Postgres was gone, for example. A process that was started here has said why.
        message = (ended and ended.message) or DIED
    return RunState(
        run_id,
        run.job,
        is_canceled=run.status == RunStatus.CANCELED,
        planned=progress.planned,
        fetched=progress.fetched,
        created=result.orders_created,
        updated=result.orders_updated,
        skipped=result.orders_skipped,
        deferred=result.orders_deferred,
        seconds=run.duration_seconds,
        api_calls=progress.calls,
        stop_reason=result.stop_reason,
        message=message,
        exit_code=result.exit_code,
        errors=result.errors,
    )


def _is_alive(connection: Connection, warehouse: Warehouse, run: runs.Run) -> bool:
    """Whether a started run goes on: it has the store's lock from before it is noted until its end is."""
    if is_syncing(connection, warehouse.store):
        return True
    now = runs.read_run(connection, run.run_id)
    # If it has ended meanwhile, the next look shows how.
    return now is not None and now.status != RunStatus.STARTED
