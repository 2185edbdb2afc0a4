"""Writes to an order: what is sent and in which order, what is refused, what is stored of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bl_pipeline.records import Outcome, StopReason
from bl_pipeline.rules.writes import checked
from bl_pipeline.sandbox import RecordedRequest, SandboxServer, Store
from bl_pipeline.sandbox.faults import Fault
from bl_pipeline.settings import Settings
from bl_pipeline.sync.asking import WriteOrder
from bl_pipeline.sync.previewing import preview_write
from bl_pipeline.sync.session import NoProgress
from bl_pipeline.sync.settling import settle_writes
from bl_pipeline.warehouse.database import Warehouse, WarehouseError
from bl_pipeline_tests.conftest import Clock, MakeSettings, OpenSession, Sync
from bl_pipeline_tests.support.sessions import lose_locks, session_at
from bl_pipeline_tests.support.writing import Writer, write


@pytest.fixture
def writer(settings: Settings, clock: Clock, server: SandboxServer, warehouse: Warehouse) -> Writer:
    return Writer(settings, clock, server, warehouse)


def test_several_changes_go_in_the_order_that_bricklink_accepts(order_id: int, writer: Writer, store: Store) -> None:
    """Planted: the refresh left out; the writes of a run not settled by it; the document not noted with them."""
    before = store.order(order_id)
    result = writer(
        order_id,
        status="shipped",
        payment_status="Received",
        tracking_no="TR1",
        shipping=Decimal("7.25"),
        remarks="Thanks & bye",
        is_filed=True,
    )

    assert result.exit_code == 0
    assert writer.sent() == [str(order_id), "payment_status", "status", str(order_id)]
    now = store.order(order_id)
    assert (now.status, now.payment.status, now.shipping.tracking_no) == ("SHIPPED", "Received", "TR1")
    assert (now.costs.shipping, now.remarks, now.is_filed) == (Decimal("7.25"), "Thanks & bye", True)
    assert [(kind, outcome) for kind, _, outcome in writer.rows()] == [
        ("update", "done"), ("payment_status", "done"), ("status", "done"), ("update", "done"),
    ]  # fmt: skip
    # One call to read the order, four to write, one to refresh it.
    assert result.api_calls == 6
    assert (result.orders_updated, result.errors) == (1, [])
    stored = writer.select(
        "SELECT platform_status, tracking_number, shipping, remarks, is_filed FROM sales.orders "
        "WHERE platform_order_id = :order_id",
        order_id=str(order_id),
    )
    assert stored == [("SHIPPED", "TR1", Decimal("7.25"), "Thanks & bye", True)]
    # The list was read before that: it has the order as not filed.
    assert writer.select("SELECT missing_orders, outdated_orders FROM reports.completeness") == [(0, 0)]
    assert writer.history(order_id) == [
        (before.status, before.payment.status, False),
        ("SHIPPED", "Received", True),
    ]


def test_the_history_tells_our_change_from_that_of_others(order_id: int, writer: Writer, store: Store) -> None:
    """Planted: the order not loaded before the write, so that the change of others is in the same row as ours."""
    store.pay(order_id)
    assert writer(order_id, status="PACKED").success
    store.set_status(order_id, "SHIPPED")
    assert writer(order_id, remarks="x").success
    assert writer.history(order_id) == [
        ("PENDING", "None", False),
        ("PAID", "Received", False),
        ("PACKED", "Received", True),
        ("SHIPPED", "Received", False),
    ]


def test_what_is_as_asked_already_is_not_sent(order_id: int, writer: Writer) -> None:
    result = writer(order_id, status="PENDING", payment_status="None", is_filed=False)
    assert (result.exit_code, result.api_calls, result.writes) == (0, 1, [])
    assert set(result.already) == {"status", "payment_status", "is_filed"}
    assert writer.sent() == []


def test_costs_of_a_paid_order_are_refused(order_id: int, writer: Writer, store: Store) -> None:
    """The warehouse still knows it as not paid: what counts is the order as BrickLink has it now."""
    store.pay(order_id)
    result = writer(order_id, shipping=Decimal("9"), tracking_no="TR1")
    assert (result.exit_code, writer.sent(), writer.rows()) == (3, [], [])
    assert result.errors[0]["order_id"] == str(order_id)
    assert "paid" in result.errors[0]["error"]


def test_a_refusal_of_bricklink_ends_the_run(
    order_id: int, writer: Writer, store: Store, server: SandboxServer
) -> None:
    """Planted: the rest sent all the same; the refused write left unsettled."""
    store.cancel(order_id)
    result = writer(order_id, status="PACKED", is_filed=True)
    assert result.exit_code == 3
    assert "NOT_IN_UPDATABLE_STATUS" in result.errors[0]["error"]
    assert "nothing was sent of: the update (is filed)." in result.errors[0]["error"]
    assert writer.sent() == ["status"]
    assert writer.rows() == [("status", "refused", "refused")]
    assert not store.order(order_id).is_filed


def test_costs_ignored_because_the_order_was_paid_meanwhile(
    order_id: int, writer: Writer, store: Store, server: SandboxServer
) -> None:
    """The race between plan and request: BrickLink says that all is well. Planted: accepted taken for done."""

    def pay(request: RecordedRequest) -> None:
        if request.method == "PUT":
            store.pay(order_id)

    server.on_request = pay
    result = writer(order_id, shipping=Decimal("9"))
    assert result.exit_code == 3
    assert "but the order is as before" in result.errors[0]["error"]
    assert writer.rows() == [("update", "accepted", "not_done")]


def test_an_unknown_order(synced: Sync, writer: Writer) -> None:
    result = writer(99, remarks="x")
    assert (result.exit_code, writer.sent()) == (3, [])
    assert "lists no such sale" in result.errors[0]["error"]


def test_nothing_is_written_if_the_calls_are_not_enough_for_all(
    order_id: int, clock: Clock, make_settings: MakeSettings, server: SandboxServer, warehouse: Warehouse
) -> None:
    """Planted: the number of requests not counted; the row noted before the budget is asked."""
    with session_at(make_settings(), clock) as session:
        used = session.usage().used
    for left, exit_code in ((0, 4), (3, 4), (4, 0)):
        writer = Writer(make_settings(bl_daily_call_limit=used + left, bl_call_reserve=0), clock, server, warehouse)
        before = len(writer.rows())
        result = writer(order_id, status="PACKED", remarks="x")
        assert result.exit_code == exit_code, left
        assert len(writer.rows()) - before == (2 if exit_code == 0 else 0)
        if exit_code:
            assert (result.stop_reason, writer.sent()) == (StopReason.BUDGET, [])
        used += result.api_calls


def test_refused_credentials_stop_the_run(order_id: int, writer: Writer, server: SandboxServer) -> None:
    server.faults.on("/status$", "unauthorized")
    result = writer(order_id, status="PACKED", is_filed=True)
    assert (result.exit_code, writer.rows()) == (5, [("status", "refused", "not_done")])


def test_an_order_that_cannot_be_read_first_is_not_written(
    order_id: int, writer: Writer, server: SandboxServer
) -> None:
    """Planted: why the run has stopped is said, and nothing of the order that was asked for."""
    server.faults.on(f"/orders/{order_id}$", Fault.UNAUTHORIZED)
    result = writer(order_id, remarks="x")
    assert (result.exit_code, writer.sent(), writer.rows()) == (5, [], [])
    why = "It could not be read first, so nothing was written."
    assert result.errors == [{"order_id": str(order_id), "error": why}]


def test_an_order_that_is_sent_in_an_unknown_form_is_no_fault_of_the_network(
    order_id: int, writer: Writer, server: SandboxServer
) -> None:
    """Planted: the run stopped, as if BrickLink were away."""
    server.faults.on(f"/orders/{order_id}$", Fault.WRONG_TYPE_MONEY)
    result = writer(order_id, remarks="x")
    assert (result.exit_code, result.stop_reason, writer.sent()) == (3, None, [])


class LosesLockOnceRead(NoProgress):
    """Loses the store's lock when the order is loaded as it was before the write."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def done(self, order_id: str, outcome: Outcome) -> None:
        del order_id, outcome
        lose_locks(self._warehouse)


