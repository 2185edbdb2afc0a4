"""/metrics: what Prometheus reads of each store, by the library's own parser."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from bl_pipeline.desk.metrics import exposition, measure
from bl_pipeline.desk.serving import guarded_app
from bl_pipeline.rules.indicator import Indicator
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.settings import Settings
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES
from bl_pipeline.sync.status import read_status
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline.warehouse.runs import start_run
from bl_pipeline_tests.conftest import Clock, MakeSettings, Sync
from bl_pipeline_tests.desk.conftest import OpenDesk

TOKEN = "of-twenty-characters"
Samples = dict[tuple[str, ...], float]


def samples(text: str) -> Samples:
    """Each sample by its name, without the beginning that all have, its store, and its state if it has one."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation.endswith(".")
        # https://prometheus.io/docs/practices/naming: one prefix, base units, no unit in a label.
        assert re.fullmatch(r"bl_pipeline(_[a-z]+)+", family.name), family.name
        assert not re.search(r"_(minutes|hours|days|milliseconds|total|count|sum|bucket)$", family.name)
        for sample in family.samples:
            name = sample.name.removeprefix("bl_pipeline_")
            key = (name, sample.labels.pop("store"), *sample.labels.values())
            assert set(sample.labels) <= {"state"}
            assert key not in found
            found[key] = sample.value
    return found


def asked(client: TestClient) -> Samples:
    answer = client.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    return samples(answer.text)


def test_they_say_what_the_status_says(
    synced: Sync, client: TestClient, settings: Settings, warehouse: Warehouse, server: SandboxServer, clock: Clock
) -> None:
    """Planted: calls left in the place of those used; the age of the last run, whether or not it was complete."""
    assert synced().success
    clock.advance(minutes=7)
    server.clear_requests()
    status = read_status(settings.store, warehouse, clock.now)

    values = asked(client)

    assert server.requests == []
    assert {word: values.pop(("store_state", "main", word)) for word in Indicator} == {
        word: float(word == Indicator.SYNCED) for word in Indicator
    }
    ends = {key[2]: values.pop(key) for key in list(values) if key[0] == "last_run_state"}
    assert [word for word, value in ends.items() if value] == ["succeeded"]
    assert set(ends) == {"succeeded", "completed_with_errors", "stopped_at_budget", "failed", "canceled"}
    assert status.last_run is not None
    assert values == {
        ("status_check_exit_code", "main"): 0,
        ("last_complete_sync_age_seconds", "main"): 420,
        ("orders_stored", "main"): status.orders,
        ("orders_failed", "main"): 0,
        ("api_calls_used", "main"): status.calls.used,
        ("api_calls_left", "main"): status.calls.left,
        ("last_run_duration_seconds", "main"): status.last_run.duration_seconds,
    }
    assert status.calls.used not in (0, status.calls.left)


def test_what_is_not_known_has_no_sample(client: TestClient) -> None:
    """Planted: an age of 0 for a store that was never synced, which looks as if all were well."""
    values = asked(client)
    assert values["store_state", "main", "stale"] == 1
    assert values["status_check_exit_code", "main"] == 1
    assert {name for name, *_ in values} & {
        "last_complete_sync_age_seconds", "last_run_state", "last_run_duration_seconds"
    } == set()  # fmt: skip


def test_a_running_sync_is_a_state_and_hides_neither_the_last_end_nor_the_check(
    synced: Sync, client: TestClient, warehouse: Warehouse, server: SandboxServer, store: Store, clock: Clock
) -> None:
    """Planted: the last run taken as it is, which is the one under way and has no end yet."""
    order_id = store.place_order()
    server.faults.on(f"/orders/{order_id}", Fault.FORBIDDEN)
    assert synced().exit_code == 3
    before = asked(client)
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    clock.advance(minutes=1)
    with warehouse.engine.begin() as connection:
        start_run(connection, warehouse, run_id="under way", job="sync_orders", now=clock.now, of_all_orders=True)
    values = asked(client)
    lock.release()
    of_the_last_run = {key: value for key, value in before.items() if key[0].startswith("last_run_")}
    assert len(of_the_last_run) == 6
    assert of_the_last_run.items() <= values.items()
    assert values["store_state", "main", "syncing"] == 1
    assert values["store_state", "main", "error"] == 0
    assert values["status_check_exit_code", "main"] == 3
    assert values["orders_failed", "main"] == 1
    assert values["last_run_state", "main", "completed_with_errors"] == 1


def test_many_stores_are_in_one_answer(synced: Sync, settings: Settings, warehouse: Warehouse, clock: Clock) -> None:
    """Planted: families once a store, which the format does not allow; labels that are not escaped."""
    strange = 'a "shop"\\ of ours'
    other = replace(settings.store, key=strange)
    here = replace(warehouse, store=strange)
    text = exposition([measure(settings.store, warehouse, clock.now), measure(other, here, clock.now)]).decode()
    assert len(re.findall("^# TYPE bl_pipeline_orders_stored ", text, re.MULTILINE)) == 1
    values = samples(text)
    assert (values["orders_stored", "main"] > 0, values["orders_stored", strange]) == (True, 0)
    assert values["store_state", strange, "stale"] == 1


def test_only_who_may_use_the_desk_reads_them(make_settings: MakeSettings) -> None:
    """Planted: the address let through, as that of the style sheet is."""
    app = guarded_app(make_settings(bl_desk_token=TOKEN))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        refused = client.get("/metrics")
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
        assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        for headers in ({"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            refused = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}", **headers})
            assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")


def test_they_have_no_secret_and_no_buyer(
    synced: Sync, client: TestClient, settings: Settings, store: Store, warehouse: Warehouse
) -> None:
    text = client.get("/metrics").text
    secrets = [getattr(settings, name.lower()).get_secret_value() for name in CREDENTIAL_VARIABLES]
    buyers = {order.buyer_name for order in store.sales.values() if order.buyer_name}
    for hidden in (*secrets, *buyers, warehouse.address):
        assert hidden not in text


@pytest.mark.parametrize("read_only", [True, False])
def test_without_a_warehouse_the_answer_is_503(
    open_desk: OpenDesk, make_settings: MakeSettings, read_only: bool
) -> None:
    """So Prometheus notes `up` as 0. Planted: an empty answer of 200."""
    nowhere = "postgresql://someone:hunter2@127.0.0.1:1/nothing"
    client = open_desk(make_settings(bl_database_url=nowhere, bl_desk_read_only=read_only))
    answer = client.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "hunter2" not in answer.text
