"""The jobs that write to an order: what they send, and what they show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from bl_pipeline.definitions import defs
from bl_pipeline.defs.resources import OpenedSession
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline_tests.conftest import DagsterSync
from bl_pipeline_tests.support.sessions import session_at

SECRET = "between you and me"


def run(dagster: DagsterSync, job: str, op: str, **config: object) -> dg.ExecuteInProcessResult:
    """A run of a job whose op is given this."""
    return run_job(dagster, job, {"ops": {op: {"config": config}}})


def run_job(dagster: DagsterSync, job: str, run_config: Mapping[str, Any] | None = None) -> dg.ExecuteInProcessResult:
    """A run of a job with a session of its own."""
    with session_at(dagster.settings, dagster.clock, sleep=dagster.clock.sleep) as session:
        return defs.resolve_job_def(job).execute_in_process(
            run_config=run_config,
            resources={"sync": OpenedSession(session)},
            instance=dagster.instance,
            raise_on_error=False,
        )


def shown(done: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The metadata of the one event of `orders`."""
    (event,) = (event for event in done.all_events if event.is_asset_observation)
    metadata = event.asset_observation_data.asset_observation.metadata
    return {name: value.value for name, value in metadata.items()}


def test_the_job_writes_and_shows_what_it_has_written(
    dagster_synced: DagsterSync, store: Store, server: SandboxServer
) -> None:
    """Planted: values in the metadata; the writes after the numbers of a sync, where the UI folds them away."""
    order_id = store.place_order()
    done = run(dagster_synced, "update_order", "write_to_order", order_id=f"BL-{order_id}",
               remarks=SECRET, shipping="4.75", status="packed")  # fmt: skip
    assert done.success
    assert (store.order(order_id).status, store.order(order_id).remarks) == ("PACKED", SECRET)
    report = shown(done)
    assert next(iter(report)) == "writes"
    assert [(row.data["request"], row.data["outcome"]) for row in report["writes"].records] == [
        ("update", "done"), ("status", "done"),
    ]  # fmt: skip
    assert report["success"] is True
    events = [str(record) for record in dagster_synced.instance.all_logs(done.run_id)]
    assert events
    assert SECRET not in "".join(events)

    again = run(dagster_synced, "send_drive_thru", "write_drive_thru", order_id=str(order_id))
    assert again.success
    # A copy to the seller is sent if it is asked for. Planted: always.
    (sent,) = (request for request in server.requests if "drive_thru" in request.path)
    assert sent.query == "mail_me=false"
    assert run(dagster_synced, "send_drive_thru", "write_drive_thru", order_id=str(order_id)).success
    assert store.drive_thrus(order_id) == 1


def test_what_is_not_done_is_shown_and_what_stops_is_red(
    dagster_synced: DagsterSync, store: Store, server: SandboxServer
) -> None:
    order_id = store.place_order(paid=True)
    refused = run(dagster_synced, "update_order", "write_to_order", order_id=str(order_id), shipping="9")
    assert refused.success
    report = shown(refused)
    assert (report["success"], report["orders_failed"]) == (False, 1)
    server.faults.next("unauthorized")
    assert not run(dagster_synced, "send_drive_thru", "write_drive_thru", order_id=str(order_id)).success
    wrong = run(dagster_synced, "update_order", "write_to_order", order_id=str(order_id), status="GONE")
    assert not wrong.success
    assert store.drive_thrus(order_id) == 0


def test_nothing_but_a_person_starts_them() -> None:
    """Planted: a schedule for one of them."""
    repository = defs.get_repository_def()
    started = {schedule.job_name for schedule in repository.schedule_defs}
    started |= {target.job_name for sensor in repository.sensor_defs for target in sensor.targets}
    assert started & {"update_order", "send_drive_thru"} == set()
    for name in ("update_order", "send_drive_thru"):
        (op,) = repository.get_job(name).graph.node_dict.values()
        assert isinstance(op.definition, dg.OpDefinition)
        assert op.definition.pool == "bricklink_api"
        schema: Any = op.definition.config_schema
        assert all(field.description for field in schema.config_type.fields.values())