def test_without_its_lock_a_run_neither_notes_nor_sends_a_write(
    order_id: int, writer: Writer, warehouse: Warehouse, settings: Settings, clock: Clock
) -> None:
    """Planted: looked at only after the write is noted, so that it counts as one whose answer was lost."""
    with (
        session_at(settings, clock, progress=LosesLockOnceRead(warehouse)) as session,
        pytest.raises(WarehouseError, match="The connection to the warehouse was lost"),
    ):
        write(session, order_id, remarks="x")
    assert (writer.sent(), writer.rows()) == ([], [])


def test_a_guard_by_what_the_warehouse_knew(order_id: int, writer: Writer, store: Store, clock: Clock) -> None:
    """Planted: what this run has read compared with itself; a later answer taken; no answer taken for good."""
    known = clock.now
    clock.advance(minutes=5)
    assert writer(order_id, remarks="first", unchanged_since=known).success
    written = clock.now
    clock.advance(minutes=5)
    store.edit_tracking(order_id, "of another")
    for since, changed in ((known, "remarks, shipping.tracking_no"), (written, "shipping.tracking_no")):
        result = writer(order_id, remarks="second", unchanged_since=since)
        assert result.exit_code == 3
        assert f"UTC: {changed}. Nothing was sent" in result.errors[0]["error"]
    # Changed in the same moment as it is asked about, as far as the clock says.
    store.edit_tracking(order_id, "of another again")
    assert (
        "UTC: shipping.tracking_no" in writer(order_id, remarks="second", unchanged_since=clock.now).errors[0]["error"]
    )
    too_early = writer(order_id, remarks="second", unchanged_since=known - timedelta(days=1))
    assert "has no order" in too_early.errors[0]["error"]
    assert len(writer.sent()) == 1
    assert writer(order_id, remarks="second", unchanged_since=clock.now).success


