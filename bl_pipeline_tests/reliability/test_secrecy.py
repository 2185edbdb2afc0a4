"""Whatever goes wrong: no secret and nothing of a buyer in logs, on the terminal, in Dagster's events, in `sync`."""

from __future__ import annotations

import json
import logging
from dataclasses import astuple
from datetime import timedelta

import dagster as dg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bl_pipeline.bricklink import Order
from bl_pipeline.records import ExitCode
from bl_pipeline.rules import normalise
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.sync import loading
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import NOW, DagsterSync, MakeSettings

FAULTS = tuple(fault for fault in Fault if fault not in (Fault.TIMEOUT, Fault.UNAUTHORIZED_HTTP))


@pytest.fixture
def store() -> Store:
    return Store.grow(orders=30, seed=8, now=NOW, filed=6, purged=3)


# The words of a trigger may quote a row.
DISK_FULL = """
CREATE FUNCTION landing.full() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no space left on device for %', NEW.body USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER planted BEFORE INSERT ON landing.documents FOR EACH ROW EXECUTE FUNCTION landing.full();
"""


def personal(store: Store) -> set[str]:
    """What identifies a buyer, as it is in the answers."""
    words: set[str | None] = set()
    for order in store.sales.values():
        address = order.shipping.address
        words |= {order.buyer_name, order.buyer.email, order.remarks, order.shipping.tracking_no}
        words |= {address.full_name, address.address1, address.phone_number, address.full}
    # A house number alone is in many a timestamp.
    return {word for word in words if word and len(word) > 4}


def secrets(dagster_sync: DagsterSync) -> set[str]:
    url = dagster_sync.settings.postgres_url
    assert url
    assert url.password
    whole = url.render_as_string(hide_password=False)
    return {
        *astuple(dagster_sync.settings.store.known_credentials()),
        str(url.password),
        whole,
        "oauth_signature",
        "oauth_nonce",
    }


def rows_of_sync(warehouse: Warehouse) -> list[str]:
    """Every row of every table of `sync`, as text."""
    with warehouse.engine.connect() as connection:
        tables = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'sync'")).all()
        return [
            row
            for table in tables
            for row in connection.scalars(text(f"SELECT CAST(t AS text) FROM sync.{table} AS t"))
        ]


def break_normalisation(monkeypatch: pytest.MonkeyPatch, order_id: int) -> None:
    """A defect whose own message shows a value."""
    whole = normalise.order_row

    def broken(order: Order, **keywords: object) -> object:
        if order.order_id == order_id:
            raise ZeroDivisionError(order.buyer_email)
        return whole(order, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "order_row", broken)


@pytest.mark.slow
def test_nothing_secret_or_personal_is_shown_of_runs_full_of_faults(
    dagster_sync: DagsterSync, store: Store, server: SandboxServer, warehouse: Warehouse, make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Planted: Postgres's words stored with a failed order; an unexpected error's message stored; the description of a
    refusal shown as it came.
    """
    # Below a warning it logs the statements of Dagster's own history.
    caplog.set_level(logging.WARNING, logger="sqlalchemy.engine")
    for name in (None, "urllib3", "oauthlib", "oauthlib.oauth1.rfc5849", "bl_pipeline", "dagster"):
        caplog.set_level(logging.DEBUG, logger=name)
    texts: list[str] = []
    exits: list[int] = []

    def run() -> None:
        result = dagster_sync()
        exits.append(result.exit_code)
        assert dagster_sync.last is not None
        for event in dagster_sync.instance.all_logs(dagster_sync.last.run_id):
            texts.extend((str(event), dg.serialize_value(event)))
        texts.extend((json.dumps(result.as_dict(), default=str), *rows_of_sync(warehouse)))
        dagster_sync.clock.now += timedelta(days=8)

    # Constraints of the seller's own, whose refusals quote the row.
    sold = [order for order in store.sales.values() if not order.is_purged]
    of_lot = sold[1].lots[0].inventory_id
    with warehouse.engine.begin() as connection:
        for constraint in (
            f"sales.orders ADD CONSTRAINT planted CHECK (platform_order_id <> '{sold[0].order_id}')",
            f"sales.order_items ADD CONSTRAINT planted CHECK (inventory_id <> {of_lot})",
            f"landing.documents ADD CONSTRAINT planted CHECK (platform_order_id <> '{sold[2].order_id}')",
        ):
            connection.execute(text(f"ALTER TABLE {constraint}"))
    break_normalisation(monkeypatch, sold[3].order_id)
    server.faults.next(Fault.RESET, Fault.HTML503)
    run()
    for seed in range(4):
        server.faults.at_random(0.2, FAULTS, seed=seed)
        for order in sold[4:12]:
            store.set_payment_status(order.order_id, f"Day {seed}")
        run()
    server.faults.clear()
    server.faults.on(f"/orders/{sold[5].order_id}", Fault.IP_MISMATCH)
    store.set_payment_status(sold[5].order_id, "Returned")
    run()
    server.faults.clear()

    # An error that nobody catches, of a statement with a whole answer in it.
    with warehouse.engine.begin() as connection:
        connection.execute(text(DISK_FULL))
    store.set_payment_status(sold[5].order_id, "Bounced")
    run()

    printed = capfd.readouterr()
    everything = "\n".join([*texts, caplog.text, printed.out, printed.err])

    # All of it was there to be shown.
    assert set(exits) >= {ExitCode.SOME_FAILED, ExitCode.CREDENTIALS}
    for word in (
        "CheckViolation",
        "ZeroDivisionError",
        "UnstorableAnswer",
        "trying again",
        "IP address",
        "HTTP/1.1",
        "raised by PL/pgSQL function landing.",
    ):
        assert word in everything, f"{word} was to be among what is searched"
    with warehouse.engine.connect() as connection:
        landed = "".join(connection.scalars(text("SELECT body::text FROM landing.documents")))
    assert sum(word in landed for word in personal(store)) > 50
    found = {word for word in (secrets(dagster_sync) | personal(store)) if word in everything}
    assert found == set()


def test_an_error_of_the_warehouse_does_not_quote_its_parameters(warehouse: Warehouse) -> None:
    """Planted: an engine without `hide_parameters`."""
    with warehouse.engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text("SELECT 1 / 0 WHERE :buyer = 'x'"), {"buyer": "Jane Buyer"})
    assert "division by zero" in str(caught.value)
    assert "Jane" not in str(caught.value)
