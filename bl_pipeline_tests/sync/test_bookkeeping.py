"""When the journal is written: at the end of each run that has loaded something, whatever happened before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from bl_pipeline.books.booking import book
from bl_pipeline.books.closing import ClosingRefused, close
from bl_pipeline.records import RunStatus
from bl_pipeline.reports.taxes import set_taxes
from bl_pipeline.sandbox import Store
from bl_pipeline.settings import Settings
from bl_pipeline.sync.rebuild import rebuild
from bl_pipeline.tax_settings import TaxSettings
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import Clock, Sync
from bl_pipeline_tests.support.main_store import MAIN
from bl_pipeline_tests.support.sessions import session_at


@pytest.fixture
def statements(warehouse: Warehouse) -> Iterator[list[str]]:
    """What is asked of Postgres, by whatever session."""
    from sqlalchemy import Engine

    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


def count(warehouse: Warehouse, what: str) -> int:
    """Rows of a table, or of a condition on one."""
    with warehouse.engine.connect() as connection:
        found: int = connection.scalar(text(f"SELECT count(*) FROM {what}")) or 0
    return found


def paid_order(store: Store) -> int:
    """An order that is paid, not purged and not cancelled."""
    return next(
        order.order_id
        for order in store.sales.values()
        if order.status in ("PAID", "PACKED", "SHIPPED", "RECEIVED", "COMPLETED") and order.payment.date_paid
    )


def test_a_sync_books_and_an_unchanged_one_asks_once(
    synced: Sync, store: Store, warehouse: Warehouse, statements: list[str]
) -> None:
    """Planted: a journal that is looked at by each sync."""
    entries = count(warehouse, "books.journal")
    assert entries
    assert count(warehouse, "books.unbooked") == 0
    statements.clear()
    synced()
    asked = [statement for statement in statements if "books." in statement and "tax_" not in statement]
    assert len(asked) == 1, asked
    store.cancel(paid_order(store))
    synced.clock.advance(hours=1)
    assert synced().orders_updated == 1
    assert count(warehouse, "books.journal WHERE event = 'cancellation'") > 0


def test_what_a_dead_process_has_loaded_is_booked_by_the_next_run(
    synced: Sync, store: Store, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies after the orders are loaded. Planted: orders that are noted for booking in a transaction of their own."""
    before = count(warehouse, "books.journal")
    order_id = paid_order(store)
    store.cancel(order_id)
    synced.clock.advance(hours=1)

    class Died(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr("bl_pipeline.sync.bookkeeping.book", die)
        with pytest.raises(Died):
            synced()
    assert count(warehouse, "books.journal") == before
    assert count(warehouse, f"sales.orders WHERE platform_order_id = '{order_id}' AND status = 'cancelled'") == 1
    synced.clock.advance(hours=1)
    assert synced().success
    assert count(warehouse, f"books.journal WHERE document = 'BL-{order_id}' AND event = 'cancellation'") > 0


def test_a_booking_that_fails_loses_no_sync(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    """Planted: the error of the booking raised; the orders booked half."""
    before = count(warehouse, "books.journal")
    order_id = paid_order(store)
    store.cancel(order_id)
    synced.clock.advance(hours=1)
    refuse = "ALTER TABLE books.journal ADD CONSTRAINT broken CHECK (entry_no < 0) NOT VALID"
    with warehouse.engine.begin() as connection:
        connection.execute(text(refuse))
    result = synced()
    assert (result.run_status, result.orders_updated) == (RunStatus.FAILED, 1)
    assert str(result.message).startswith("The journal of the books could not be written. The orders are stored")
    assert count(warehouse, f"sales.orders WHERE platform_order_id = '{order_id}' AND status = 'cancelled'") == 1
    assert count(warehouse, "books.unbooked") == 1
    with session_at(synced.settings, synced.clock) as session:
        assert str(rebuild(session).unbooked).startswith("The journal of the books could not be written.")
    with warehouse.engine.begin() as connection:
        connection.execute(text("ALTER TABLE books.journal DROP CONSTRAINT broken"))
    assert synced().success
    assert count(warehouse, "books.journal") > before
    assert count(warehouse, "books.unbooked") == 0


def test_other_tax_settings_make_open_months_right_and_are_booked_once(synced: Sync, warehouse: Warehouse) -> None:
    """All orders of which they say something else; what is closed is corrected in the first open month. Planted: only
    orders that have changed looked at; the day on which the settings have changed."""
    today = synced.clock()
    with warehouse.engine.begin() as connection:
        close(connection, MAIN, date(2026, 4, 1), today)
    sales = count(warehouse, "books.journal WHERE event = 'sale'")
    with warehouse.engine.begin() as connection:
        set_taxes(connection, "main", TaxSettings("DE", "small", False, "computed"), today)
        written = book(connection, "main", today)
    assert written > 10
    with warehouse.engine.begin() as connection:
        new = connection.execute(
            text(
                "SELECT event, booking_date, tax_point, seen_at FROM books.journal "
                "WHERE source_document_id = previous_document_id"
            )
        ).all()
        assert {row.event for row in new} == {"correction"}
        assert {row.seen_at for row in new} == {today}
        assert all(row.booking_date == max(row.tax_point, date(2026, 5, 1)) for row in new)
        assert len({row.booking_date for row in new}) > 3
        unclear = connection.execute(
            text(
                "SELECT period, sum(debit - credit) FROM books.journal "
                "WHERE account_key = 'receivable' AND region = 'unclear' AND period > '2026-05-01' GROUP BY period"
            )
        ).all()
        assert [balance for _, balance in unclear] == [0] * len(unclear)
        assert unclear
        balances = connection.execute(
            text("SELECT region, sum(debit - credit) FROM books.journal WHERE account_key = 'receivable' GROUP BY 1")
        ).all()
        assert dict(map(tuple, balances)).get("unclear", 0) == 0
        assert book(connection, "main", today + timedelta(days=1)) == 0
    assert count(warehouse, "books.journal WHERE event = 'sale'") == sales


def test_two_that_close_at_once_close_once(
    synced: Sync, warehouse: Warehouse, settings: Settings, clock: Clock
) -> None:
    """Whoever comes second waits, and gets the reason. Planted: no lock of the books."""
    del settings
    start, outcomes = threading.Barrier(2), list[str]()

    def run() -> None:
        try:
            with warehouse.engine.begin() as connection:
                start.wait()
                close(connection, MAIN, date(2026, 5, 1), clock())
            outcomes.append("closed")
        except ClosingRefused as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[1] == "closed"
    assert sorted(outcomes)[0].startswith("2026-05 is closed already")
    assert count(warehouse, "books.closings WHERE period = '2026-05-01'") == 1