def test_a_drive_thru_that_is_done_is_not_sent_again_although_the_order_does_not_show_it(
    order_id: int, writer: Writer, store: Store, clock: Clock
) -> None:
    """Planted: only the order asked, and not sync.writes."""
    assert writer(order_id, drive_thru=True).success
    store.put(replace(store.order(order_id), drive_thru_sent=False))
    clock.advance(days=1)
    assert writer(order_id, drive_thru=True).already == ["drive_thru"]
    assert store.drive_thrus(order_id) == 1


def test_the_preview_reads_the_order_and_sends_and_stores_nothing(
    order_id: int, open_test_session: OpenSession, writer: Writer
) -> None:
    session = open_test_session()
    asked = WriteOrder(str(order_id), {"remarks": "x", "status": "PACKED"})
    preview = preview_write(session, asked, run_id="a preview")
    assert [request.kind for request in preview.requests] == ["update", "status"]
    assert (preview.calls, preview.api_calls, preview.exit_code) == (4, 1, 0)
    assert [request.method for request in writer.server.requests] == ["GET"]
    assert writer.rows() == []
    assert session.lock.taken is False


def test_a_lost_request_is_waited_for_since_it_was_sent_the_last_time(
    order_id: int, writer: Writer, server: SandboxServer
) -> None:
    """The first attempt was refused, and the wait for the second was long. Planted: since the request was noted."""
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        writer.clock.advance(seconds=100)

    def refuse_then_lose(request: RecordedRequest) -> None:
        if request.method != "GET" and len(writer.sent()) <= 2:
            server.faults.next([Fault.RATE_LIMIT_ENVELOPE, Fault.RESET][len(writer.sent()) - 1])

    server.on_request = refuse_then_lose
    with session_at(writer.settings, writer.clock, sleep=wait) as session:
        assert write(session, order_id, status="PACKED").success
    assert (len(waits), waits[1]) == (2, 30)


