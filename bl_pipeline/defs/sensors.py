"""Sensors that send a message if a run fails, if the warehouse becomes stale, or if a sync was not complete."""

import json
import time
from collections.abc import Iterator

import dagster as dg

from bl_pipeline.clock import utc_now
from bl_pipeline.dagster_names import Job, Names, names_of
from bl_pipeline.defs.dead_runs import end_dead_runs, end_given_up_run, is_sync_of
from bl_pipeline.defs.notify import notify, without_secrets
from bl_pipeline.defs.step_errors import explained
from bl_pipeline.records import RunStatus
from bl_pipeline.rules.indicator import Indicator, is_stale
from bl_pipeline.settings import Settings, load_installation, load_stores
from bl_pipeline.wording import plural

EVERY_FIVE_MINUTES = 300
_TITLES = {
    Indicator.NOT_CONNECTED: "the store is not connected",
    Indicator.STALE: "the warehouse is stale",
    "failed": "orders failed",
    "deferred": "stopped at the call budget",
}


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports why a run failed and what to do, in the log and to BL_NOTIFY_URLS.",
)
@explained
def run_failed(context: dg.RunFailureSensorContext) -> None:
    """One message for each failed run, with the run's own text; none if the run before failed for the same reason."""
    steps = [event.step_failure_data for event in context.get_step_failure_events()]
    texts = [data.user_failure_data.description for data in steps if data.user_failure_data]
    message = next((text for text in texts if text), context.failure_event.message or "Its log in Dagster says why.")
    for settings in load_stores():
        names = names_of(settings.store)
        if context.dagster_run.job_name in map(names.of, Job) or is_sync_of(names, context.dagster_run):
            break
    else:
        # Of no store, such as delete_old_runs.
        settings, names = load_installation(), Names()
    if _reported_before(settings, context.dagster_run.run_id):
        # Refused credentials would be reported 48 times a day.
        context.log.info("As the run before: %s", without_secrets(settings, message))
        return
    job = names.job(context.dagster_run.job_name)
    notify(settings, title=f"{_sender(names)}: {job} failed", message=message, log=context.log)


@dg.sensor(
    name="sync_incomplete",
    minimum_interval_seconds=EVERY_FIVE_MINUTES,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports if the warehouse is stale, or if a sync ended with failed or deferred orders.",
)
@explained
def sync_incomplete(context: dg.SensorEvaluationContext) -> Iterator[dg.SkipReason]:
    """One message each time the state of a store becomes one to report; asks the warehouse, not BrickLink."""
    before = json.loads(context.cursor) if context.cursor else {}
    states, reported = {}, {}
    for settings in load_stores():
        store = settings.bl_store
        # Before there could be several stores, the cursor was the list of the only one.
        of_store = before.get(store, []) if isinstance(before, dict) else before
        states[store], reported[store] = _report_state(context, settings, of_store)
    context.update_cursor(json.dumps(reported))
    yield dg.SkipReason("; ".join(f"{store} is {state}" for store, state in states.items()))


def _report_state(
    context: dg.SensorEvaluationContext, settings: Settings, reported: list[str]
) -> tuple[Indicator, list[str]]:
    """Report what is new since these kinds of messages were sent; returns the state, and the kinds that are known."""
    from bl_pipeline.defs.store_state import newest_event, show_state  # noqa: PLC0415
    from bl_pipeline.sync.session import open_session  # noqa: PLC0415
    from bl_pipeline.sync.status import read_status  # noqa: PLC0415

    names = names_of(settings.store)
    with open_session(settings) as session:
        state = read_status(session.store, session.warehouse)
        if state.indicator is Indicator.SYNCING:
            return state.indicator, reported
        if (newest_event(context.instance, names) or {}).get("indicator") != state.indicator:
            # Time makes stale, and a process that was killed could show nothing itself.
            show_state(context.instance.report_runless_asset_event, session)
    messages: dict[str, str] = {}
    if state.indicator is Indicator.NOT_CONNECTED or (
        state.indicator is Indicator.STALE and state.last_run and is_stale(state.last_synced_at, state.now)
    ):
        messages[state.indicator] = state.reason
    if state.failed_orders:
        messages["failed"] = (
            f"{plural(state.failed_orders, 'order')} could not be fetched or read; "
            f"`{settings.store.command('errors')}` says why."
        )
    if state.last_run and state.last_run.status is RunStatus.STOPPED_AT_BUDGET:
        messages["deferred"] = state.last_run.message or "The call budget is used up."
    # Half-hourly runs would report the same 48 times a day: report it once, until it has passed.
    return state.indicator, [
        kind
        for kind, message in messages.items()
        if kind in reported
        or notify(settings, title=f"{_sender(names)}: {_TITLES[kind]}", message=message, log=context.log)
    ]


def _sender(names: Names) -> str:
    """What titles of messages begin with: with several stores the store too."""
    return f"bl_pipeline: {names.store}" if names.store else "bl_pipeline"


@dg.sensor(
    name="runs_cut_short",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends syncs whose process is gone, for example after a power failure, so that the next one can run.",
)
@explained
def runs_cut_short(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Looks for started runs without a process, of the stores whose lock no process has."""
    from bl_pipeline.warehouse.database import open_warehouse  # noqa: PLC0415
    from bl_pipeline.warehouse.lease import leased_run  # noqa: PLC0415
    from bl_pipeline.warehouse.lock import is_syncing  # noqa: PLC0415

    stores = load_stores()
    quiet = {settings.bl_store: names_of(settings.store) for settings in stores}
    with open_warehouse(load_installation()) as warehouse, warehouse.engine.connect() as connection:
        for settings in stores:
            if run_id := leased_run(connection, settings.bl_store):
                end_given_up_run(context.instance, settings, run_id)
        # Twice: a run that waits for the lock takes it a second after it was released.
        for wait in (3, 0):
            quiet = {store: names for store, names in quiet.items() if not is_syncing(connection, store)}
            if not quiet:
                return dg.SkipReason("A sync is running.")
            connection.rollback()
            time.sleep(wait)
    dead = end_dead_runs(context.instance, quiet.values(), utc_now())
    return dg.SkipReason(f"Ended: {', '.join(dead)}" if dead else "No run has lost its process.")


def _reported_before(settings: Settings, run_id: str) -> bool:
    from bl_pipeline.warehouse.database import WarehouseError, open_warehouse  # noqa: PLC0415
    from bl_pipeline.warehouse.runs import last_runs  # noqa: PLC0415

    try:
        with open_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
            latest = last_runs(connection, warehouse, limit=2)
    except WarehouseError:
        return False
    ends = {(run.status, run.message) for run in latest}
    return len(latest) == 2 and latest[0].run_id == run_id and len(ends) == 1