@pytest.mark.parametrize("after_effect", [False, True])
def test_the_preview_shows_what_a_run_would_do_that_settles_a_lost_write_first(
    after_effect: bool, order_id: int, open_test_session: OpenSession, writer: Writer, server: SandboxServer
) -> None:
    """Planted: nothing would be sent, as if the order could not be read; the call to settle not counted."""

    def fail_once_written(request: RecordedRequest) -> None:
        if request.method != "GET" or writer.sent():
            server.faults.next(Fault.HTTP500)

    server.faults.after_effect = after_effect
    server.on_request = fail_once_written
    assert writer(order_id, status="PACKED").exit_code != 0
    server.on_request = None
    given = {"status": "PACKED", "remarks": "x"}

    preview = preview_write(open_test_session(), WriteOrder(str(order_id), checked(given)), run_id="a preview")

    assert writer.rows() == [("status", "lost", None)]
    result = writer(order_id, **given)
    assert (preview.exit_code, result.exit_code) == (0, 0)
    assert [request.kind for request in preview.requests] == [write.kind for write in result.writes]
    assert (preview.already, preview.calls) == (result.already, result.api_calls)


def test_a_lost_drive_thru_whose_order_cannot_be_read(order_id: int, writer: Writer, server: SandboxServer) -> None:
    """Planted: said of the order what nobody has read."""

    def fail_once_written(request: RecordedRequest) -> None:
        if request.method != "GET" or writer.sent():
            server.faults.next(Fault.HTTP500)

    server.on_request = fail_once_written
    message = writer(order_id, drive_thru=True).errors[0]["error"]
    assert ("cannot be read now" in message, "does not show" in message) == (True, False), message


@pytest.mark.parametrize(
    ("is_read", "said"), [(True, "the order does not show that it was sent"), (False, "the order cannot be read now")]
)
def test_the_next_run_logs_what_became_of_a_lost_write(
    is_read: bool, said: str, order_id: int, writer: Writer, server: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Planted: nothing logged; said of the order what nobody has read."""
    server.faults.on("/drive_thru", Fault.HTTP500)
    assert not writer(order_id, drive_thru=True).success
    if not is_read:
        server.faults.on(f"/orders/{order_id}$", Fault.HTTP500)
    caplog.clear()
    with session_at(writer.settings, writer.clock) as session:
        session.begin("next", job="sync_orders")
        settle_writes(session)
    (logged,) = [record.getMessage() for record in caplog.records if "Of an earlier run" in record.getMessage()]
    assert logged.startswith(f"Of an earlier run: The drive thru of order {order_id}: BrickLink's answer was lost,")
    assert said in logged
    assert writer.rows() == [("drive_thru", "lost", None)]


def test_what_is_stored_of_a_write_is_never_changed(order_id: int, writer: Writer, warehouse: Warehouse) -> None:
    """Planted: no trigger."""
    assert writer(order_id, remarks="x").success
    for statement in (
        "UPDATE sync.writes SET asked = '{}'",
        "UPDATE sync.writes SET outcome = 'not_done'",
        "UPDATE sync.writes SET settled_at = NULL",
        "DELETE FROM sync.writes",
        "TRUNCATE sync.writes",
    ):
        with pytest.raises(DBAPIError) as caught, warehouse.engine.begin() as connection:
            connection.execute(text(statement))
        assert isinstance(caught.value.orig, psycopg.errors.RaiseException)
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.writes SET store = 'other'"))


def test_a_write_waits_for_a_sync_as_a_sync_does(order_id: int, open_test_session: OpenSession) -> None:
    """The terminal refuses instead: it tries the lock first."""
    first, second = open_test_session(), open_test_session()
    assert first.lock.try_acquire()
    assert not second.lock.try_acquire()
    first.close()
    assert write(second, order_id, remarks="x").success
